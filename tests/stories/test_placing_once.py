"""Once only: keys, the distributor's own numbers, dry runs, and who may see what."""

from __future__ import annotations

from tests.platform import Platform


async def count_orders(platform: Platform, distributor_id: str) -> int:
    (row,) = await platform.rows("SELECT count(*) AS n FROM orders WHERE distributor_id = %s", distributor_id)
    return int(row["n"])


async def test_the_same_key_twice_is_one_order_and_the_same_answer(platform: Platform) -> None:
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(stock=5)
    first = await platform.place(caller, ticket, key="once")
    again = await platform.place(caller, ticket, key="once")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert await count_orders(platform, caller.id) == 1


async def test_a_key_with_another_body_is_refused(platform: Platform) -> None:
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(stock=5)
    await platform.place(caller, ticket, key="once")
    answer = await platform.place(caller, (ticket, 2), key="once")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert await count_orders(platform, caller.id) == 1


async def test_a_refusal_is_remembered_by_its_key(platform: Platform) -> None:
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(stock=0)
    first = await platform.place(caller, ticket, key="once")
    await platform.rows("UPDATE stock SET on_hand = 1 WHERE sku_id = %s", ticket.sku_id)
    await platform.rows(
        "INSERT INTO stock_movements (key, sku_id, kind, quantity, at) VALUES (%s, %s, 'received', 1, now())",
        f"late/{ticket.sku_id}",
        ticket.sku_id,
    )
    again = await platform.place(caller, ticket, key="once")
    assert first.json()["code"] == again.json()["code"] == "insufficient_stock"
    assert (await platform.place(caller, ticket, key="twice")).status_code == 201


async def test_the_distributors_own_number_finds_the_first_order(platform: Platform) -> None:
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(stock=5)
    first = await platform.place(caller, ticket, client_order_no="A-1")
    again = await platform.place(caller, ticket, client_order_no="A-1")
    assert (again.status_code, again.json()["order_no"]) == (201, first.json()["order_no"])
    other = await platform.place(caller, (ticket, 2), client_order_no="A-1")
    assert (other.status_code, other.json()["code"]) == (409, "client_order_no_reused")
    assert await count_orders(platform, caller.id) == 1


async def test_a_refused_order_frees_its_number(platform: Platform) -> None:
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(stock=1)
    refused = await platform.place(caller, (ticket, 2), client_order_no="B-1")
    assert refused.json()["code"] == "insufficient_stock"
    assert (await platform.place(caller, ticket, client_order_no="B-1")).status_code == 201


async def test_two_distributors_may_use_the_same_key_and_number(platform: Platform) -> None:
    one, two = await platform.a_distributor(), await platform.a_distributor()
    ticket = await platform.a_ticket(stock=5)
    answers = [await platform.place(each, ticket, key="k", client_order_no="C") for each in (one, two)]
    assert len({answer.json()["order_no"] for answer in answers}) == 2


async def test_a_dry_run_tells_what_would_be_done_and_does_nothing(platform: Platform) -> None:
    caller = await platform.a_distributor(limit_minor=50_000)
    ticket = await platform.a_ticket(stock=5)
    answer = await platform.place(caller, (ticket, 2), dry_run=True)
    assert (answer.status_code, answer.json()["status"]) == (200, "would_lock")
    assert answer.json()["credit_after"]["amount_minor"] == 10_000
    assert await count_orders(platform, caller.id) == 0
    assert await platform.rows("SELECT 1 FROM order_claims WHERE distributor_id = %s", caller.id) == []
    (stock,) = await platform.rows("SELECT held FROM stock WHERE sku_id = %s", ticket.sku_id)
    assert stock["held"] == 0


async def test_a_dry_run_refuses_as_placing_would(platform: Platform) -> None:
    caller = await platform.a_distributor(limit_minor=50_000)
    for ticket, code in (
        ((await platform.a_ticket(stock=1), 2), "insufficient_stock"),
        ((await platform.a_ticket(stock=9), 3), "credit_exceeded"),
    ):
        planned = await platform.place(caller, ticket, dry_run=True)
        assert (planned.status_code, planned.json()["code"]) == (409, code)


async def test_somebody_elses_order_does_not_exist(platform: Platform) -> None:
    owner, stranger = await platform.a_distributor(), await platform.a_distributor()
    order_no = await platform.placed(owner, await platform.a_ticket(stock=1))
    path = f"/v1/orders/{order_no:019d}"
    answers = [
        await platform.api.get(path, headers=stranger.headers),
        await platform.confirm(stranger, order_no),
        await platform.cancel(stranger, order_no),
        await platform.act(stranger, order_no, "extend", {"by_s": 60}),
    ]
    assert [(each.status_code, each.json()["code"]) for each in answers] == [(404, "order_not_found")] * 4
    assert (await platform.read(order_no, owner))["status"] == "locked"


async def test_the_detail_tells_what_happened_and_what_may_be_done(platform: Platform) -> None:
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(stock=1))
    detail = await platform.read(order_no, caller)
    assert detail["allowed_actions"] == ["confirm", "cancel", "extend"]
    assert [event["event"] for event in detail["timeline"] if event["line_no"] == 0][:2] == ["place", "lock"]
    await platform.confirm(caller, order_no)
    detail = await platform.settled(order_no)
    assert detail["allowed_actions"] == []
    steps = [event for event in detail["timeline"] if event["axis"] == "status" and not event["line_no"]]
    assert [step["to_state"] for step in steps] == ["pending", "locked", "issuing", "issued"]


async def test_lists_go_on_where_they_stopped_and_show_each_order_once(platform: Platform) -> None:
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(stock=9)
    placed = [await platform.placed(caller, ticket) for _ in range(5)]
    seen: list[int] = []
    path = "/v1/orders?limit=2"
    while path:
        page = (await platform.api.get(path, headers=caller.headers)).json()
        seen += [int(order["order_no"]) for order in page["data"]]
        path = f"/v1/orders?limit=2&cursor={page['next_cursor']}" if page.get("next_cursor") else ""
    assert seen == sorted(placed, reverse=True)


async def test_what_is_sold_out_is_refused_again_without_starting_anything(platform: Platform) -> None:
    buyer = await platform.a_distributor()
    ticket = await platform.a_ticket(await platform.a_supplier(), stock=1)
    won = await platform.place(buyer, ticket, key="won")
    first = await platform.place(buyer, ticket)
    claims = "SELECT count(*) AS n FROM order_claims WHERE distributor_id = %s"
    before = (await platform.rows(claims, buyer.id))[0]["n"]

    again = await platform.place(buyer, ticket)
    replayed = await platform.place(buyer, ticket, key="won")

    assert (won.status_code, first.status_code, again.status_code) == (201, 409, 409)
    assert again.json()["code"] == "insufficient_stock"
    assert again.json()["left"] == {ticket.sku_id: 0}
    assert (await platform.rows(claims, buyer.id))[0]["n"] == before
    assert replayed.json()["order_no"] == won.json()["order_no"]
    await platform.confirm(buyer, int(won.json()["order_no"]))
