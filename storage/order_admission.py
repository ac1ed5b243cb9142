"""What placing has to know before it decides, in few reads, and the one statement that records the pending order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from domain.access import HOUSE, PrincipalKind
from domain.payments import Pays
from storage.database import Connection


@dataclass(frozen=True, slots=True)
class Wish:
    """A claim with all that its distributor brings: contract, grants, blocks, and the risk rules in force.

    `promoting`: some promotion without a coupon is active, so that pricing has to look. `pays`: who pays for it; what
    its buyer pays holds no credit.
    """

    order_no: int
    request: dict[str, Any]
    client_order_no: str | None
    distributor_id: str
    distributor_status: str
    channel: str
    currency: str
    grants: list[dict[str, Any]]
    rules: list[dict[str, Any]]
    buyer_blocked: bool
    denied: bool
    placed: bool
    promoting: bool = False
    pays: str = Pays.ON_ACCOUNT

    @property
    def on_account(self) -> bool:
        """Whether the distributor's credit line pays."""
        return self.pays == Pays.ON_ACCOUNT

    @property
    def actor(self) -> str:
        """Who asked, as logs name it: in our own storefront the shopper."""
        buyer = self.request.get("buyer_ref")
        if self.distributor_id == HOUSE and buyer:
            return f"{PrincipalKind.USER}/{buyer}"
        return f"{PrincipalKind.DISTRIBUTOR}/{self.distributor_id}"


async def read_wish(cx: Connection, order_no: int) -> Wish | None:
    """The claim of that number; None where there is none. `placed`: its order exists already."""
    cursor = await cx.execute(
        f"""
        SELECT c.order_no, c.client_order_no, EXISTS (SELECT 1 FROM orders o WHERE o.order_no = c.order_no) AS placed,
               {_WISH} FROM order_claims c JOIN distributors d ON d.id = c.distributor_id WHERE c.order_no = %s
        """,
        (order_no,),
    )
    row = await cursor.fetchone()
    return Wish(**row) if row else None


_WISH = """
       c.request, d.id AS distributor_id, d.status AS distributor_status, d.channel, d.currency, d.pays,
       coalesce((SELECT jsonb_agg(jsonb_build_object('resource_kind', resource_kind, 'resource_id', resource_id,
                                  'valid_from', valid_from, 'valid_to', valid_to))
                 FROM grants WHERE principal_id = d.id AND action = 'order:create'), '[]') AS grants,
       coalesce((SELECT jsonb_agg(jsonb_build_object('kind', kind, 'subject', subject, 'threshold', threshold,
                                  'window_s', window_s, 'outcome', outcome))
                 FROM risk_rules WHERE active), '[]') AS rules,
       EXISTS (SELECT 1 FROM blocked_buyers b WHERE b.distributor_id = d.id
               AND b.buyer_ref = c.request ->> 'buyer_ref') AS buyer_blocked,
       EXISTS (SELECT 1 FROM risk_denials r WHERE (r.subject, r.value) IN (
               ('buyer', c.request ->> 'buyer_ref'), ('device', c.request ->> 'device_ref'),
               ('address', c.request ->> 'address_ref'))) AS denied,
       EXISTS (SELECT 1 FROM promotions WHERE state = 'active' AND NOT needs_coupon) AS promoting
"""


async def imagine_wish(cx: Connection, distributor_id: str, request: dict[str, Any]) -> Wish:
    """The same for a request that nobody has claimed: a dry run."""
    cursor = await cx.execute(
        f"SELECT 0 AS order_no, NULL AS client_order_no, false AS placed, {_WISH} "
        "FROM (SELECT %s::jsonb AS request) c, distributors d WHERE d.id = %s",
        (Jsonb(request), distributor_id),
    )
    row = await cursor.fetchone()
    assert row is not None, "the caller is a distributor"
    return Wish(**row)


