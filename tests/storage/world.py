"""A small world in the database: one of everything, and orders that went all their ways through the real entity."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from psycopg.types.json import Jsonb

from domain.errors import Refusal
from domain.issuance import booking_reference
from domain.order import Line, Order
from domain.orders import OrderStatus
from domain.settlement import (
    LineFacts,
    flow_at_cancel,
    flow_at_issue,
    flow_at_refund,
    flow_at_supplier_refund,
    flows_at_lock,
)
from storage.database import Connection
from storage.order_writing import save_order
from storage.settlement import insert_flows

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
PRICE, COST, QUANTITY = 5000, 4200, 2

_WORLD = """
INSERT INTO distributors (id, name, currency, time_zone, created_at) VALUES ('north', 'House', 'CNY', 'UTC', now());
INSERT INTO credit_lines (distributor_id, currency, limit_minor) VALUES ('north', 'CNY', 10000000);
INSERT INTO suppliers (id, name, base_url, api_token, callback_secret, created_at)
    VALUES ('east', 'East', 'http://east.example', 't', 's', now());
INSERT INTO categories (id, name, kind) VALUES ('cat', 'Tickets', 'ticket');
INSERT INTO products (id, category_id, kind, title, status, time_zone, attributes, terms, images,
    created_at, updated_at) VALUES ('prd', 'cat', 'ticket', 'Tower', 'on_shelf', 'UTC', '[]', '{}', '[]', now(), now());
INSERT INTO skus (id, product_id, title, attributes, updated_at) VALUES ('sku', 'prd', 'Adult', '[]', now());
INSERT INTO offers (id, sku_id, supplier_id, supplier_product_id, option_id, unit_id, cost_minor, currency)
    VALUES ('offer', 'sku', 'east', 'p', 'o', 'u', 4200, 'CNY');
