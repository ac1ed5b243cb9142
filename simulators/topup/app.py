"""The simulator as an ASGI app: wires the book, the counter, the gateway and the control API together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from simulators.common.callbacks import Callbacks
from simulators.common.connection import Severable
from simulators.common.control import Unfit, refuse
from simulators.common.results import Messenger
from simulators.topup.book import Book
from simulators.topup.control import OperatorControl
from simulators.topup.counter import Counter
from simulators.topup.gateway import Gateway, order_view
from simulators.topup.houses import open_house


async def health(request: Request) -> Response:
    return PlainTextResponse("ok")


def create_app(data_dir: Path) -> ASGIApp:
    """All operators under `/{operator}/`, the control API under `/control`, `/health`; state is in `data_dir`."""
    book = Book(data_dir)
    operators = open_house(book)
    counter = Counter(book)
    callbacks = Callbacks(httpx2.AsyncClient(trust_env=False))
    messenger = Messenger(operators, counter, callbacks, lambda _, recharge, status: order_view(recharge, status))
    gateway = Gateway(operators, counter, messenger)

    @asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        for recharge in book.due():
            messenger.schedule(recharge)
        yield
        await callbacks.close()
        book.close()

    routes = [
        *OperatorControl(operators, counter).routes(),
        Route("/health", health),
        Route("/{operator}/{operation}", gateway.answer, methods=["POST"]),
    ]
    return Severable(Starlette(routes=routes, lifespan=running, exception_handlers={Unfit: refuse}))
