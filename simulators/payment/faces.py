"""What the faces of all channels have in common: finding the channel of a request, and answering with its faults.

A face is one protocol: its routes under `/{channel}/`, and its `Stationery`. It asks the cashier and has the messenger
follow what comes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulators.common.answering import with_faults
from simulators.common.faults import Strike
from simulators.payment.cashier import Cashier
from simulators.payment.channels import Channels, ChannelSettings
from simulators.payment.dealings import Refusal
from simulators.payment.faults import Operation
from simulators.payment.messenger import Messenger

Work = Callable[[Strike[Any]], Response]
"""What a request does, given the faults that strike it, and its answer."""


class Wording(Protocol):
    """How a protocol says no."""

    def error(self, status: int, code: str, message: str) -> Response:
        """A fault's own answer, or that of a request which could not be read."""
        ...

    def refusal(self, refusal: Refusal) -> Response:
        """The cashier's no."""
        ...


@dataclass(frozen=True, slots=True)
class Office:
    """What every face works with."""

    channels: Channels
    cashier: Cashier
    messenger: Messenger

    def channel(self, request: Request, face: str | None = None) -> ChannelSettings | None:
        """The channel that the path names, where it has that face."""
        channel = self.channels.find(request.path_params["channel"])
        return channel if channel is not None and face in (None, channel.face) else None

    async def attend(
        self,
        request: Request,
        channel: ChannelSettings,
        operation: Operation,
        reference: str,
        work: Work,
        wording: Wording,
    ) -> Response:
        """The answer of `work`, or what the faults of this call make of it. `work` may raise Refusal."""
        struck = self.channels.strike(channel, operation, reference.lower())

        async def working() -> Response:
            try:
                return work(struck)
            except Refusal as refusal:
                return wording.refusal(refusal)

        return await with_faults(request, struck, channel.faults.params, working, wording.error)


class Face(Wording, Protocol):
    """One protocol over HTTP, made of an Office."""

    def routes(self) -> list[Route]:
        """Its routes, all of them under `/{channel}/`."""
        ...
