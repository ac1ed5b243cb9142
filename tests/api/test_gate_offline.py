"""Gates without a line to us: the list says whom to refuse, and what two gates let in twice does not stay unseen."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.api.conftest import Caller
from tests.api.gate_world import GateWorld, Issued, buyer, world

__all__ = ["buyer", "world"]  # fixtures


async def the_list(world: GateWorld, product_id: str, **query: Any) -> dict[str, Any]:
    answer = await world.api.get(
        "/v1/gate/offline-list", params={"product_id": product_id, **query}, headers=world.gate.headers
    )
    assert answer.status_code == 200, answer.text
    signed: dict[str, Any] = answer.json()
    return signed


def verify(signed: dict[str, Any], keys: list[dict[str, Any]]) -> None:
    """As docs/gate.md tells those who build gates, without a line of our code. Raises InvalidSignature."""
    signature = signed["signature"]
    (public,) = [key["public_key"] for key in keys if key["id"] == signature["key_id"]]
    text = json.dumps(signed["list"], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    raw, value = (base64.urlsafe_b64decode(each + "==") for each in (public, signature["value"]))
    Ed25519PublicKey.from_public_bytes(raw).verify(value, b"tessera/offline-list/1\n" + text.encode())


async def test_the_list_is_signed_and_any_change_of_it_shows(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer, quantity=2)
    keys = (await world.api.get("/v1/gate/keys")).json()["keys"]
    signed = await the_list(world, issued.product_id)
    verify(signed, keys)
    signed["list"]["tickets"][1]["status"] = "void"
    with pytest.raises(InvalidSignature):
        verify(signed, keys)


async def test_a_gate_learns_whom_to_refuse_and_nothing_of_buyers_or_codes(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer, quantity=3)
    other = await world.order(buyer, codes=("NG-7-secret",), product_id=issued.product_id)
    await world.void(issued, 1)
    await world.scan(await world.token(issued, 2))
    signed = await the_list(world, issued.product_id)
    statuses = {ticket["serial"]: ticket["status"] for ticket in signed["list"]["tickets"]}
    assert statuses == {
        issued.ref(0).serial: "valid",
        issued.ref(1).serial: "void",
        issued.ref(2).serial: "redeemed",
        other.ref().serial: "valid",
    }
    hashes = {ticket["code_sha256"] for ticket in signed["list"]["tickets"]}
    assert hashes == {None, hashlib.sha256(b"NG-7-secret").hexdigest()}
    assert "secret" not in json.dumps(signed)
    assert buyer.id not in json.dumps(signed)


async def test_increments_bring_what_changed_and_pages_leave_nothing_out(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer, quantity=5)
    page = (await the_list(world, issued.product_id, limit=3))["list"]
    rest = (await the_list(world, issued.product_id, limit=3, since=page["next_since"]))["list"]
    assert (page["complete"], rest["complete"]) == (False, True)
    assert [each["serial"] for each in page["tickets"] + rest["tickets"]] == [issued.ref(n).serial for n in range(5)]
    nothing = (await the_list(world, issued.product_id, since=rest["next_since"]))["list"]
    assert (nothing["tickets"], nothing["next_since"]) == ([], rest["next_since"])
    await world.void(issued, 3)
    changed = (await the_list(world, issued.product_id, since=rest["next_since"]))["list"]
    assert [(each["serial"], each["status"]) for each in changed["tickets"]] == [(issued.ref(3).serial, "void")]


async def test_a_list_is_of_one_event(world: GateWorld, buyer: Caller) -> None:
    monday = world.clock.now + timedelta(days=1)
    first = await world.order(buyer, starts_at=monday)
    await world.order(buyer, starts_at=monday + timedelta(days=1), product_id=first.product_id)
    open_ = await world.order(buyer, product_id=first.product_id)
    of_monday = (await the_list(world, first.product_id, starts_at=monday.isoformat()))["list"]["tickets"]
    of_no_day = (await the_list(world, first.product_id))["list"]["tickets"]
    assert [each["serial"] for each in of_monday] == [first.ref().serial]
    assert [each["serial"] for each in of_no_day] == [open_.ref().serial]


@pytest.mark.parametrize("since", ["", "x", "1-2-3", "1-9999999999999999999-1-0", "-1-1-1-1"])
async def test_a_place_that_no_list_gave_is_refused(world: GateWorld, since: str) -> None:
    answer = await world.api.get(
        "/v1/gate/offline-list", params={"product_id": "p", "since": since}, headers=world.gate.headers
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "cursor_invalid")


def scan(code: str, at: datetime) -> dict[str, Any]:
    return {"code": code, "scanned_at": at.isoformat()}


async def test_offline_entries_count_as_of_when_they_were(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer, quantity=2)
    then = world.clock.now + timedelta(minutes=5)
    tokens = [await world.token(issued, unit) for unit in range(2)]
    world.clock.advance(hours=2)
    answer = await world.bring("south-1", *(scan(token, then) for token in tokens))
    assert (answer.json()["admitted"], answer.json()["conflicts"]) == (2, 0)
    refused = (await world.scan(tokens[0])).json()
    assert (refused["code"], refused["gate_id"], refused["redeemed_at"]) == (
        "ticket_redeemed", "south-1", then.isoformat(),
    )  # fmt: skip


async def test_a_gate_whose_clock_runs_ahead_has_scanned_no_later_than_now(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer)
    await world.bring("south-1", scan(await world.token(issued), world.clock.now + timedelta(days=3)))
    (row,) = await world.rows("SELECT redeemed_at FROM tickets WHERE order_no = %s", issued.order_no)
    assert row["redeemed_at"] == world.clock.now


async def test_two_gates_that_let_the_same_ticket_in_are_reported_to_both_and_to_operators(
    world: GateWorld, buyer: Caller
) -> None:
    issued = await world.order(buyer)
    token, then = await world.token(issued), world.clock.now
    assert (await world.bring("south-1", scan(token, then))).json()["admitted"] == 1
    answer = await world.bring("south-2", scan(token, then + timedelta(minutes=1)))
    (told,) = answer.json()["results"]
    assert (told["outcome"], told["facts"]["gate_id"]) == ("redeemed", "south-1")
    case = await the_case(world, issued)
    assert case["kind"] == "double_admission"
    assert case["evidence"]["entered"]["gate_id"] == "south-2"
    assert case["evidence"]["redeemed"]["gate_id"] == "south-1"
    listed = await world.api.get(f"/v1/exceptions/{case['id']}", headers=world.operator.headers)
    assert listed.json()["offered"] == ["acknowledge"]


async def test_an_entry_on_a_void_ticket_becomes_a_case_and_the_ticket_stays_void(
    world: GateWorld, buyer: Caller
) -> None:
    issued = await world.order(buyer)
    token = await world.token(issued)
    await world.void(issued)
    (told,) = (await world.bring("south-1", scan(token, world.clock.now))).json()["results"]
    assert (told["outcome"], told["facts"]["reason"]) == ("void", "event canceled")
    assert (await the_case(world, issued))["kind"] == "void_admission"
    (row,) = await world.rows("SELECT status FROM tickets WHERE order_no = %s", issued.order_no)
    assert row["status"] == "void"


async def test_the_same_scan_brought_again_counts_once(world: GateWorld, buyer: Caller) -> None:
    """Also under another key: a gate that was switched off in between does not know what it has sent."""
    issued = await world.order(buyer)
    brought = scan(await world.token(issued), world.clock.now)
    for key in ("batch-1", "batch-2"):
        answer = await world.bring("south-1", brought, key=key)
        assert (answer.json()["admitted"], answer.json()["conflicts"]) == (1, 0)
    assert await world.outcomes(issued) == ["admitted"]
    assert await cases(world, issued) == []


async def test_a_gate_that_did_not_hear_our_answer_and_brings_the_entry_later_is_no_case(
    world: GateWorld, buyer: Caller
) -> None:
    issued = await world.order(buyer)
    token = await world.token(issued)
    await world.scan(token, "south-1")
    (told,) = (await world.bring("south-1", scan(token, world.clock.now))).json()["results"]
    assert told["outcome"] == "redeemed"
    assert await cases(world, issued) == []


async def test_what_nobody_issued_is_reported_beside_what_is_good(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer)
    good, now = await world.token(issued), world.clock.now
    answer = await world.bring("south-1", scan(good[:-3] + "AAA", now), scan("NG-0", now), scan(good, now))
    assert [each["outcome"] for each in answer.json()["results"]] == ["forged", "unknown", "admitted"]
    assert [each["serial"] for each in answer.json()["results"]] == [None, None, issued.ref().serial]


async def test_a_batch_is_bounded_and_not_empty(world: GateWorld) -> None:
    for count in (0, 501):
        answer = await world.bring("south-1", *[scan("NG-0", world.clock.now)] * count)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def cases(world: GateWorld, issued: Issued) -> list[dict[str, Any]]:
    return await world.rows("SELECT * FROM order_exceptions WHERE order_no = %s", issued.order_no)


async def the_case(world: GateWorld, issued: Issued) -> dict[str, Any]:
    (case,) = await cases(world, issued)
    return case
