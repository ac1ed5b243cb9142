"""The inspection is silent on a clean database and finds each loss that is planted in one."""

from __future__ import annotations

import psycopg
import pytest

from domain.inspection import InspectionTerms, Violation
from domain.issuance import booking_reference
from domain.orders import OrderStatus
from domain.settlement import loss_of
from storage.database import Database
from storage.inspection import inspect, order_facts, promised_lines
from storage.settlement import insert_flows
from tests.storage import world

LOCKED, CANCELED, ISSUED, TAKEN_BACK = 1001, 1002, 1003, 1004
OPEN = frozenset({f"order/{LOCKED}"})
QUIET = InspectionTerms(promise_s=10**9)


@pytest.fixture
async def small_world(database: Database, owner_url: str) -> Database:
    """Four orders: locked, canceled, issued in part, taken back."""
    async with Database(owner_url, pool_max=2) as owner, owner.reading() as cx:
        await world.make_world(cx)
    async with database.transaction() as cx:
        await world.locked(cx, LOCKED)
        await world.canceled(cx, CANCELED)
        await world.partly_issued(cx, ISSUED)
        await world.taken_back(cx, TAKEN_BACK)
    return database


async def violations(database: Database, terms: InspectionTerms = QUIET) -> list[Violation]:
    async with database.transaction() as cx:
        return await inspect(cx, terms, open_workflows=OPEN)


async def test_a_clean_world_gives_no_alarm(small_world: Database) -> None:
    assert await violations(small_world) == []


DOUBLED_REFUND = f"""
INSERT INTO receivable_flows
    (key, distributor_id, order_no, line_no, kind, amount_minor, currency, business_at, booked_at)
SELECT key || '/again', distributor_id, order_no, line_no, kind, amount_minor, currency, business_at, booked_at
FROM receivable_flows WHERE key = '{ISSUED}/2/refunded'"""

