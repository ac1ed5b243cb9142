"""The simulator as an ASGI app: wires the book, the desk, OCTO and the control API together."""

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
from simulators.supplier.book import Book
from simulators.supplier.control import SupplierControl
from simulators.supplier.desk import Desk
from simulators.supplier.houses import open_house
from simulators.supplier.octo import Octo
from simulators.supplier.seats import Seats
from simulators.supplier.views import booking_view


async def health(request: Request) -> Response:
    return PlainTextResponse("ok")


def create_app(data_dir: Path) -> ASGIApp:
    """All suppliers under `/{supplier}/octo`, the control API under `/control`, `/health`; state is in `data_dir`."""
    book = Book(data_dir)
    suppliers = open_house(book)
    desk = Desk(book, Seats())
    callbacks = Callbacks(httpx2.AsyncClient(trust_env=False))
    messenger = Messenger(
        suppliers,
        desk,
        callbacks,
        lambda supplier, booking, status: booking_view(desk, supplier, booking, True, status),
    )
    octo = Octo(suppliers, desk, messenger)

    @asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        for booking in book.due():
            messenger.schedule(booking)
        yield
        await callbacks.close()
        book.close()

    control = SupplierControl(suppliers, desk)
    octo_route = Route("/{supplier}/octo/{path:path}", octo.answer, methods=["GET", "POST"])
    # OCTO first: it is the hot path, and no supplier may be called `control`.
    routes = [octo_route, Route("/health", health), *control.routes()]
    return Severable(Starlette(routes=routes, lifespan=running, exception_handlers={Unfit: refuse}))
