"""The simulator as an ASGI app: wires the book, the cashier, the faces and the control API together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from starlette.types import ASGIApp

from simulators.common.app import simulator_app
from simulators.common.callbacks import Callbacks
from simulators.payment import alipay_face, direct_face, stripe_face
from simulators.payment.alipay_face import AlipayFace, AlipayStationery
from simulators.payment.book import PaymentBook
from simulators.payment.cashier import Cashier
from simulators.payment.channels import open_houses
from simulators.payment.control import ChannelControl
from simulators.payment.direct_face import DirectFace, DirectStationery
from simulators.payment.faces import Face, Office
from simulators.payment.messenger import Messenger, Stationery
from simulators.payment.page import PayPage
from simulators.payment.stripe_face import StripeFace, StripeStationery

FACES: Mapping[str, tuple[Callable[[Office], Face], Stationery]] = {
    direct_face.NAME: (DirectFace, DirectStationery()),
    stripe_face.NAME: (StripeFace, StripeStationery()),
    alipay_face.NAME: (AlipayFace, AlipayStationery()),
}
"""How channels are spoken to, and how they call back, by the face that a house has."""


def create_app(data_dir: Path) -> ASGIApp:
    """All channels under `/{channel}/`, the control API under `/control`, `/health`; state is in `data_dir`."""
    book = PaymentBook(data_dir)
    channels = open_houses(book)
    cashier = Cashier(book)
    callbacks = Callbacks()
    messenger = Messenger(channels, cashier, callbacks, {name: kind for name, (_, kind) in FACES.items()})
    office = Office(channels, cashier, messenger)
    routes = [route for make, _ in FACES.values() for route in make(office).routes()]
    return simulator_app(
        book, callbacks, ChannelControl(office), [*routes, *PayPage(office).routes()], messenger.schedule
    )