async def read_offered(
    cx: Connection,
    sku_ids: Sequence[str],
    *,
    channel: str,
    now: datetime,
    place: Mapping[str, Any] | None = None,
    withdrawn: bool = False,
) -> dict[str, dict[str, Any]]:
    """Each variant as it is offered in the channel at `now`: product facts, price in effect, active offers by rank.

    `place`: where it is to be sent, for offers that serve some regions only. `offered`: whether anybody outside sells
    it, or did. `withdrawn`: with offers that are no longer made, for orders that were placed under them.
    """
    cursor = await cx.execute(
        """
        SELECT s.id AS sku_id, s.title AS sku_title, s.stock_policy, s.event_at, s.attributes AS sku_attributes,
               s.weight_g, EXISTS (SELECT FROM offers o WHERE o.sku_id = s.id) AS offered,
               p.id AS product_id, p.title, p.description, p.kind, p.status AS product_status, p.category_id,
               p.brand_id, p.time_zone, p.session_required, p.visitors_required, p.buyer_limit,
               p.attributes, p.terms, p.images,
               coalesce((SELECT jsonb_agg(jsonb_build_object('channel', channel, 'currency', currency,
                                          'amount_minor', amount_minor, 'valid_from', valid_from,
                                          'valid_to', valid_to))
                         FROM prices WHERE sku_id = s.id AND channel IN (%(channel)s, 'default')
                          AND valid_from <= %(now)s AND (valid_to IS NULL OR valid_to > %(now)s)), '[]') AS prices,
               coalesce((SELECT jsonb_agg(jsonb_build_object('offer_id', o.id, 'supplier_id', o.supplier_id,
                                          'supplier_product_id', o.supplier_product_id, 'option_id', o.option_id,
                                          'cost_minor', o.cost_minor, 'currency', o.currency,
                                          'lock', o.lock_at_supplier, 'lock_timeout_s', u.lock_timeout_s,
                                          'issue_timeout_s', u.issue_timeout_s, 'lock_s', u.lock_s,
                                          'consistency_window_s', u.consistency_window_s)
                                          ORDER BY o.rank, o.cost_minor, o.id)
                         FROM offers o JOIN suppliers u ON u.id = o.supplier_id
                         WHERE (o.sku_id = s.id OR o.kind = p.kind) AND o.currency = u.currency
                           AND (o.regions IS NULL OR o.regions ?| %(places)s)
                           AND (%(withdrawn)s OR (o.active AND u.active))), '[]') AS offers
        FROM skus s JOIN products p ON p.id = s.product_id WHERE s.id = ANY(%(skus)s)
        """,
        {
            "skus": list(sku_ids),
            "channel": channel,
            "now": now,
            "withdrawn": withdrawn,
            "places": [place["country"], f"{place['country']}/{place['region']}"] if place else [],
        },
    )
    return {row["sku_id"]: row async for row in cursor}


