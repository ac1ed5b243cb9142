"""Fulfilment units: what an order line owes its buyer, one by one, and what happened to each of them.

A unit is one ticket, one code, one top-up, or one parcel (which holds several pieces of its line).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Happening = Literal["shipped", "delivered", "lost", "found"]
"""What whoever carries a unit may tell of it, after it was handed over."""


@dataclass(frozen=True, slots=True)
class TrackedEvent:
    """One thing that happened to a unit on its way, as its carrier tells it. `detail` is for people: place, reason."""

    happening: Happening
    at: datetime
    detail: str = ""
