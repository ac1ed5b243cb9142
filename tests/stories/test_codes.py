"""Codes from a pool: held with the order, handed out exactly once, given back when the order is not paid."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.platform import Platform
from tests.traders import ADDRESS, Caller

pytestmark = pytest.mark.usefixtures("every_invariant_holds")


@pytest.fixture
async def caller(platform: Platform) -> Caller:
    return await platform.a_distributor()


async def states(platform: Platform, sku_id: str) -> dict[str, int]:
    rows = await platform.rows("SELECT state, count(*) AS n FROM codes WHERE sku_id = %s GROUP BY state", sku_id)
    return {row["state"]: row["n"] for row in rows}


async def test_codes_are_handed_out_in_the_order_in_which_they_were_loaded(platform: Platform, caller: Caller) -> None:
    game = await platform.a_code_pool("A-1", "A-2", "A-3")
    order_no = await platform.placed(caller, (game, 2))
    assert await states(platform, game.sku_id) == {"held": 2, "available": 1}
    answer = await platform.confirm(caller, order_no)
    assert answer.json()["status"] == "issued", answer.text
    (line,) = (await platform.read(order_no, caller))["lines"]
    assert [(unit["code"], unit["code_format"], unit["state"]) for unit in line["units"]] == [
        ("A-1", "CODE", "issued"),
        ("A-2", "CODE", "issued"),
    ]
    assert line["tickets"] == []
    assert line["preview"]["what"] == "a code per unit"
    assert await states(platform, game.sku_id) == {"handed_out": 2, "available": 1}


async def test_forty_nine_codes_go_to_forty_nine_of_fifty_buyers(platform: Platform, caller: Caller) -> None:
    game = await platform.a_code_pool(*(f"C-{number:02d}" for number in range(49)))

    async def buy() -> int | None:
        answer = await platform.place_patiently(caller, game)
        if answer.status_code != 201:
            assert answer.json()["code"] == "insufficient_stock"
            return None
        order_no = int(answer.json()["order_no"])
        await platform.answered(lambda: platform.confirm(caller, order_no, wait_s=10, key=f"confirm-{order_no}"))
        await platform.settled(order_no)
        return order_no

    bought = [order_no for order_no in await asyncio.gather(*(buy() for _ in range(50))) if order_no is not None]
    assert len(bought) == 49
    shown = [
        unit["code"]
        for order_no in bought
        for line in (await platform.read(order_no))["lines"]
        for unit in line["units"]
    ]
    assert sorted(shown) == [f"C-{number:02d}" for number in range(49)]
    assert await states(platform, game.sku_id) == {"handed_out": 49}


@pytest.mark.parametrize("kind", ["ticket", "physical"])
async def test_a_code_beside_something_of_our_own_stock_is_held_with_it(
    platform: Platform, caller: Caller, kind: str
) -> None:
    game, other = await platform.a_code_pool("A-1", "A-2"), await platform.a_ticket(stock=5)
    if kind == "physical":
        other = await platform.goods(stock=5)
    order_no = await platform.placed(caller, other, game, ship_to=ADDRESS)
    assert await states(platform, game.sku_id) == {"held": 1, "available": 1}
    await platform.confirm(caller, order_no)
    order = await platform.settled(order_no)
    assert [line["status"] for line in order["lines"]] == ["issued", "issued"]
    refused = await platform.place(caller, other, (game, 2), ship_to=ADDRESS)
    assert refused.json()["code"] == "insufficient_stock"


async def test_an_order_that_is_canceled_gives_its_code_back_to_the_next(platform: Platform, caller: Caller) -> None:
    game = await platform.a_code_pool("ONLY")
    order_no = await platform.placed(caller, game)
    refused = await platform.place(caller, game)
    assert refused.json()["code"] == "insufficient_stock"
    assert refused.json()["left"] == {game.sku_id: 0}
    await platform.cancel(caller, order_no)
    following = await platform.placed(caller, game)
    await platform.confirm(caller, following)
    (line,) = (await platform.settled(following))["lines"]
    assert line["units"][0]["code"] == "ONLY"


async def test_an_order_that_expires_gives_its_codes_back(platform: Platform, caller: Caller) -> None:
    game = await platform.a_code_pool("X-1", "X-2")
    order_no = await platform.placed(caller, (game, 2))
    await platform.fast_forward(order_no, 1000)
    assert (await platform.settled(order_no))["status"] == "canceled"
    assert await states(platform, game.sku_id) == {"available": 2}


async def test_a_code_that_is_past_its_date_is_not_sold(platform: Platform, caller: Caller) -> None:
    game = await platform.a_code_pool("OLD")
    await platform.rows("UPDATE codes SET valid_to = now() - interval '1 day' WHERE sku_id = %s", game.sku_id)
    refused = await platform.place(caller, game)
    assert (refused.status_code, refused.json()["code"]) == (409, "insufficient_stock")
    shown = (await platform.api.get(f"/v1/products/{game.product_id}", headers=caller.headers)).json()
    assert (shown["sellable"], shown["skus"][0]["available"]) == ("sold_out", 0)


async def test_no_code_is_shown_before_the_rest_of_an_all_or_nothing_order_is_certain(
    platform: Platform, caller: Caller
) -> None:
    """Who has seen a code has it, whatever is refunded: so it is handed out last, and here it is not."""
    bad = await platform.a_supplier()
    await bad.next("confirm", "reject")
    game, ticket = await platform.a_code_pool("SEEN"), await platform.a_ticket(bad)
    order_no = await platform.placed(caller, game, ticket, all_or_nothing=True)
    await platform.confirm(caller, order_no)
    order = await platform.settled(order_no)
    assert order["status"] == "refunded"
    assert await states(platform, game.sku_id) == {"available": 1}
    assert order["refunded"] == order["total"]
    assert [line["failure"]["code"] for line in order["lines"]] == ["all_or_nothing", "issue_rejected"]
    both = await platform.placed(caller, game, await platform.a_ticket(), all_or_nothing=True)
    await platform.confirm(caller, both)
    assert (await platform.settled(both))["status"] == "issued"
    assert await states(platform, game.sku_id) == {"handed_out": 1}


async def test_codes_are_held_beside_a_quota_of_ours_in_the_same_order(platform: Platform, caller: Caller) -> None:
    game, ticket = await platform.a_code_pool("B-1"), await platform.traders.a_ticket(stock=1)
    order_no = await platform.placed(caller, ticket, game)
    assert await states(platform, game.sku_id) == {"held": 1}
    assert (await platform.place(caller, game)).json()["code"] == "insufficient_stock"
    await platform.confirm(caller, order_no)
    order = await platform.settled(order_no)
    assert [line["status"] for line in order["lines"]] == ["issued", "issued"]


async def test_codes_are_free_again_when_another_lines_stock_is_gone_at_payment(
    platform: Platform, caller: Caller
) -> None:
    """All or nothing: what one line has lost to others takes the codes' line with it, before anybody has seen them."""
    game = await platform.a_code_pool("G-1")
    ticket = await platform.traders.a_ticket(stock=1, policy="at_payment")
    order_no = await platform.placed(caller, ticket, game, all_or_nothing=True)
    faster = await platform.placed(caller, ticket)
    for each in (faster, order_no):
        await platform.confirm(caller, each)
    assert (await platform.settled(order_no))["status"] == "refunded"
    assert await states(platform, game.sku_id) == {"available": 1}