async def category_ancestors(cx: Connection, category_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Each category with all categories above it: what a grant on a category covers."""
    cursor = await cx.execute(
        """
        WITH RECURSIVE up (start, id, parent_id) AS (
            SELECT id, id, parent_id FROM categories WHERE id = ANY(%s)
            UNION ALL SELECT up.start, c.id, c.parent_id FROM up JOIN categories c ON c.id = up.parent_id)
        SELECT start, array_agg(id) AS ids FROM up GROUP BY start
        """,
        (list(category_ids),),
    )
    return {row["start"]: tuple(row["ids"]) async for row in cursor}


async def session_start(
    cx: Connection, *, supplier_ids: Sequence[str], product_ids: Sequence[str], availability_id: str
) -> datetime | None:
    """When the session begins, as one of these suppliers gave it; None where none knows it or has it open."""
    cursor = await cx.execute(
        """
        SELECT min(starts_at) AS starts_at FROM sessions
        WHERE supplier_id = ANY(%s) AND supplier_product_id = ANY(%s) AND availability_id = %s AND available
        """,
        (list(supplier_ids), list(product_ids), availability_id),
    )
    row = await cursor.fetchone()
    return row["starts_at"] if row else None


async def count_recent(cx: Connection, *, distributor_id: str, subject: str, value: str, since: datetime) -> int:
    """How many orders the subject (`buyer` of this distributor; `device`, `address` of any) placed since then."""
    column = {"buyer": "buyer_ref", "device": "device_ref", "address": "address_ref"}[subject]
    fence = "AND distributor_id = %(distributor)s" if subject == "buyer" else ""
    cursor = await cx.execute(
        f"SELECT count(*) AS n FROM orders WHERE {column} = %(value)s {fence} AND created_at >= %(since)s",
        {"value": value, "distributor": distributor_id, "since": since},
    )
    row = await cursor.fetchone()
    return int(row["n"]) if row else 0


async def count_bought(
    cx: Connection, *, distributor_id: str, buyer_ref: str, product_id: str, starts_at: datetime | None
) -> int:
    """Units of the event that the buyer has or is getting; serialises this buyer's placements of the product."""
    await cx.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{distributor_id}/{buyer_ref}/{product_id}",)
    )
    cursor = await cx.execute(
        """
        SELECT coalesce(sum(l.quantity), 0) AS n FROM orders o JOIN order_lines l USING (order_no)
        WHERE o.distributor_id = %s AND o.buyer_ref = %s AND l.product_id = %s
          AND l.starts_at IS NOT DISTINCT FROM %s
          AND l.status IN ('pending', 'locked', 'issuing', 'issued', 'refunding')
        """,
        (distributor_id, buyer_ref, product_id, starts_at),
    )
    row = await cursor.fetchone()
    return int(row["n"]) if row else 0


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line about to be recorded; amounts in minor units, `snapshot` is what the buyer saw."""

    line_no: int
    sku_id: str
    product_id: str
    kind: str
    title: str
    quantity: int
    unit_price_minor: int
    snapshot_id: str
    snapshot: dict[str, Any]
    availability_id: str | None
    starts_at: datetime | None
    visitors: list[str] | None
    account: str | None = None
    discount_minor: int = 0

    @property
    def total_minor(self) -> int:
        """The whole line after its discount."""
        return self.unit_price_minor * self.quantity - self.discount_minor


_PLACED = """
placed AS (
    INSERT INTO orders (order_no, distributor_id, client_order_no, buyer_ref, device_ref, address_ref,
                        host_workflow_id, status, currency, total_minor, all_or_nothing, contact, ship_to, pays,
                        revives, created_at, updated_at)
    SELECT %(order_no)s, %(distributor)s, %(client_order_no)s, %(buyer)s, %(device)s, %(address)s, %(host)s,
           'pending', %(currency)s, %(total)s, %(whole)s, %(contact)s, %(ship_to)s, %(pays)s, %(revives)s, %(at)s,
           %(at)s FROM {source}
    RETURNING order_no),
log AS (
    INSERT INTO order_events (order_no, seq, axis, event, from_state, to_state, actor, at)
    SELECT order_no, 1000, 'status', 'place', '', 'pending', %(actor)s, %(at)s FROM placed)
"""
_ONCE = "(VALUES (1)) AS once"
_INSERT_UNOPENED = f"WITH {_PLACED.format(source=_ONCE)} SELECT order_no FROM placed"
_CREDIT = """
credit AS (
    UPDATE credit_lines SET held_minor = held_minor + %(total)s
    WHERE distributor_id = %(distributor)s
      AND limit_minor + prepaid_minor - outstanding_minor - held_minor >= %(total)s
    RETURNING distributor_id),
hold AS (
    INSERT INTO credit_holds (order_no, distributor_id, amount_minor)
    SELECT %(order_no)s, distributor_id, %(total)s FROM credit),
