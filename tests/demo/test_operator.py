"""What the operator of the demo decides about parcels, and what is read out on the phone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from demo.characters import CHARACTERS, COMPANIONS, KINDS, SEARCH_S
from demo.operator import credentials_of, of_parcel

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_parcel(event: str, ago_s: float) -> dict[str, Any]:
    return {"events": [{"event": event, "at": (NOW - timedelta(seconds=ago_s)).isoformat()}]}


def test_a_parcel_is_given_up_when_the_search_for_it_is_over_and_not_before() -> None:
    assert of_parcel(a_parcel("lost", SEARCH_S - 1), NOW) is None
    decision = of_parcel(a_parcel("lost", SEARCH_S), NOW)
    assert decision is not None
    assert decision["decision"] == "give_up"
    assert of_parcel(a_parcel("found", 60), NOW) is None
    assert of_parcel(None, NOW) is not None


def test_tickets_waybills_and_receipts_are_read_out_on_the_phone() -> None:
    ticket = credentials_of({"units": [{"uuid": "u", "code": "c"}]})
    waybill = credentials_of({"id": "P1", "waybill": "SW1"})
    receipts = credentials_of({"id": "R1", "vouchers": ["V1", "V2"]})
    assert ticket == [{"supplier_ticket_id": "u", "code": "c"}]
    assert waybill == [{"supplier_ticket_id": "P1", "code": "SW1", "code_format": "WAYBILL"}]
    assert [each["code"] for each in receipts] == ["V1", "V2"]


def test_every_kind_that_chance_may_leave_out_is_forced_and_each_simulator_misbehaves() -> None:
    assert {kind.partition("/")[0] for kind in KINDS} == {"supplier", "topup", "carrier"}
    for character in CHARACTERS.values():
        rated = {f"{character.simulator}/{kind}" for kind in character.rates}
        assert rated <= set(KINDS)
        assert all(COMPANIONS.get(kind, kind) in character.strikes for kind in character.strikes)
