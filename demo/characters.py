"""Who misbehaves how, and how it is dealt with meanwhile. Contracts are tightened for the demo's time, so that
negotiations end within it.

Of the ticket suppliers one is slow, one drops connections after doing the work and doesn't deduplicate, one forgets,
contradicts and rejects. The operator of the top-ups answers late or not at all. One carrier prints wrong waybills and
loses parcels, some of which it finds; the other tells late, twice, or before it has answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Character:
    """How one outside party behaves (`rates` per call) and how it is dealt with (`terms` of its contract, in seconds).

    `simulator` plays it. `strikes`: on which operation a kind is forced where chance has not brought it about.
    `moving`: settings of a carrier's parcels for the demo's time.
    """

    simulator: str
    rates: Mapping[str, float]
    params: Mapping[str, Any]
    terms: Mapping[str, Any]
    strikes: Mapping[str, str]
    deduplicates: bool = True
    moving: Mapping[str, Any] = field(default_factory=dict)


_PATIENCE = {
    "growth": 1.5,
    "ceiling_s": 4.0,
    "consistency_window_s": 3.0,
    "lock_timeout_s": 4.0,
    "issue_timeout_s": 6.0,
}

SEARCH_S = 4.0
"""After how long a carrier has given up the search for a parcel that it has lost."""
_FAST_PARCELS = {"moves": True, "step_s": 1.0}

CHARACTERS: Mapping[str, Character] = {
    "northgate": Character(
        "supplier",
        rates={"slow": 0.25, "confirm_late": 0.15, "callback_twice": 0.1, "rate_limit": 0.02},
        params={"slow_ms": 1200, "confirm_late_ms": 2500, "retry_after_s": 1},
        terms={**_PATIENCE, "first_interval_s": 1.0, "deadline_s": 20.0, "deadline_policy": "cancel_and_refund"},
        strikes={
            "slow": "reserve", "confirm_late": "confirm", "callback_twice": "confirm", "rate_limit": "confirm",
        },
    ),
    "cineplex": Character(
        "supplier",
        rates={
            "drop_after": 0.08, "error_after": 0.03, "unreadable": 0.02, "error_before": 0.02, "callback_early": 0.1,
        },
        params={},
        terms={**_PATIENCE, "first_interval_s": 0.5, "deadline_s": 8.0, "deadline_policy": "escalate"},
        strikes={
            "drop_after": "confirm", "error_after": "confirm", "unreadable": "confirm", "error_before": "reserve",
            "callback_early": "confirm",
        },
        deduplicates=False,
    ),
    "grandstand": Character(
        "supplier",
        rates={"forget": 0.12, "contradict": 0.08, "reject": 0.05, "error_after": 0.04},
        params={"forget_ms": 2500, "contradict_ms": 600},
        terms={**_PATIENCE, "first_interval_s": 0.5, "deadline_s": 10.0, "deadline_policy": "escalate"},
        strikes={"forget": "confirm", "contradict": "confirm", "reject": "confirm", "error_after": "confirm"},
    ),
    "mobilink": Character(
        "topup",
        rates={
            "confirm_late": 0.2, "drop_after": 0.08, "reject": 0.05, "forget": 0.05, "callback_twice": 0.1,
            "error_before": 0.03,
        },
        params={"confirm_late_ms": 2500, "forget_ms": 2500},
        terms={**_PATIENCE, "first_interval_s": 1.0, "deadline_s": 12.0, "deadline_policy": "escalate"},
        strikes={
            "confirm_late": "recharge", "drop_after": "recharge", "reject": "recharge", "forget": "recharge",
            "callback_twice": "recharge", "error_before": "recharge",
        },
    ),
    "swift": Character(
        "carrier",
        rates={
            "drop_after": 0.08, "wrong_waybill": 0.1, "confirm_late": 0.08, "reject": 0.04, "lose": 0.04, "find": 0.4,
        },
        params={"confirm_late_ms": 2500, "correct_ms": 1500, "found_ms": 1500},
        terms={**_PATIENCE, "first_interval_s": 1.0, "deadline_s": 20.0, "deadline_policy": "cancel_and_refund"},
        strikes={
            "wrong_waybill": "ship", "drop_after": "ship", "confirm_late": "ship", "reject": "ship", "lose": "move",
            "find": "move",
        },
        moving=_FAST_PARCELS,
    ),
    "local": Character(
        "carrier",
        rates={"callback_twice": 0.1, "callback_late": 0.1, "exception": 0.05, "callback_early": 0.1, "forget": 0.06},
        params={"forget_ms": 2500, "callback_late_ms": 1500},
        terms={**_PATIENCE, "first_interval_s": 1.0, "deadline_s": 10.0, "deadline_policy": "escalate"},
        strikes={
            "forget": "ship", "callback_early": "ship", "error_after": "ship", "callback_twice": "move",
            "callback_late": "move", "exception": "move",
        },
        moving=_FAST_PARCELS,
    ),
}  # fmt: skip

COMPANIONS: Mapping[str, str] = {"find": "lose"}
"""What has to strike with a kind, so that it has something to do: only a lost parcel is found."""

KINDS: tuple[str, ...] = tuple(
    dict.fromkeys(f"{each.simulator}/{kind}" for each in CHARACTERS.values() for kind in each.strikes)
)
"""Every one of them, by simulator and kind, has to take effect in a run."""