"""
_LINES = """
, shots AS (
    INSERT INTO snapshots (id, body, created_at)
    SELECT DISTINCT ON (id) id, body, %(at)s FROM unnest(%(snapshot_id)s::text[], %(snapshot)s::jsonb[]) AS s (id, body)
    ORDER BY id ON CONFLICT (id) DO NOTHING)
INSERT INTO order_lines (order_no, line_no, status, sku_id, product_id, kind, title, quantity, unit_price_minor,
                         discount_minor, total_minor, snapshot_id, availability_id, starts_at, visitors, account)
SELECT placed.order_no, line_no, 'pending', sku_id, product_id, kind, title, quantity, price, discount,
       price * quantity - discount, snapshot_id, availability_id, starts_at, visitors, account
FROM placed, unnest(%(line_no)s::int[], %(sku_id)s::text[], %(product_id)s::text[], %(kind)s::text[], %(title)s::text[],
            %(quantity)s::int[], %(unit_price_minor)s::bigint[], %(discount_minor)s::bigint[],
            %(snapshot_id)s::text[], %(availability_id)s::text[], %(starts_at)s::timestamptz[],
            %(visitors)s::jsonb[], %(account)s::text[])
     AS l (line_no, sku_id, product_id, kind, title, quantity, price, discount, snapshot_id, availability_id,
           starts_at, visitors, account)
RETURNING line_no
"""
_INSERT_ON_ACCOUNT = f"WITH {_CREDIT} {_PLACED.format(source='credit')} {_LINES}"
_INSERT_PAID_BY_BUYER = f"WITH {_PLACED.format(source=_ONCE)} {_LINES}"


async def insert_order(
    cx: Connection, wish: Wish, lines: Sequence[NewLine], *, host_workflow_id: str, at: datetime
) -> bool:
    """Hold credit and record the order as `pending`, before anything waits, with the first row of its log.

    False, and nothing is done, where the credit is not free. One statement: all orders of a distributor wait for its
    row of credit. An order that its buyer pays needs none.
    """
    columns: dict[str, Any] = {
        name: [getattr(line, name) for line in lines]
        for name in (
            "line_no", "sku_id", "product_id", "kind", "title", "quantity", "unit_price_minor", "discount_minor",
            "snapshot_id",
            "availability_id", "starts_at", "account",
        )
    }  # fmt: skip
    columns["snapshot"] = [Jsonb(line.snapshot) for line in lines]
    columns["visitors"] = [Jsonb(line.visitors) if line.visitors else None for line in lines]
    total_minor = sum(line.total_minor for line in lines)
    order = _order_values(wish, total_minor, host_workflow_id, at)
    insert = _INSERT_ON_ACCOUNT if wish.on_account else _INSERT_PAID_BY_BUYER
    cursor = await cx.execute(insert, {**columns, **order})
    return await cursor.fetchone() is not None


async def insert_unopened(cx: Connection, wish: Wish, *, host_workflow_id: str, at: datetime) -> None:
    """Record an order that is about to be refused: without lines and credit."""
    await cx.execute(_INSERT_UNOPENED, _order_values(wish, 0, host_workflow_id, at))


def _order_values(wish: Wish, total_minor: int, host_workflow_id: str, at: datetime) -> dict[str, Any]:
    request = wish.request
    return {
        "order_no": wish.order_no,
        "distributor": wish.distributor_id,
        "client_order_no": wish.client_order_no,
        "buyer": request.get("buyer_ref"),
        "device": request.get("device_ref"),
        "address": request.get("address_ref"),
        "host": host_workflow_id,
        "currency": request["currency"],
        "total": total_minor,
        "whole": bool(request.get("all_or_nothing")),
        "contact": Jsonb(request["contact"]) if request.get("contact") else None,
        "ship_to": Jsonb(request["ship_to"]) if request.get("ship_to") else None,
        "pays": wish.pays,
        "revives": int(request["revives"]) if request.get("revives") else None,
        "actor": wish.actor,
        "at": at,
    }
