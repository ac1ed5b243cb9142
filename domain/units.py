"""Fulfilment units: what an order line owes its buyer, one by one, and what happened to each of them.

A unit is one ticket, one code, one top-up, or one parcel (which holds several pieces of its line).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Happening = Literal["shipped", "delivered", "lost", "found", "corrected"]
"""What whoever carries a unit may tell of it, after it was handed over."""


@dataclass(frozen=True, slots=True)
class TrackedEvent:
    """One thing that happened to a unit on its way, as its carrier tells it. `detail` is for people: place, reason.

    `corrected`: the carrier had told a wrong number; `tracking_no` is the right one. The highest `version` holds,
    in whatever order corrections arrive; the number of the first answer is version 1.
    """

    happening: Happening
    at: datetime
    detail: str = ""
    tracking_no: str | None = None
    version: int = 0
