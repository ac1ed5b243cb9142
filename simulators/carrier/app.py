"""The simulator as an ASGI app: wires the book, the depot, the protocol and the control API together."""

from __future__ import annotations

from pathlib import Path

from starlette.routing import Route
from starlette.types import ASGIApp

from simulators.carrier.book import Book
from simulators.carrier.carriers import open_houses
from simulators.carrier.control import CarrierControl
from simulators.carrier.courier import Courier
from simulators.carrier.depot import Depot
from simulators.carrier.parcels import Parcels
from simulators.common.app import simulator_app
from simulators.common.callbacks import Callbacks


def create_app(data_dir: Path) -> ASGIApp:
    """All carriers under `/{carrier}/v1`, the control API under `/control`, `/health`; state is in `data_dir`."""
    book = Book(data_dir)
    carriers = open_houses(book)
    depot = Depot(carriers, book)
    callbacks = Callbacks()
    courier = Courier(carriers, depot, callbacks)
    parcels = Parcels(carriers, depot, courier)
    control = CarrierControl(carriers, depot, courier)
    route = Route("/{carrier}/v1/{path:path}", parcels.answer, methods=["GET", "POST"])
    return simulator_app(book, callbacks, control, [route], courier.schedule)
