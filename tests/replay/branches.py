"""The branches of every workflow, each walked once on a real platform: what histories are recorded of."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from activities.catalog_messages import CatalogSync
from tests.faults.carts import PHONE, arrive, get_lost, happens, mixed, parcel, told_parcel, two_parcels
from tests.platform import Platform
from tests.replay.pay_branches import PAY_BRANCHES
from tests.stories import test_negotiation
from tests.traders import ADDRESS
from workflows.catalog import CATALOG_TASK_QUEUE, CatalogSyncWorkflow, catalog_workflow_id
from workflows.catalog_imports import catalog_import_workflow_id
from workflows.deliveries import delivery_workflow_id
from workflows.order_ids import order_workflow_id
from workflows.resolutions import resolution_workflow_id

Branch = Callable[[Platform], Awaitable[str]]
"""Walks one way and answers the id of the workflow that went it."""


async def _order(platform: Platform, *tickets: Any, **body: Any) -> int:
    """Placed, confirmed, and at rest."""
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, *tickets, **body)
    await platform.confirm(caller, order_no, wait_s=0.5)
    await platform.settled(order_no)
    return order_no


async def issued(platform: Platform) -> str:
    return order_workflow_id(await _order(platform, await platform.a_ticket(stock=1)))


async def issued_with_lock(platform: Platform) -> str:
    return order_workflow_id(await _order(platform, await platform.a_ticket(lock=True), await platform.a_ticket()))


async def partly_issued(platform: Platform) -> str:
    bad = await platform.a_supplier()
    await bad.next("confirm", "reject")
    return order_workflow_id(await _order(platform, await platform.a_ticket(), await platform.a_ticket(bad)))


async def all_or_nothing(platform: Platform) -> str:
    bad = await platform.a_supplier()
    await bad.next("confirm", "reject")
    tickets = [await platform.a_ticket(), await platform.a_ticket(bad)]
    return order_workflow_id(await _order(platform, *tickets, all_or_nothing=True))


async def issued_elsewhere(platform: Platform) -> str:
    bad, good = await platform.a_supplier(), await platform.a_supplier()
    await bad.next("confirm", "reject")
    return order_workflow_id(await _order(platform, await platform.a_ticket(bad, good)))


async def negotiated(platform: Platform) -> str:
    supplier = await platform.a_supplier(calls_back=False)
    await supplier.next("confirm", "error_after")
    return order_workflow_id(await _order(platform, await platform.a_ticket(supplier)))


async def sent_again(platform: Platform) -> str:
    supplier = await platform.a_supplier(calls_back=False)
    await supplier.next("reserve", "error_before")
    return order_workflow_id(await _order(platform, await platform.a_ticket(supplier)))


async def given_up(platform: Platform) -> str:
    _, order_no, case_id = await test_negotiation.escalated(platform)
    await platform.decide(case_id, "give_up")
    await platform.settled(order_no)
    return order_workflow_id(order_no)


async def canceled(platform: Platform) -> str:
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(lock=True))
    await platform.cancel(caller, order_no)
    await platform.settled(order_no)
    return order_workflow_id(order_no)


async def expired(platform: Platform) -> str:
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(stock=1, lock=True))
    await platform.act(caller, order_no, "extend", {"by_s": 1200})
    await platform.fast_forward(order_no, 1300)
    await platform.settled(order_no)
    return order_workflow_id(order_no)


async def promoted(platform: Platform) -> str:
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(stock=1)
    await platform.traders.a_promotion("percent_off", for_=caller, percent_bp=1000)
    order_no = await platform.placed(caller, ticket)
    await platform.confirm(caller, order_no)
    await platform.settled(order_no)
    return order_workflow_id(order_no)


async def promotion_gone(platform: Platform) -> str:
    """Priced with a promotion that has ended when it is to be held."""
    await platform.rows(
        "INSERT INTO risk_rules (id, kind, subject, threshold, outcome) VALUES ('all', 'amount', 'order', 1, 'review')"
    )
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(stock=1)
    await platform.traders.a_promotion("percent_off", for_=caller, percent_bp=1000)
    placed = await platform.place_patiently(caller, ticket)
    await platform.rows("DELETE FROM risk_rules")
    await platform.rows("UPDATE promotions SET state = 'ended' WHERE scope->'distributor_ids' ? %s", caller.id)
    order_no = int(placed.json()["order_no"])
    await platform.act(platform.operator, order_no, "review", {"decision": "approve", "reason": "known buyer"})
    await platform.settled(order_no)
    return order_workflow_id(order_no)


async def _last_order(platform: Platform) -> int:
    (row,) = await platform.rows("SELECT max(order_no) AS n FROM orders")
    await platform.settled(int(row["n"]))
    return int(row["n"])


async def refused(platform: Platform) -> str:
    await platform.place_patiently(await platform.a_distributor(), await platform.a_ticket(stock=0))
    return order_workflow_id(await _last_order(platform))


async def lock_unknown(platform: Platform) -> str:
    supplier = await platform.a_supplier()
    await supplier.next("reserve", "error_after")
    await platform.place_patiently(await platform.a_distributor(), await platform.a_ticket(supplier, lock=True))
    return order_workflow_id(await _last_order(platform))


async def reviewed(platform: Platform) -> str:
    await platform.rows(
        "INSERT INTO risk_rules (id, kind, subject, threshold, outcome) VALUES ('big', 'amount', 'order', 1, 'review')"
    )
    caller = await platform.a_distributor()
    placed = await platform.place_patiently(caller, await platform.a_ticket(stock=1))
    await platform.rows("DELETE FROM risk_rules")
    order_no = int(placed.json()["order_no"])
    await platform.act(platform.operator, order_no, "review", {"decision": "approve", "reason": "known buyer"})
    await platform.confirm(caller, order_no)
    await platform.settled(order_no)
    return order_workflow_id(order_no)


async def taken_back(platform: Platform) -> str:
    supplier = await platform.a_supplier()
    await supplier.behave(contradict_ms=50)
    await supplier.next("confirm", "contradict")
    order_no = await _order(platform, await platform.a_ticket(supplier))
    case = await platform.until_case(order_no, "contradiction")
    await platform.decide(case["id"], "give_up")
    await platform.resolved(case["id"])
    return resolution_workflow_id(case["id"])


async def catalogue_synced(platform: Platform) -> str:
    supplier = await platform.a_supplier()
    await platform.env.client.execute_workflow(
        CatalogSyncWorkflow.run,
        CatalogSync(supplier.id),
        id=catalog_workflow_id(supplier.id),
        task_queue=CATALOG_TASK_QUEUE,
    )
    return catalog_workflow_id(supplier.id)


async def codes_handed_out(platform: Platform) -> str:
    return order_workflow_id(await _order(platform, await platform.a_code_pool("R-1")))


async def topped_up(platform: Platform) -> str:
    pack = await platform.a_pack()
    return order_workflow_id(await _order(platform, lines=[platform.line(pack, account=PHONE)]))


async def parcel_issued(platform: Platform) -> str:
    return order_workflow_id(await _order(platform, await platform.goods(), ship_to=ADDRESS))


async def parcel_split(platform: Platform) -> str:
    cart = await two_parcels(platform)
    return order_workflow_id(await _order(platform, lines=cart.lines, **cart.body))


async def part_failed(platform: Platform) -> str:
    """One of two parcels is refused: the other is called back."""
    cart = await two_parcels(platform)
    await cart.carriers[0].next("ship", "reject")
    return order_workflow_id(await _order(platform, lines=cart.lines, **cart.body))


async def mixed_taken_back(platform: Platform) -> str:
    """All or nothing, and the ticket is refused when the parcel and the code are issued."""
    cart = await mixed(platform)
    for fault in ("slow", "reject"):
        await cart.suppliers[0].next("confirm", fault)
    return order_workflow_id(await _order(platform, lines=cart.lines, **cart.body))


async def delivered_by_asking(platform: Platform) -> str:
    """Its carrier never calls: it is asked."""
    cart = await parcel(platform)
    order_no = await _order(platform, lines=cart.lines, **cart.body)
    assert not await arrive(platform, cart, order_no)
    return delivery_workflow_id(order_no, 1)


async def delivered_as_told(platform: Platform) -> str:
    cart = await two_parcels(platform)
    order_no = await _order(platform, lines=cart.lines, **cart.body)
    assert not await arrive(platform, cart, order_no)
    return delivery_workflow_id(order_no, 1)


async def delivery_taken_back(platform: Platform) -> str:
    """All or nothing: its delivery finds the line taken back."""
    cart = await mixed(platform)
    for fault in ("slow", "reject"):
        await cart.suppliers[0].next("confirm", fault)
    order_no = await _order(platform, lines=cart.lines, **cart.body)
    assert await platform.delivered(order_no, 2) == "taken_back"
    return delivery_workflow_id(order_no, 2)


async def lost_and_written_off(platform: Platform) -> str:
    cart = await told_parcel(platform)
    order_no = await _order(platform, lines=cart.lines, **cart.body)
    assert not await get_lost(platform, cart, order_no)
    return delivery_workflow_id(order_no, 1)


async def lost_and_found(platform: Platform) -> str:
    cart = await told_parcel(platform)
    order_no = await _order(platform, lines=cart.lines, **cart.body)
    await happens(cart.carriers[0], "picked_up", "lost")
    await platform.until_case(order_no, "unit_lost")
    await happens(cart.carriers[0], "found")
    assert not await arrive(platform, cart, order_no)
    return delivery_workflow_id(order_no, 1)


async def catalogue_imported(platform: Platform) -> str:
    sku = {"skuName": "s", "price": 1, "stock": 1}
    good = json.dumps({"categoryId": 1003001, "spu": {"name": "Lantern"}, "skus": [sku]})
    headers = {**platform.operator.once(), "Content-Type": "application/x-ndjson"}
    sent = await platform.api.post("/v1/catalog-imports", content=f"{good}\n[]".encode(), headers=headers)
    workflow_id = catalog_import_workflow_id(sent.json()["id"])
    await platform.env.client.get_workflow_handle(workflow_id).result()
    return workflow_id


BRANCHES: tuple[Branch, ...] = (
    issued, issued_with_lock, partly_issued, all_or_nothing, issued_elsewhere, negotiated, sent_again, given_up,
    canceled, expired, refused, lock_unknown, reviewed, taken_back, catalogue_synced, promoted, promotion_gone,
    codes_handed_out, topped_up, parcel_issued, parcel_split, part_failed, mixed_taken_back, delivered_by_asking,
    delivered_as_told, delivery_taken_back, lost_and_written_off, lost_and_found, catalogue_imported,
    *PAY_BRANCHES,
)  # fmt: skip