async def test_a_dry_run_tells_what_a_pool_is_short_of(platform: Platform, caller: Caller) -> None:
    game = await platform.a_code_pool("D-1")
    answer = await platform.place(caller, (game, 2), dry_run=True)
    assert answer.json()["code"] == "insufficient_stock"
    assert (await platform.place(caller, game, dry_run=True)).json()["status"] == "would_lock"
    assert await states(platform, game.sku_id) == {"available": 1}


async def test_where_a_variants_units_come_from_changes_only_while_no_order_counts_on_it(
    platform: Platform, caller: Caller
) -> None:
    game = await platform.a_code_pool("P-1")

    async def switch(policy: str) -> Any:
        body = {"stock_policy": policy, "lock_at_supplier": False}
        path = f"/v1/skus/{game.sku_id}/stock-policy"
        return await platform.api.put(path, json=body, headers=platform.operator.headers)

    order_no = await platform.placed(caller, game)
    refused = await switch("none")
    assert (refused.status_code, refused.json()["code"], refused.json()["orders"]) == (409, "variant_in_orders", 1)
    await platform.confirm(caller, order_no)
    assert (await platform.settled(order_no))["status"] == "issued"
    assert (await switch("hold")).status_code == 200
    assert (await switch("codes")).status_code == 200


async def test_pools_are_loaded_counted_and_withdrawn_over_http(platform: Platform, caller: Caller) -> None:
    game = await platform.a_code_pool()
    path = f"/v1/skus/{game.sku_id}/codes"
    loaded = await platform.api.post(path, json={"codes": ["N-1", "N-2", "N-1"]}, headers=platform.operator.once())
    assert (loaded.status_code, loaded.json()["loaded"], loaded.json()["available"]) == (201, 2, 2)
    again = await platform.api.post(path, json={"codes": ["N-2", "N-3"]}, headers=platform.operator.once())
    assert again.json()["loaded"] == 1
    await platform.placed(caller, game)
    withdrawn = await platform.api.post(f"{path}/withdraw", headers=platform.operator.once())
    assert (withdrawn.json()["withdrawn"], withdrawn.json()["held"]) == (2, 1)
    counted = await platform.api.get(path, headers=platform.operator.headers)
    assert "N-1" not in counted.text
    assert (await platform.api.get(path, headers=caller.headers)).status_code == 403
    empty = await platform.api.post(path, json={"codes": [" "]}, headers=platform.operator.once())
    assert empty.status_code == 422
