"""Two-phase for shoppers: a checkout shows what will be charged and is placed once, at that price or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

from httpx2 import Response

from domain.access import HOUSE
from domain.checkouts import placing_key
from storage import order_claims
from tests.platform import Platform
from tests.traders import Caller, Ticket


def refused(answer: Response, code: str, status: int = 409) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    return problem


async def orders_of(platform: Platform, shopper: Caller) -> list[dict[str, Any]]:
    return await platform.rows("SELECT * FROM orders WHERE buyer_ref = %s ORDER BY order_no", shopper.id)


async def a_channel(platform: Platform, channel_id: str, **facts: Any) -> None:
    columns = {"id": channel_id, "name": f"Pay {channel_id}", "protocol": "p", "base_url": "http://c", **facts}
    names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
    await platform.rows(
        f"INSERT INTO payment_channels ({names}, created_at) VALUES ({marks}, now())", *columns.values()
    )


async def test_a_checkout_shows_what_will_be_charged_and_holds_nothing(platform: Platform) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket(stock=5)
    answer = await platform.check_out(shopper, (ticket, 2))
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert shown["id"] == f"chk-{shown['order_no']}"
    assert shown["total"] == {"amount_minor": 2 * ticket.price_minor, "currency": "CNY"}
    assert [(line["quantity"], line["total"]["amount_minor"]) for line in shown["lines"]] == [(2, 40_000)]
    read = await platform.api.get(answer.headers["location"], headers=shopper.headers)
    assert read.json() == shown
    (stock,) = await platform.rows("SELECT held FROM stock WHERE sku_id = %s", ticket.sku_id)
    assert stock["held"] == 0
    assert await platform.rows("SELECT 1 FROM order_claims WHERE order_no = %s", int(shown["order_no"])) == []


async def test_discounts_are_explained_and_placed_as_shown(platform: Platform) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket(stock=5)
    promotion_id = await platform.traders.a_promotion(
        "percent_off", for_=Caller(HOUSE, ""), percent_bp=1000, scope={"sku_ids": [ticket.sku_id]}
    )
    shown = (await platform.check_out(shopper, (ticket, 2))).json()
    ((discount,),) = [line["discounts"] for line in shown["lines"]]
    assert (shown["total"]["amount_minor"], shown["discount"]["amount_minor"]) == (36_000, 4_000)
    assert discount["promotion_id"] == promotion_id
    assert "10.00 % off" in discount["explanation"]
    placed = await platform.place_checkout(shopper, shown["id"])
    assert (placed.status_code, placed.json()["total"]) == (201, shown["total"])


async def test_only_channels_that_would_take_the_total_are_offered(platform: Platform) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket(stock=5)
    await a_channel(platform, "able")
    await a_channel(platform, "asleep", active=False)
    await a_channel(platform, "foreign", currency="EUR")
    await a_channel(platform, "small", max_minor=ticket.price_minor - 1)
    shown = (await platform.check_out(shopper, ticket)).json()
    assert shown["payable_by"] == [{"id": "able", "name": "Pay able"}]


async def test_placing_takes_the_number_and_waits_to_be_paid_by_its_buyer(platform: Platform) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket(stock=5)
    shown = (await platform.check_out(shopper, ticket)).json()
    placed = await platform.place_checkout(shopper, shown["id"])
    assert placed.status_code == 201, placed.text
    assert placed.json()["order_no"] == shown["order_no"]
    order = await platform.read(int(shown["order_no"]), shopper)
    assert (order["status"], order["pays"], order["distributor_id"], order["buyer_ref"]) == (
        "locked", "by_channel", HOUSE, shopper.id,
    )  # fmt: skip
    assert order["allowed_actions"] == ["pay", "cancel", "extend"]
    assert (order["revives"], order["revived_by"]) == (None, None)
    assert order["timeline"][0]["actor"] == f"user/{shopper.id}"


async def test_an_order_that_its_buyer_pays_holds_and_uses_no_credit(platform: Platform) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket(stock=5)
    (before,) = await platform.rows("SELECT * FROM credit_lines WHERE distributor_id = 'house'")
    assert before["limit_minor"] == 0
    answer = await platform.place_checkout(shopper, await platform.checkout(shopper, ticket))
    assert answer.status_code == 201, answer.text
    (after,) = await platform.rows("SELECT * FROM credit_lines WHERE distributor_id = 'house'")
    assert after == before
    number = int(answer.json()["order_no"])
    assert await platform.rows("SELECT 1 FROM credit_holds WHERE order_no = %s", number) == []


async def test_twenty_posts_at_once_with_twenty_keys_place_one_order(platform: Platform) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket(stock=50)
    checkout_id, other = await platform.checkout(shopper, ticket), await platform.another_api()
    answers = await asyncio.gather(
        *(
            platform.answered(
                lambda n=number: platform.place_checkout(  # type: ignore[misc]
                    shopper, checkout_id, key=f"tab-{n}-{checkout_id}", api=(platform.api, other)[n % 2]
                )
            )
            for number in range(20)
        )
    )
    assert [answer.status_code for answer in answers] == [201] * 20
    assert {answer.json()["order_no"] for answer in answers} == {checkout_id.removeprefix("chk-")}
    assert len(await orders_of(platform, shopper)) == 1
    (stock,) = await platform.rows("SELECT held FROM stock WHERE sku_id = %s", ticket.sku_id)
    assert stock["held"] == 1


async def test_one_key_for_two_checkouts_places_both(platform: Platform) -> None:
    """The checkout is what makes it once, not the key."""
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket(stock=5)
    for checkout_id in (await platform.checkout(shopper, ticket), await platform.checkout(shopper, ticket)):
        placed = await platform.place_checkout(shopper, checkout_id, key="the-same")
        assert placed.json()["order_no"] == checkout_id.removeprefix("chk-")
    assert len(await orders_of(platform, shopper)) == 2


async def test_a_claim_whose_process_died_is_sent_by_the_next_post(platform: Platform) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket(stock=5)
    checkout_id = await platform.checkout(shopper, ticket)
    (row,) = await platform.rows("SELECT order_no, request FROM checkouts WHERE id = %s", checkout_id)
    async with platform.parts.database.reading() as cx:
        await order_claims.claim(
            cx, order_no=row["order_no"], distributor_id=HOUSE, idempotency_key=placing_key(checkout_id),
            body_hash=placing_key(checkout_id), client_order_no=None, request=row["request"], patience_s=0,
        )  # fmt: skip
    reading = await platform.api.get(f"/v1/orders/{row['order_no']:019d}", headers=shopper.headers)
    assert (reading.status_code, reading.json()["status"]) == (202, "accepted")
    stranger = await platform.a_shopper()
    unseen = await platform.api.get(f"/v1/orders/{row['order_no']:019d}", headers=stranger.headers)
    refused(unseen, "order_not_found", 404)
    first = await platform.place_checkout(shopper, checkout_id)
    again = await platform.place_checkout(shopper, checkout_id)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert len(await orders_of(platform, shopper)) == 1


async def test_a_checkout_that_ran_out_is_refused_but_a_placed_one_answers_for_ever(platform: Platform) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket(stock=5)
    late, placed = await platform.checkout(shopper, ticket), await platform.checkout(shopper, ticket)
    first = await platform.place_checkout(shopper, placed)
    await platform.rows("UPDATE checkouts SET expires_at = now() - interval '1 second' WHERE user_id = %s", shopper.id)
    assert "expires_at" in refused(await platform.place_checkout(shopper, late), "checkout_expired")
    assert (await platform.place_checkout(shopper, placed)).json() == first.json()
    assert len(await orders_of(platform, shopper)) == 1


async def test_a_price_that_changed_after_it_was_shown_refuses_with_the_new_one(platform: Platform) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket(stock=5)
    checkout_id = await platform.checkout(shopper, ticket)
    await platform.rows("UPDATE prices SET amount_minor = amount_minor + 1 WHERE sku_id = %s", ticket.sku_id)
    for _ in range(2):
        problem = refused(await platform.place_checkout(shopper, checkout_id), "price_changed")
        assert "20001" in problem["detail"]
    dearer = Ticket(ticket.sku_id, ticket.product_id, ticket.price_minor + 1)
    assert (await platform.place_checkout(shopper, await platform.checkout(shopper, dearer))).status_code == 201


async def test_a_discount_that_ended_refuses_the_total_that_was_shown(platform: Platform) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket(stock=5)
    promotion_id = await platform.traders.a_promotion(
        "percent_off", for_=Caller(HOUSE, ""), percent_bp=1000, scope={"sku_ids": [ticket.sku_id]}
    )
    checkout_id = await platform.checkout(shopper, ticket)
    await platform.rows("UPDATE promotions SET state = 'ended' WHERE id = %s", promotion_id)
    problem = refused(await platform.place_checkout(shopper, checkout_id), "price_changed")
    assert problem["total"]["amount_minor"] == ticket.price_minor


async def test_a_refused_checkout_gives_the_same_refusal_again_and_a_new_one_is_placed(platform: Platform) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket(stock=1)
    first, second = await platform.checkout(shopper, ticket), await platform.checkout(shopper, ticket)
    assert (await platform.place_checkout(shopper, first)).status_code == 201
    gone = refused(await platform.place_checkout(shopper, second), "insufficient_stock")
    await platform.rows("UPDATE stock SET on_hand = 2 WHERE sku_id = %s", ticket.sku_id)
    await platform.rows(
        "INSERT INTO stock_movements (key, sku_id, kind, quantity, at) VALUES (%s, %s, 'received', 1, now())",
        f"late/{ticket.sku_id}",
        ticket.sku_id,
    )
    assert refused(await platform.place_checkout(shopper, second), "insufficient_stock")["left"] == gone["left"]
    assert (await platform.place_checkout(shopper, await platform.checkout(shopper, ticket))).status_code == 201


async def test_what_is_sold_out_is_refused_at_checkout_already(platform: Platform) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket(stock=1)
    problem = refused(await platform.check_out(shopper, (ticket, 2)), "insufficient_stock")
    assert problem["left"] == {ticket.sku_id: 1}
    assert await platform.rows("SELECT 1 FROM checkouts WHERE user_id = %s", shopper.id) == []


async def test_shoppers_place_by_checkout_only_and_only_by_their_own(platform: Platform) -> None:
    shopper, stranger = await platform.a_shopper(), await platform.a_shopper()
    distributor, ticket = await platform.a_distributor(), await platform.a_ticket(stock=5)
    for dry_run in (False, True):
        answer = await platform.place(shopper, ticket, dry_run=dry_run)
        assert "checkout_id" in refused(answer, "checkout_required", 422)["detail"]
    checkout_id = await platform.checkout(shopper, ticket)
    for other in (stranger, distributor):
        refused(await platform.place_checkout(other, checkout_id), "checkout_not_found", 404)
    refused(await platform.place_checkout(shopper, "chk-none"), "checkout_not_found", 404)
    assert (await platform.check_out(distributor, ticket)).status_code == 403
    assert await platform.rows("SELECT 1 FROM order_claims WHERE order_no = %s", int(checkout_id[4:])) == []


async def test_another_shoppers_order_cannot_be_touched(platform: Platform) -> None:
    shopper, stranger = await platform.a_shopper(), await platform.a_shopper()
    placed = await platform.place_checkout(shopper, await platform.checkout(shopper, await platform.a_ticket(stock=1)))
    number = int(placed.json()["order_no"])
    for action, body in (("cancel", {"reason": "mine"}), ("extend", {"by_s": 60})):
        refused(await platform.act(stranger, number, action, body), "order_not_found", 404)
        refused(await platform.act(await platform.a_distributor(), number, action, body), "order_not_found", 404)
    assert (await platform.act(shopper, number, "confirm")).status_code == 403
    assert (await platform.read(number, shopper))["status"] == "locked"
    extended = await platform.act(shopper, number, "extend", {"by_s": 60})
    assert (extended.status_code, extended.json()["allowed_actions"]) == (200, ["pay", "cancel", "extend"])


async def test_the_body_is_an_order_or_a_checkout_and_faults_are_told_where_they_are(platform: Platform) -> None:
    shopper = await platform.a_shopper()
    bodies: dict[str, Any] = {
        "/checkout_id": {"checkout_id": "?"},
        "/lines": {"checkout_id": "chk-1", "lines": []},
        "/lines/0/quantity": {
            "currency": "CNY",
            "lines": [{"sku_id": "s", "quantity": 0, "unit_price": {"amount_minor": 1, "currency": "CNY"}}],
        },
    }
    for pointer, body in bodies.items():
        answer = await platform.api.post("/v1/orders", json=body, headers=shopper.once())
        assert [error["pointer"] for error in refused(answer, "validation_failed", 422)["errors"]] == [pointer]
    for body in ([], "chk-1", None, 7):
        answer = await platform.api.post("/v1/orders", json=body, headers=shopper.once())
        refused(answer, "validation_failed", 422)
    named = {"currency": "CNY", "lines": [], "buyer_ref": "somebody-else"}
    answer = await platform.api.post("/v1/checkouts", json=named, headers=shopper.once())
    assert "/buyer_ref" in {error["pointer"] for error in refused(answer, "validation_failed", 422)["errors"]}


async def test_a_dry_run_of_a_checkout_tells_no_credit_and_does_nothing(platform: Platform) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket(stock=5)
    checkout_id = await platform.checkout(shopper, ticket)
    answer = await platform.api.post(
        "/v1/orders?dry_run=true", json={"checkout_id": checkout_id}, headers=shopper.once()
    )
    assert (answer.status_code, answer.json()["status"], answer.json()["credit_after"]) == (200, "would_lock", None)
    assert await orders_of(platform, shopper) == []


async def test_limits_count_by_the_shopper_whoever_they_say_they_are(platform: Platform) -> None:
    shopper, other = await platform.a_shopper(), await platform.a_shopper()
    ticket = await platform.a_ticket(stock=9, buyer_limit=1)
    assert (await platform.place_checkout(shopper, await platform.checkout(shopper, ticket))).status_code == 201
    refused(await platform.check_out(shopper, ticket), "buyer_limit_exceeded")
    assert (await platform.check_out(other, ticket)).status_code == 201


async def test_a_claim_that_revives_an_order_is_seen_from_both(platform: Platform) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket(stock=5)
    first = await platform.checkout(shopper, ticket)
    second = await platform.checkout(shopper, ticket)
    await platform.place_checkout(shopper, first)
    old, new = first.removeprefix("chk-"), second.removeprefix("chk-")
    await platform.rows(
        "UPDATE checkouts SET request = request || jsonb_build_object('revives', %s::text) WHERE id = %s", old, second
    )
    assert (await platform.place_checkout(shopper, second)).status_code == 201
    assert (await platform.read(int(new), shopper))["revives"] == old
    assert (await platform.read(int(old), shopper))["revived_by"] == new


async def test_distributors_orders_stay_on_account(platform: Platform) -> None:
    distributor = await platform.a_distributor()
    order_no = await platform.placed(distributor, await platform.a_ticket(stock=1))
    order = await platform.read(order_no, distributor)
    assert (order["pays"], order["allowed_actions"]) == ("on_account", ["confirm", "cancel", "extend"])
    assert order["timeline"][0]["actor"] == f"distributor/{distributor.id}"
