"""The channels being simulated: the protocol that each speaks, and its settings, which survive a restart."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from pydantic import Field

from simulators.common.book import Tally
from simulators.common.callbacks import CallbackTarget
from simulators.common.parties import Parties, PartySettings
from simulators.payment.faults import POSSIBLE, FaultSettings


@dataclass(frozen=True, slots=True)
class House:
    """A channel out of the box. `face`: how it is spoken to; `fee_bp`: what it keeps, in hundredths of a percent;
    `charges_once`: its protocol can't take a payment's money twice."""

    title: str
    face: str
    fee_bp: int
    charges_once: bool = False


HOUSES: Mapping[str, House] = MappingProxyType(
    {
        "paybridge": House("PayBridge", "direct", 60),
        "stripe": House("Stripe, simulated", "stripe", 290, charges_once=True),
        "alipay": House("Alipay, simulated", "alipay", 60, charges_once=True),
    }
)


class ChannelSettings(PartySettings):
    """One channel. Merchants show its `token`; its callbacks are signed with `callback_secret`.

    It calls back where each request says, unless `callback` overrides both. It never does anything twice under one
    reference, and can't be told to.
    """

    deduplicates: Literal[True] = True
    fee_bp: int = Field(ge=0, le=10_000)
    callback_secret: str
    faults: FaultSettings = Field(default_factory=FaultSettings)

    @property
    def face(self) -> str:
        return HOUSES[self.like].face

    @property
    def charges_once(self) -> bool:
        return HOUSES[self.like].charges_once

    def target(self, notify_url: str) -> CallbackTarget | None:
        """Where something is told and how it is signed; None where nobody asked to be told."""
        if self.callback is not None:
            return self.callback
        return CallbackTarget(url=notify_url, secret=self.callback_secret) if notify_url else None


Channels: TypeAlias = Parties[ChannelSettings]


def opened(name: str, like: str) -> ChannelSettings:
    """A healthy channel modelled on a house; its token is its name and `-token`, and its callbacks' secret the base64
    of its name and `-callbacks`, after `whsec_`."""
    house = HOUSES[like]
    title = house.title if name == like else f"{house.title} ({name})"
    secret = f"whsec_{b64encode(f'{name}-callbacks'.encode()).decode()}"
    return ChannelSettings(
        name=name, like=like, title=title, token=f"{name}-token", fee_bp=house.fee_bp, callback_secret=secret
    )


def open_houses(tally: Tally) -> Channels:
    """All channels by name; the houses are open from the start."""
    return Parties(tally, ChannelSettings, (opened(name, name) for name in HOUSES), POSSIBLE)
