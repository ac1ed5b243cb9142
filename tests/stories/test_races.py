"""Races with forced interleavings: whoever wins, exactly one does, and the losers are told."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from tests.platform import Platform


async def test_the_last_unit_has_one_winner_among_fifty_buyers(platform: Platform) -> None:
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(stock=1)
    answers = await asyncio.gather(*(platform.place_patiently(caller, ticket) for _ in range(50)))
    told = Counter(answer.json().get("code", "placed") for answer in answers)
    assert told == {"placed": 1, "insufficient_stock": 49}
    (stock,) = await platform.rows("SELECT * FROM stock WHERE sku_id = %s", ticket.sku_id)
    assert (stock["on_hand"], stock["held"]) == (1, 1)


async def test_one_key_fifty_times_over_two_apis_is_one_order(platform: Platform) -> None:
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(stock=50)
    apis = [platform.api, await platform.another_api()]
    answers = await asyncio.gather(*(platform.place(caller, ticket, key="same", api=apis[n % 2]) for n in range(50)))
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) <= {201, 202, 409}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"request_in_flight"}
    again = await platform.place_patiently(caller, ticket, key="same")
    numbers = {answer.json()["order_no"] for answer in [*answers, again] if answer.status_code == 201}
    rows = await platform.rows("SELECT order_no FROM orders WHERE distributor_id = %s", caller.id)
    assert len(numbers) == len(rows) == 1


async def test_one_client_order_no_with_many_keys_is_one_order(platform: Platform) -> None:
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(stock=50)
    await asyncio.gather(*(platform.place_patiently(caller, ticket, client_order_no="only") for _ in range(20)))
    rows = await platform.rows("SELECT order_no FROM orders WHERE distributor_id = %s", caller.id)
    assert len(rows) == 1


async def test_the_last_credit_is_spent_once(platform: Platform) -> None:
    ticket = await platform.a_ticket(stock=50)
    caller = await platform.a_distributor(limit_minor=3 * ticket.price_minor)
    answers = await asyncio.gather(*(platform.place_patiently(caller, ticket) for _ in range(12)))
    told = Counter(answer.json().get("code", "placed") for answer in answers)
    assert told == {"placed": 3, "credit_exceeded": 9}


async def test_orders_that_cross_in_their_variants_do_not_block_each_other(platform: Platform) -> None:
    caller = await platform.a_distributor()
    one, two = await platform.a_ticket(stock=30), await platform.a_ticket(stock=30)
    crossing = [(one, two) if n % 2 else (two, one) for n in range(30)]
    answers = await asyncio.gather(*(platform.place_patiently(caller, *lines) for lines in crossing))
    assert Counter(answer.status_code for answer in answers) == {201: 30}
    orders = [int(answer.json()["order_no"]) for answer in answers]
    await asyncio.gather(
        *((platform.cancel if n % 2 else platform.confirm)(caller, order_no) for n, order_no in enumerate(orders))
    )
    for order_no in orders:
        await platform.settled(order_no)
    stocks = await platform.rows("SELECT * FROM stock WHERE sku_id = ANY (%s)", [one.sku_id, two.sku_id])
    assert [(stock["on_hand"], stock["held"], stock["sold"]) for stock in stocks] == [(15, 0, 15)] * 2


@pytest.mark.parametrize("seed", range(4))
async def test_place_cancel_confirm_and_expiry_at_once_have_one_outcome(platform: Platform, seed: int) -> None:
    """Everybody waits at a barrier inside a step that the seed chooses; then all go at once."""
    chance = random.Random(seed)
    step = chance.choice(["hold_stock", "record_lock"])
    supplier = await platform.a_supplier()
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(supplier, stock=1, lock=True)
    inside, go = asyncio.Event(), asyncio.Event()

    async def barrier(call: Any) -> Any:
        if call.name == step and call.attempt == 1:
            inside.set()
            await go.wait()
        return await call.proceed()

    buyer = f"race-{seed}"
    platform.interference.meet(buyer, barrier)
    placing = asyncio.create_task(platform.place(caller, ticket, buyer_ref=buyer))
    await inside.wait()
    (row,) = await platform.rows("SELECT order_no FROM orders WHERE distributor_id = %s", caller.id)
    order_no = int(row["order_no"])
    wishes = [platform.cancel, platform.confirm, platform.cancel]
    chance.shuffle(wishes)
    racing = [asyncio.create_task(wish(caller, order_no)) for wish in wishes]
    await asyncio.sleep(chance.random() / 20)
    go.set()
    answers = await asyncio.gather(*racing)
    await placing
    status = (await platform.read(order_no))["status"]
    if status == "locked":  # a cancel that came too early was told so; the order is still there to be cancelled
        await platform.cancel(caller, order_no)
    status = (await platform.settled(order_no))["status"]
    won = {answer.json()["status"] for answer in answers if answer.status_code == 200}
    assert won <= {status}
    assert await supplier.statuses() in ([], ["CANCELLED" if status == "canceled" else "CONFIRMED"])


@pytest.mark.parametrize("seed", range(4))
async def test_cancel_confirm_and_expiry_of_a_locked_order_have_one_winner(platform: Platform, seed: int) -> None:
    chance = random.Random(seed)
    supplier = await platform.a_supplier()
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(supplier, stock=1, lock=True))
    wishes: list[Any] = [
        platform.cancel(caller, order_no),
        platform.confirm(caller, order_no),
        platform.fast_forward(order_no, 1000),
    ]
    chance.shuffle(wishes)

    async def soon(wish: Any, delay_s: float) -> Any:
        await asyncio.sleep(delay_s)
        return await wish

    answers = await asyncio.gather(*(soon(wish, chance.random() / 100) for wish in wishes))
    status = (await platform.settled(order_no))["status"]
    won = {answer.json()["status"] for answer in answers if answer is not None and answer.status_code == 200}
    assert won <= {status}
    assert await supplier.statuses() == ["CONFIRMED" if status == "issued" else "CANCELLED"]