PLANTED: list[tuple[str, str]] = [
    ("flows_as_settlement_table", f"DELETE FROM receivable_flows WHERE key = '{ISSUED}/2/refunded'"),
    ("transfer_has_flow", f"DELETE FROM receivable_flows WHERE key = '{ISSUED}/2/refunded'"),
    ("credit_as_flows", f"DELETE FROM receivable_flows WHERE key = '{ISSUED}/2/refunded'"),
    ("flows_as_settlement_table", f"UPDATE payable_flows SET amount_minor = 1 WHERE key = '{ISSUED}/1/issued'"),
    ("flow_has_transfer", f"UPDATE payable_flows SET amount_minor = 1 WHERE key = '{ISSUED}/1/issued'"),
    ("flows_as_settlement_table", f"UPDATE payable_flows SET business_at = now() WHERE key = '{ISSUED}/1/issued'"),
    ("flows_as_settlement_table", DOUBLED_REFUND),
    ("refunded_within_paid", DOUBLED_REFUND),
    (
        "flow_of_known_line",
        "INSERT INTO payable_flows (key, supplier_id, order_no, line_no, kind, amount_minor, currency, business_at, "
        "booked_at) VALUES ('9/1/issued', 'east', 9, 1, 'issued', 1, 'CNY', now(), now())",
    ),
    ("flow_has_transfer", f"DELETE FROM ledger_transfers WHERE key = '{ISSUED}/1/issued'"),
    ("balances_as_transfers", f"DELETE FROM ledger_transfers WHERE key = '{ISSUED}/1/issued'"),
    ("balances_as_transfers", "UPDATE ledger_balances SET debits_minor = debits_minor + 1"),
    ("funds_ahead", f"UPDATE payable_flows SET amount_minor = 999999 WHERE key = '{ISSUED}/1/issued'"),
    ("funds_ahead", f"DELETE FROM payable_flows WHERE key = '{TAKEN_BACK}/1/supplier_refunded'"),
    ("issued_xor_refunded", f"UPDATE order_lines SET refunded_minor = total_minor WHERE order_no = {ISSUED}"),
    ("totals_derived", f"UPDATE order_lines SET refunded_minor = total_minor WHERE order_no = {ISSUED}"),
    ("totals_derived", f"UPDATE orders SET total_minor = total_minor + 1 WHERE order_no = {LOCKED}"),
    ("refunded_whole", f"UPDATE order_lines SET refunded_minor = 1 WHERE order_no = {ISSUED} AND line_no = 2"),
    (
        "one_confirmed_booking",
        "INSERT INTO bookings (order_no, line_no, attempt, offer_id, supplier_id, reference, state, cost_minor, "
        f"intended_at) VALUES ({ISSUED}, 1, 2, 'offer', 'east', 'other', 'confirmed', 1, now())",
    ),
    ("tickets_as_issued", f"DELETE FROM tickets WHERE order_no = {ISSUED} AND unit = 1"),
    ("tickets_as_issued", f"UPDATE tickets SET status = 'valid' WHERE order_no = {TAKEN_BACK}"),
    ("status_derived", f"UPDATE orders SET status = 'refunded' WHERE order_no = {ISSUED}"),
    ("log_adds_up", f"UPDATE orders SET payment_status = 'paid' WHERE order_no = {ISSUED}"),
    ("log_adds_up", f"DELETE FROM order_events WHERE order_no = {CANCELED} AND event = 'cancel'"),
    ("log_replays", f"UPDATE order_events SET event = 'issue' WHERE order_no = {CANCELED} AND event = 'cancel'"),
    ("log_replays", f"DELETE FROM order_events WHERE order_no = {CANCELED} AND event = 'lock' AND line_no = 1"),
    ("order_has_lines", f"DELETE FROM order_lines WHERE order_no = {CANCELED}"),
    ("accepted_claim_has_order", "UPDATE order_claims SET order_no = 77 WHERE order_no = 1001"),
    ("claim_answered", "UPDATE order_claims SET answer = NULL WHERE order_no = 1001"),
    ("stock_as_moved", "UPDATE stock SET on_hand = on_hand - 1"),
    ("stock_as_moved", "UPDATE stock SET sold = 1"),
    ("stock_as_moved", "DELETE FROM stock_movements"),
    ("stock_held_as_holds", "UPDATE stock SET held = 1"),
    ("stock_as_moved", "UPDATE stock_movements SET kind = 'transferred_out'"),
    (
        "stock_transfer_balanced",
        "INSERT INTO stock_movements (key, sku_id, kind, quantity, at) "
        "VALUES ('transfer/t/out', 'sku', 'transferred_out', 1, now())",
    ),
    (
        "stock_transfer_balanced",
        "INSERT INTO stock_movements (key, sku_id, kind, quantity, at) VALUES "
        "('transfer/t/out', 'sku', 'transferred_out', 2, now()), ('transfer/t/in', 'sku', 'transferred_in', 1, now())",
    ),
    (
        "stock_hold_whole",
        "INSERT INTO stock_holds (order_no, line_no, sku_id, quantity, state) VALUES (1001, 1, 'sku', 1, 'returned')",
    ),
    ("stock_alert_as_level", "ALTER TABLE stock DISABLE TRIGGER note_crossing; UPDATE stock SET alert_below = 101"),
    (
        "stock_alert_as_level",
        "INSERT INTO stock_alerts (sku_id, warehouse_id, alert_below, available, opened_at) "
        "VALUES ('sku', 'main', 5, 4, now())",
    ),
    ("stock_not_negative", "ALTER TABLE stock DROP CONSTRAINT held_within_on_hand; UPDATE stock SET held = 101"),
    (
        "stock_hold_ends",
        "INSERT INTO stock_holds (order_no, line_no, sku_id, quantity, state) VALUES (1002, 1, 'sku', 1, 'checked')",
    ),
    (
        "credit_as_flows",
        "UPDATE credit_lines SET outstanding_minor = outstanding_minor + 1 WHERE distributor_id = 'north'",
    ),
    (
        "placed_as_shown",
        "INSERT INTO users (id, email, name, password_hash, created_at) VALUES ('usr-1', 'a@b', 'A', '-', now());"
        "INSERT INTO checkouts (id, order_no, user_id, request, shown, currency, total_minor, expires_at, created_at) "
        f"SELECT 'chk-1', order_no, 'usr-1', '{{}}', '{{}}', currency, total_minor, now(), now() FROM orders "
        f"WHERE order_no = {LOCKED}",
    ),
    (
        "paid_by_buyer_holds_no_credit",
        f"UPDATE orders SET pays = 'by_channel' WHERE order_no = {LOCKED};"
        "INSERT INTO credit_holds (order_no, distributor_id, amount_minor, state) "
        f"VALUES ({LOCKED}, 'north', 1, 'used')",
    ),
    ("credit_held_as_holds", "UPDATE credit_lines SET held_minor = 1"),
    (
        "credit_hold_ends",
        "INSERT INTO credit_holds (order_no, distributor_id, amount_minor) VALUES (1002, 'north', 0)",
    ),
    ("motion_has_workflow", "UPDATE orders SET host_workflow_id = 'order/5' WHERE order_no = 1001"),
]


@pytest.mark.parametrize(("invariant", "plant"), PLANTED, ids=[f"{i}-{name}" for i, (name, _) in enumerate(PLANTED)])
async def test_a_planted_loss_is_found(small_world: Database, owner_url: str, invariant: str, plant: str) -> None:
    plant_as_owner(owner_url, plant)

    assert invariant in {violation.invariant for violation in await violations(small_world)}


