"""A simulator as an ASGI app around its own protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from simulators.common.book import Book, E
from simulators.common.callbacks import Callbacks
from simulators.common.connection import Severable
from simulators.common.control import Control, Unfit, refuse


async def health(request: Request) -> Response:
    return PlainTextResponse("ok")


def simulator_app(
    book: Book[E],
    callbacks: Callbacks,
    control: Control[Any],
    protocol: Sequence[Route],
    schedule: Callable[[E], None],
) -> ASGIApp:
    """The protocol, the control API and `/health`; what the book has due is scheduled at the start."""

    @asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        for entry in book.due():
            schedule(entry)
        yield
        await callbacks.close()
        book.close()

    # The protocol first: it is the hot path, and no party may be called `control`.
    routes = [*protocol, Route("/health", health), *control.routes()]
    return Severable(Starlette(routes=routes, lifespan=running, exception_handlers={Unfit: refuse}))