INSERT INTO snapshots (id, body, created_at) VALUES ('snap', '{}', now());
INSERT INTO stock (sku_id, on_hand) VALUES ('sku', 100);
INSERT INTO stock_movements (key, sku_id, kind, quantity, at) VALUES ('receipt', 'sku', 'received', 100, now());
"""


async def make_world(owner: Connection) -> None:
    """A distributor with credit, a supplier with an offer, a hundred of one variant. `owner`: connected as such."""
    await owner.execute(_WORLD)


async def an_order(cx: Connection, order_no: int, *, at: datetime = START) -> Order:
    """A pending order of two lines."""
    await cx.execute(
        "INSERT INTO order_claims (order_no, distributor_id, idempotency_key, body_hash, request, answer, sent_until, "
        "created_at) VALUES (%s, 'north', %s, '', '{}', '{}', %s, %s)",
        (order_no, str(order_no), at, at),
    )
    await cx.execute(
        "INSERT INTO orders (order_no, distributor_id, host_workflow_id, status, currency, total_minor, created_at, "
        "updated_at) VALUES (%s, 'north', %s, 'pending', 'CNY', %s, %s, %s)",
        (order_no, f"order/{order_no}", 2 * PRICE * QUANTITY, at, at),
    )
    await cx.execute(
        "INSERT INTO order_lines (order_no, line_no, status, sku_id, product_id, kind, title, quantity, "
        "unit_price_minor, total_minor, snapshot_id) SELECT %s, line_no, 'pending', 'sku', 'prd', 'ticket', 'Adult', "
        "%s, %s, %s, 'snap' FROM generate_series(1, 2) AS line_no",
        (order_no, QUANTITY, PRICE, PRICE * QUANTITY),
    )
    lines = [Line(number, OrderStatus.PENDING, "sku", QUANTITY, PRICE, PRICE * QUANTITY) for number in (1, 2)]
    return Order(order_no, "north", "CNY", 2 * PRICE * QUANTITY, lines)


async def locked(cx: Connection, order_no: int) -> Order:
    """Placed, with its receivable."""
    order = await an_order(cx, order_no)
    order.lock(START, expires_at=START + timedelta(minutes=15))
    await save_order(cx, order, actor="test", at=START)
    await insert_flows(cx, flows_at_lock([facts(order, number) for number in (1, 2)], START))
    await _owe(cx, order.total_minor)
    return order


async def canceled(cx: Connection, order_no: int) -> Order:
    """Placed, then cancelled."""
    order = await locked(cx, order_no)
    at = START + timedelta(minutes=1)
    order.cancel(at, reason="buyer", expired=False)
    await save_order(cx, order, actor="test", at=at)
    await insert_flows(cx, [flow_at_cancel(facts(order, number), at) for number in (1, 2)])
    await _owe(cx, -order.total_minor)
    return order


async def partly_issued(cx: Connection, order_no: int) -> Order:
    """Line 1 issued with its tickets, line 2 rejected by its supplier and refunded."""
    order = await locked(cx, order_no)
    at = START + timedelta(minutes=2)
    order.confirm_on_account(at)
    order.issue_line(1, at, supplier_id="east", cost_minor=COST * QUANTITY)
    order.fail_line(2, Refusal("sold_out", "Sold out."), at)
    await save_order(cx, order, actor="test", at=at)
    await insert_flows(
        cx,
        [flow_at_refund(facts(order, 2), PRICE * QUANTITY, at)],
        [flow_at_issue(facts(order, 1), "east", COST * QUANTITY, at)],
    )
    await _owe(cx, -PRICE * QUANTITY)
    await cx.execute(
        "INSERT INTO bookings (order_no, line_no, attempt, offer_id, supplier_id, reference, state, cost_minor, "
        "intended_at) SELECT %s, 1, 1, 'offer', 'east', %s, 'confirmed', %s, %s",
        (order_no, booking_reference(order_no, 1, 1), COST * QUANTITY, at),
    )
    await cx.execute(
        "INSERT INTO tickets (order_no, line_no, unit, supplier_ticket_id, code, code_format, issued_at) "
        "SELECT %s, 1, unit, unit, unit, 'QRCODE', %s FROM generate_series(0, 1) AS unit",
        (order_no, at),
    )
    return order


async def taken_back(cx: Connection, order_no: int) -> Order:
    """Partly issued, then cancelled at the supplier, who credits its cost: refunded whole."""
    order = await partly_issued(cx, order_no)
    at = START + timedelta(minutes=3)
    order.take_back_line(1, at, reason="all_or_nothing", supplier_credit_minor=COST * QUANTITY)
    await save_order(cx, order, actor="test", at=at)
    await insert_flows(
        cx,
        [flow_at_refund(facts(order, 1), PRICE * QUANTITY, at)],
        [flow_at_supplier_refund(facts(order, 1), "east", COST * QUANTITY, at)],
    )
    await _owe(cx, -PRICE * QUANTITY)
    await cx.execute("UPDATE tickets SET status = 'void' WHERE order_no = %s", (order_no,))
    await cx.execute("UPDATE bookings SET state = 'released' WHERE order_no = %s", (order_no,))
    return order


def facts(order: Order, line_no: int) -> LineFacts:
    """What settlement knows of one of the order's lines."""
    line = order.line(line_no)
    return LineFacts(
        order.order_no,
        line_no,
        line.status,
        order.distributor_id,
        order.currency,
        line.total_minor,
        supplier_id=line.supplier_id,
        cost_minor=line.cost_minor,
        refunded_minor=line.refunded_minor,
        supplier_refunded_minor=line.supplier_refunded_minor,
        locked_at=line.locked_at,
        canceled_at=line.canceled_at,
        issued_at=line.issued_at,
        refunded_at=line.refunded_at,
        supplier_refunded_at=line.supplier_refunded_at,
    )


async def _owe(cx: Connection, amount_minor: int) -> None:
    await cx.execute(
        "UPDATE credit_lines SET outstanding_minor = outstanding_minor + %s WHERE distributor_id = 'north'",
        (amount_minor,),
    )


async def a_callback(cx: Connection, state: str, reference: str, received_at: datetime) -> None:
    """An entry of the inbox of supplier `east`."""
    await cx.execute(
        "INSERT INTO supplier_callbacks (supplier_id, message_id, reference, body, state, received_at) "
        "VALUES ('east', 'm', %s, %s, %s, %s)",
        (reference, Jsonb({}), state, received_at),
    )
