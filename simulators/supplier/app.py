"""The simulator as an ASGI app: wires the book, the desk, OCTO and the control API together."""

from __future__ import annotations

from pathlib import Path

from starlette.routing import Route
from starlette.types import ASGIApp

from simulators.common.app import simulator_app
from simulators.common.callbacks import Callbacks
from simulators.common.results import Messenger
from simulators.supplier.book import Book
from simulators.supplier.control import SupplierControl
from simulators.supplier.desk import Desk
from simulators.supplier.houses import open_houses
from simulators.supplier.octo import Octo
from simulators.supplier.seats import Seats
from simulators.supplier.views import booking_view


def create_app(data_dir: Path) -> ASGIApp:
    """All suppliers under `/{supplier}/octo`, the control API under `/control`, `/health`; state is in `data_dir`."""
    book = Book(data_dir)
    suppliers = open_houses(book)
    desk = Desk(book, Seats())
    callbacks = Callbacks()
    messenger = Messenger(
        suppliers,
        desk,
        callbacks,
        lambda supplier, booking, status: booking_view(desk, supplier, booking, True, status),
    )
    octo = Octo(suppliers, desk, messenger)
    route = Route("/{supplier}/octo/{path:path}", octo.answer, methods=["GET", "POST"])
    return simulator_app(book, callbacks, SupplierControl(suppliers, desk), [route], messenger.schedule)
