"""Tickets in their buyers' hands, and what operators see and do about a single one."""

from __future__ import annotations

import io

import pytest
import zxingcpp
from httpx2 import Response
from PIL import Image

from domain.access import Role
from tests.api.conftest import Caller, Maker
from tests.api.gate_world import GateWorld, Issued, buyer, world

__all__ = ["buyer", "world"]  # fixtures


async def qr(world: GateWorld, issued: Issued, unit: int = 0, caller: Caller | None = None) -> Response:
    path = f"{issued.path}/tickets/1/{unit}/qr.png"
    return await world.api.get(path, headers=(caller or issued.distributor).headers)


async def pdf(world: GateWorld, issued: Issued, query: str = "", caller: Caller | None = None) -> Response:
    return await world.api.get(f"{issued.path}/tickets.pdf{query}", headers=(caller or issued.distributor).headers)


def read_back(answer: Response) -> str:
    (found,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(answer.content)).convert("L"))
    return str(found.text)


async def test_the_order_shows_each_tickets_token_serial_and_where_its_qr_code_is(
    world: GateWorld, buyer: Caller
) -> None:
    issued = await world.order(buyer, quantity=2)
    detail = (await world.api.get(issued.path, headers=buyer.headers)).json()
    shown = detail["lines"][0]["tickets"][1]
    assert (shown["serial"], shown["code_format"], shown["status"]) == (issued.ref(1).serial, "TESSERA", "valid")
    answer = await world.api.get(shown["qr"], headers=buyer.headers)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "private, no-store"
    assert read_back(answer) == shown["code"]
    assert (await world.scan(read_back(answer))).json()["unit"] == 1
    document = await world.api.get(detail["links"]["tickets_pdf"], headers=buyer.headers)
    assert document.content.count(b"/Type /Page\n") == 2


async def test_a_suppliers_code_is_shown_as_it_is(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer, codes=("NG-4711",))
    assert read_back(await qr(world, issued)) == "NG-4711"


async def test_a_suppliers_document_is_a_link_and_no_qr_code(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer, codes=("https://tickets.example/7.pdf",), code_format="PDF_URL")
    refused = (await qr(world, issued)).json()
    assert (refused["code"], refused["link"]) == ("ticket_has_no_code", "https://tickets.example/7.pdf")
    assert b"https://tickets.example/7.pdf" in (await pdf(world, issued)).content


async def test_before_it_is_issued_there_is_nothing_to_print(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer, minted=False)
    for answer in (await qr(world, issued), await pdf(world, issued)):
        assert (answer.status_code, answer.json()["code"]) == (409, "tickets_not_issued")
        assert answer.json()["state"] == "issuing"


async def test_a_void_ticket_has_a_page_and_no_qr_code(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer)
    before = (await pdf(world, issued)).content
    await world.void(issued)
    answer = await qr(world, issued)
    assert (answer.status_code, answer.json()["code"]) == (409, "ticket_void")
    after = await pdf(world, issued)
    assert after.headers["content-type"] == "application/pdf"
    assert len(after.content) < len(before)


async def test_tickets_are_their_distributors_and_operators_alone(
    world: GateWorld, buyer: Caller, a_distributor: Maker, an_operator: Maker
) -> None:
    issued, stranger, support = await world.order(buyer), await a_distributor(), await an_operator(Role.SUPPORT)
    serial = f"/v1/tickets/{issued.ref().serial}"
    for answer in (
        await qr(world, issued, caller=stranger),
        await pdf(world, issued, caller=stranger),
        await world.api.get(serial, headers=stranger.headers),
    ):
        assert answer.status_code == 404
    assert (await pdf(world, issued, caller=support)).status_code == 200
    assert (await world.api.get(serial, headers=support.headers)).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [("/tickets/1/1/qr.png", 404), ("/tickets/2/0/qr.png", 404), ("/tickets/0/0/qr.png", 422),
     ("/tickets/1/70000/qr.png", 422), ("/tickets.pdf?first=2", 404), ("/tickets.pdf?first=0", 422)],
)  # fmt: skip
async def test_a_ticket_that_is_not_there_is_not_found(world: GateWorld, buyer: Caller, path: str, status: int) -> None:
    issued = await world.order(buyer)
    assert (await world.api.get(f"{issued.path}{path}", headers=buyer.headers)).status_code == status


async def test_a_long_order_is_printed_in_parts(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer, quantity=205)
    pages = [(await pdf(world, issued, f"?first={first}")).content.count(b"/Type /Page\n") for first in (1, 201)]
    assert pages == [200, 5]


async def test_a_tickets_record_has_every_scan(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer)
    token = await world.token(issued)
    await world.scan(token, "north-1")
    await world.scan(token, "north-2")
    typed = issued.ref().serial.replace("-", "").lower()
    record = (await world.api.get(f"/v1/tickets/{typed}", headers=buyer.headers)).json()
    assert (record["status"], record["redeemed_gate"]) == ("redeemed", "north-1")
    assert [(scan["gate_id"], scan["outcome"]) for scan in record["scans"]] == [
        ("north-2", "redeemed"), ("north-1", "admitted"),
    ]  # fmt: skip


async def test_voiding_is_logged_and_told_and_happens_once(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer)
    answer = await world.void(issued, reason="bought twice")
    assert (answer.json()["status"], answer.json()["void_reason"]) == ("void", "bought twice")
    again = await world.void(issued, reason="another reason")
    assert (again.status_code, again.json()["code"], again.json()["reason"]) == (409, "ticket_void", "bought twice")
    logged = await world.rows("SELECT * FROM operation_log WHERE subject_id = %s", issued.ref().serial)
    assert [(row["action"], row["actor"], row["after"]["reason"]) for row in logged] == [
        ("ticket.void", f"operator/{world.operator.id}", "bought twice")
    ]
    events = (await world.api.get("/v1/events?kind=ticket.voided", headers=buyer.headers)).json()["data"]
    assert [event["data"]["serial"] for event in events] == [issued.ref().serial]


async def test_who_is_in_is_in(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer)
    await world.scan(await world.token(issued), "north-1")
    answer = await world.void(issued)
    assert (answer.status_code, answer.json()["code"], answer.json()["gate_id"]) == (409, "ticket_redeemed", "north-1")


async def test_only_operations_void(world: GateWorld, buyer: Caller, an_operator: Maker) -> None:
    issued = await world.order(buyer)
    path = f"/v1/tickets/{issued.ref().serial}/void"
    for caller in (buyer, world.gate, await an_operator(Role.SUPPORT)):
        assert (await world.api.post(path, json={"reason": "r"}, headers=caller.once())).status_code == 403


@pytest.mark.parametrize(("serial", "status"), [("3KB8K-ZC38C-00400-20005", 404), ("nonsense", 422)])
async def test_a_misread_serial_is_no_ticket(world: GateWorld, serial: str, status: int) -> None:
    answer = await world.api.get(f"/v1/tickets/{serial}", headers=world.operator.headers)
    assert answer.status_code == status
