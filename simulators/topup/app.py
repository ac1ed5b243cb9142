"""The simulator as an ASGI app: wires the book, the counter, the gateway and the control API together."""

from __future__ import annotations

from pathlib import Path

from starlette.routing import Route
from starlette.types import ASGIApp

from simulators.common.app import simulator_app
from simulators.common.callbacks import Callbacks
from simulators.common.results import Messenger
from simulators.topup.book import Book
from simulators.topup.control import OperatorControl
from simulators.topup.counter import Counter
from simulators.topup.gateway import Gateway, order_view
from simulators.topup.houses import open_houses


def create_app(data_dir: Path) -> ASGIApp:
    """All operators under `/{operator}/`, the control API under `/control`, `/health`; state is in `data_dir`."""
    book = Book(data_dir)
    operators = open_houses(book)
    counter = Counter(book)
    callbacks = Callbacks()
    messenger = Messenger(operators, counter, callbacks, lambda _, recharge, status: order_view(recharge, status))
    gateway = Gateway(operators, counter, messenger)
    route = Route("/{operator}/{operation}", gateway.answer, methods=["POST"])
    return simulator_app(book, callbacks, OperatorControl(operators, counter), [route], messenger.schedule)