async def test_an_open_workflow_of_an_order_at_rest_is_found(small_world: Database) -> None:
    async with small_world.transaction() as cx:
        found = await inspect(cx, QUIET, open_workflows={*OPEN, f"order/{CANCELED}", "lane/1"})
    assert [(each.invariant, each.subject) for each in found] == [("rest_has_no_workflow", str(CANCELED))]


async def test_an_order_past_its_promise_is_found_until_an_operator_has_it(small_world: Database) -> None:
    async with small_world.transaction() as cx:
        await cx.execute(
            "UPDATE orders SET status = 'issuing', confirmed_at = now() - interval '1 hour' WHERE order_no = %s",
            (LOCKED,),
        )
    assert "promise_kept" in names(await violations(small_world, InspectionTerms(promise_s=60)))

    async with small_world.transaction() as cx:
        await cx.execute(
            "INSERT INTO order_exceptions (id, kind, order_no, evidence, opened_at) "
            "VALUES ('e', 'late', %s, '{}', now())",
            (LOCKED,),
        )
    assert "promise_kept" not in names(await violations(small_world, InspectionTerms(promise_s=60)))


@pytest.mark.parametrize(
    ("state", "invariant"), [("waiting", "callback_handed_over"), ("unmatched", "callback_matched")]
)
async def test_an_acknowledged_callback_without_effect_is_found(
    small_world: Database, state: str, invariant: str
) -> None:
    async with small_world.transaction() as cx:
        await world.a_callback(cx, state, booking_reference(ISSUED, 1, 1), world.START)

    assert names(await violations(small_world)) == {invariant}


async def test_a_recorded_loss_is_no_violation(small_world: Database, owner_url: str) -> None:
    line = f"order_no = {TAKEN_BACK} AND line_no = 1"
    plant_as_owner(
        owner_url,
        f"DELETE FROM payable_flows WHERE key = '{TAKEN_BACK}/1/supplier_refunded';"
        f"UPDATE order_lines SET supplier_refunded_at = NULL, supplier_refunded_minor = 0 WHERE {line}",
    )
    assert "funds_ahead" in names(await violations(small_world))

    async with small_world.transaction() as cx:
        facts = {order.order_no: order async for order in order_facts(cx)}[TAKEN_BACK].lines[0]
        await insert_flows(cx, transfers=[loss_of(facts, "kept_ticket", world.COST * world.QUANTITY, world.START)])
    assert "funds_ahead" not in names(await violations(small_world))


async def test_promised_lines_know_their_references_and_losses(small_world: Database) -> None:
    async with small_world.reading() as cx:
        lines = {line.subject: line for line in await promised_lines(cx)}

    assert lines[f"{ISSUED}/1"].references == (booking_reference(ISSUED, 1, 1),)
    assert lines[f"{ISSUED}/1"].status is OrderStatus.ISSUED
    assert lines[f"{LOCKED}/1"].references == ()
    assert not lines[f"{ISSUED}/1"].loss_recorded


async def test_flows_that_their_buyers_pay_are_nobodys_credit(small_world: Database, owner_url: str) -> None:
    assert names(await violations(small_world)) == set()
    plant_as_owner(owner_url, f"UPDATE orders SET pays = 'by_channel' WHERE order_no = {LOCKED}")
    assert "credit_as_flows" in names(await violations(small_world))
    owed = 2 * world.PRICE * world.QUANTITY
    paid = f"UPDATE credit_lines SET outstanding_minor = outstanding_minor - {owed} WHERE distributor_id = 'north'"
    plant_as_owner(owner_url, paid)
    assert names(await violations(small_world)) == set()


async def test_what_was_placed_as_it_was_shown_is_no_violation(small_world: Database, owner_url: str) -> None:
    plant_as_owner(
        owner_url,
        "INSERT INTO users (id, email, name, password_hash, created_at) VALUES ('usr-1', 'a@b', 'A', '-', now());"
        f"UPDATE orders SET distributor_id = 'house', buyer_ref = 'usr-1' WHERE order_no = {LOCKED};"
        "INSERT INTO checkouts (id, order_no, user_id, request, shown, currency, total_minor, expires_at, created_at) "
        f"SELECT 'chk-1', order_no, 'usr-1', '{{}}', '{{}}', currency, total_minor, now(), now() FROM orders "
        f"WHERE order_no = {LOCKED}",
    )
    assert "placed_as_shown" not in names(await violations(small_world))


def names(found: list[Violation]) -> set[str]:
    return {violation.invariant for violation in found}


def plant_as_owner(owner_url: str, plant: str) -> None:
    """Does what no process can: as the owner, past the triggers and the foreign keys, which are put back afterwards."""
    tables = ("receivable_flows", "payable_flows", "ledger_transfers", "order_events", "stock_movements")
    with psycopg.connect(owner_url) as cx:
        for table in tables:
            cx.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only")
        cx.execute(plant)
        for table in tables:
            cx.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only")
