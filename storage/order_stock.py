"""Stock under an order: held, confirmed, released or returned exactly once, whatever is retried.

Demand is added up per variant before anything is taken, rows are locked in id order, and the statement carries the
condition, so that two buyers of the last unit have one winner and no deadlock. Which warehouse serves which line is
the domain's to say (domain/warehouses.py); a line has one hold per warehouse that serves it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.placing import InsufficientStock
from domain.warehouses import Demand, Part, Place, allocate, first_parts, servable
from storage import order_parts
from storage.database import Connection
from storage.warehouses import lock_shelves


@dataclass(frozen=True, slots=True)
class StockDemand:
    """One line's demand under its variant's policy (`hold`, `at_place`, `at_payment`)."""

    line_no: int
    sku_id: str
    quantity: int
    policy: str

    @property
    def plain(self) -> Demand:
        """What the allocation has to know."""
        return Demand(self.line_no, self.sku_id, self.quantity)


_HELD_AS = {"hold": "held", "at_place": "taken", "at_payment": "checked"}


async def demands(cx: Connection, order_no: int) -> list[StockDemand]:
    """What the order's lines take from our own stock; suppliers' allotments and pools of codes are left out."""
    cursor = await cx.execute(
        "SELECT l.line_no, l.sku_id, l.quantity, s.stock_policy AS policy "
        "FROM order_lines l JOIN skus s ON s.id = l.sku_id "
        "WHERE l.order_no = %s AND s.stock_policy NOT IN ('none', 'codes') ORDER BY l.line_no",
        (order_no,),
    )
    return [StockDemand(**row) async for row in cursor]


# How near a warehouse is, as `domain.warehouses.distance` says it (a test compares): names without regard to case.
_SAME = "w.{0} <> '' AND lower(w.{0} COLLATE pg_unicode_fast) = lower(o.ship_to ->> '{0}' COLLATE pg_unicode_fast)"
_DISTANCE = f"""
    CASE WHEN ({_SAME.format("country")}) IS NOT TRUE THEN 3 WHEN ({_SAME.format("region")}) IS NOT TRUE THEN 2
         WHEN ({_SAME.format("city")}) IS NOT TRUE THEN 1 ELSE 0 END"""

_HOLD_ONE = f"""
WITH pending AS (SELECT order_no, ship_to FROM orders WHERE order_no = %(order)s AND status = 'pending' FOR UPDATE),
demand AS (
    SELECT l.line_no, l.sku_id, l.quantity, s.stock_policy AS policy
    FROM pending JOIN order_lines l USING (order_no) JOIN skus s ON s.id = l.sku_id
    WHERE s.stock_policy <> 'none'),
total AS (
    SELECT min(sku_id) AS sku_id, sum(quantity) AS quantity FROM demand
    HAVING count(DISTINCT sku_id) = 1 AND bool_and(policy = 'hold')),
nearest AS (
    SELECT s.sku_id, s.warehouse_id, t.quantity
    FROM pending o CROSS JOIN total t JOIN stock s USING (sku_id)
         JOIN warehouses w ON w.id = s.warehouse_id AND w.active
    WHERE s.on_hand - s.held >= t.quantity ORDER BY {_DISTANCE}, w.rank, w.id COLLATE "C" LIMIT 1),
taken AS (
    UPDATE stock s SET held = s.held + nearest.quantity FROM nearest
    WHERE s.sku_id = nearest.sku_id AND s.warehouse_id = nearest.warehouse_id
      AND s.on_hand - s.held >= nearest.quantity
      AND NOT EXISTS (SELECT 1 FROM stock_holds WHERE order_no = %(order)s)
    RETURNING s.sku_id, s.warehouse_id)
INSERT INTO stock_holds (order_no, line_no, sku_id, warehouse_id, quantity, state, expires_at)
SELECT %(order)s, line_no, sku_id, warehouse_id, quantity, 'held', %(expires_at)s FROM demand JOIN taken USING (sku_id)
RETURNING line_no
"""


async def hold_one(cx: Connection, order_no: int, *, expires_at: datetime) -> bool:
    """Hold a pending order's demand of one variant by one conditional statement, with no transaction around it.

    It comes from the nearest warehouse that has all of it. True when held. False says nothing yet: several variants,
    another policy (a pool of codes as well: those are held with the rest), too little in any one place, taken by
    another meanwhile, or held before; `hold` tells. A busy variant's row is locked for no longer than the statement
    runs.
    """
    cursor = await cx.execute(_HOLD_ONE, {"order": order_no, "expires_at": expires_at})
    return await cursor.fetchone() is not None


_AVAILABLE = """
    SELECT coalesce(sum(k.on_hand - k.held), 0)::bigint AS available
    FROM stock k JOIN warehouses w ON w.id = k.warehouse_id AND w.active WHERE k.sku_id = d.sku_id"""


async def shortage(cx: Connection, wanted: Mapping[str, int]) -> dict[str, int]:
    """What is left of each variant that is short of its demand now; empty where everything is there."""
    cursor = await cx.execute(
        f"""
        SELECT d.sku_id, a.available FROM unnest(%s::text[], %s::bigint[]) AS d (sku_id, quantity)
             CROSS JOIN LATERAL ({_AVAILABLE}) a
        WHERE a.available < d.quantity ORDER BY d.sku_id
        """,
        (list(wanted), list(wanted.values())),
    )
    return {row["sku_id"]: row["available"] async for row in cursor}


async def sold_out(cx: Connection, wanted: Mapping[str, int]) -> dict[str, int]:
    """What is left of each variant whose own quota can't meet its demand now; suppliers' allotments are not ours."""
    cursor = await cx.execute(
        f"""
        SELECT d.sku_id, a.available FROM unnest(%s::text[], %s::bigint[]) AS d (sku_id, quantity)
             JOIN skus s ON s.id = d.sku_id AND s.stock_policy NOT IN ('none', 'codes')
             CROSS JOIN LATERAL ({_AVAILABLE}) a
        WHERE a.available < d.quantity
        """,
        (list(wanted), list(wanted.values())),
    )
    return {row["sku_id"]: row["available"] async for row in cursor}


async def hold(
    cx: Connection, order_no: int, demands: Sequence[StockDemand], *, expires_at: datetime, at: datetime
) -> Mapping[str, int] | None:
    """Hold every line's demand or nothing. None when held; else what is left of each variant that is short."""
    cursor = await cx.execute("SELECT 1 FROM stock_holds WHERE order_no = %s LIMIT 1", (order_no,))
    if await cursor.fetchone():
        return None
    shelves = await lock_shelves(cx, {demand.sku_id for demand in demands})
    to = await _ship_to(cx, order_no)
    try:
        parts = allocate([demand.plain for demand in demands], shelves.available, shelves.warehouses, to)
    except InsufficientStock as error:
        return error.left
    policies = {demand.line_no: demand.policy for demand in demands}
    await order_parts.reserve(cx, [part for part in parts if policies[part.line_no] == "hold"])
    await order_parts.sell(cx, order_no, [part for part in parts if policies[part.line_no] == "at_place"], at)
    whole = {demand.line_no: demand.quantity for demand in demands if demand.policy == "at_payment"}
    kept = [part for part in parts if part.line_no not in whole]
    kept += [
        Part(first.line_no, first.sku_id, first.warehouse_id, whole[first.line_no])
        for first in first_parts(part for part in parts if part.line_no in whole)
    ]
    states = {line_no: _HELD_AS[policy] for line_no, policy in policies.items()}
    await order_parts.insert_holds(cx, order_no, kept, states, expires_at)
    return None


async def confirm(cx: Connection, order_no: int, *, at: datetime) -> list[int]:
    """The order is being issued: holds become sales. Returns the lines whose stock was gone (policy at_payment)."""
    states = await _lock(cx, order_no)
    if not states:
        return []
    await cx.execute(
        """
        WITH hold AS (
            UPDATE stock_holds SET state = 'confirmed' WHERE order_no = %(order)s AND state IN ('held', 'taken')
            RETURNING line_no, sku_id, warehouse_id, quantity, old.state AS was),
        demand AS (
            SELECT sku_id, warehouse_id, sum(quantity) AS quantity FROM hold WHERE was = 'held' GROUP BY 1, 2),
        moved AS (
            UPDATE stock s SET on_hand = on_hand - d.quantity, held = held - d.quantity, sold = sold + d.quantity
            FROM demand d WHERE s.sku_id = d.sku_id AND s.warehouse_id = d.warehouse_id)
        INSERT INTO stock_movements (key, sku_id, warehouse_id, kind, quantity, reason, at)
        SELECT concat_ws('/', %(order)s::bigint, line_no,
                         CASE WHEN warehouse_id <> min(warehouse_id) OVER (PARTITION BY line_no) THEN warehouse_id END,
                         'sold'),
               sku_id, warehouse_id, 'sold', quantity, 'order', %(at)s
        FROM hold WHERE was = 'held'
        """,
        {"order": order_no, "at": at},
    )
    return await _sell_checked(cx, order_no, at) if "checked" in states else []


async def _sell_checked(cx: Connection, order_no: int, at: datetime) -> list[int]:
    """Lines that took nothing at placing are served from wherever there is stock by now; the rest is gone."""
    cursor = await cx.execute(
        "SELECT line_no, sku_id, quantity FROM stock_holds WHERE order_no = %s AND state = 'checked' ORDER BY line_no",
        (order_no,),
    )
    wanted = [Demand(**row) for row in await cursor.fetchall()]
    shelves = await lock_shelves(cx, {each.sku_id for each in wanted})
    served = servable(wanted, shelves.available)
    gone = [each.line_no for each in wanted if each not in served]
    parts = allocate(served, shelves.available, shelves.warehouses, await _ship_to(cx, order_no))
    await order_parts.sell(cx, order_no, parts, at)
    firsts = first_parts(parts)
    await cx.execute(
        """
        UPDATE stock_holds h SET state = 'confirmed', warehouse_id = d.warehouse_id, quantity = d.quantity
        FROM unnest(%s::int[], %s::text[], %s::int[]) AS d (line_no, warehouse_id, quantity)
        WHERE h.order_no = %s AND h.line_no = d.line_no AND h.state = 'checked'
        """,
        (
            [part.line_no for part in firsts],
            [part.warehouse_id for part in firsts],
            [part.quantity for part in firsts],
            order_no,
        ),
    )
    further = [part for part in parts if part not in firsts]
    await order_parts.insert_holds(cx, order_no, further, {part.line_no: "confirmed" for part in further}, None)
    await cx.execute(
        "UPDATE stock_holds SET state = 'failed' WHERE order_no = %s AND line_no = ANY(%s) AND state = 'checked'",
        (order_no, gone),
    )
    return gone


async def release(cx: Connection, order_no: int, *, at: datetime) -> None:
    """Give back whatever the order still holds. Asks nothing about availability: a release always goes through."""
    states = await _lock(cx, order_no)
    if not states:
        return
    await cx.execute(
        """
        WITH hold AS (
            UPDATE stock_holds SET state = 'released' WHERE order_no = %(order)s AND state IN ('held', 'checked')
            RETURNING sku_id, warehouse_id, quantity, old.state AS was),
        demand AS (
            SELECT sku_id, warehouse_id, sum(quantity) AS quantity FROM hold WHERE was = 'held' GROUP BY 1, 2)
        UPDATE stock s SET held = held - d.quantity
        FROM demand d WHERE s.sku_id = d.sku_id AND s.warehouse_id = d.warehouse_id
        """,
        {"order": order_no},
    )
    if "taken" in states:
        await order_parts.take_back(cx, order_no, state="taken", at=at)


async def give_back(cx: Connection, order_no: int, line_no: int, *, at: datetime, gone: Collection[str] = ()) -> None:
    """A confirmed line was not issued after all: its stock comes back, by new movements, to where it was taken from.

    What the warehouses in `gone` have sent is lost: those goods left and will not come back, so nothing is on hand.
    """
    if not await _lock(cx, order_no):
        return
    if gone:
        await cx.execute(
            "UPDATE stock_holds SET state = 'lost' "
            "WHERE order_no = %s AND line_no = %s AND state = 'confirmed' AND warehouse_id = ANY(%s)",
            (order_no, line_no, list(gone)),
        )
    await order_parts.take_back(cx, order_no, line_no, state="confirmed", at=at)


async def extend(cx: Connection, order_no: int, expires_at: datetime) -> None:
    """The holds last until then."""
    await cx.execute(
        "UPDATE stock_holds SET expires_at = %s WHERE order_no = %s AND state IN ('held', 'taken', 'checked')",
        (expires_at, order_no),
    )


async def parts_of(cx: Connection, order_no: int) -> dict[int, list[tuple[str, int]]]:
    """By line, from which warehouse how many units are held or were taken for it, by warehouse.

    A line that is only checked (policy at_payment) is shown whole where it would be served from.
    """
    cursor = await cx.execute(
        "SELECT line_no, warehouse_id, quantity FROM stock_holds "
        "WHERE order_no = %s AND state IN ('held', 'taken', 'checked', 'confirmed') "
        'ORDER BY line_no, warehouse_id COLLATE "C"',
        (order_no,),
    )
    parts: dict[int, list[tuple[str, int]]] = {}
    async for row in cursor:
        parts.setdefault(row["line_no"], []).append((row["warehouse_id"], row["quantity"]))
    return parts


async def _lock(cx: Connection, order_no: int) -> set[str]:
    """Row locks on all stock that the order touches, in id order: two orders never wait for each other in a ring.

    What was only checked may be served from anywhere, so all levels of its variant are locked. Returns the states of
    the order's holds, which its own row's lock keeps as they are; empty where it has none.
    """
    cursor = await cx.execute(
        """
        SELECT h.state FROM stock_holds h
             JOIN stock s ON s.sku_id = h.sku_id AND (s.warehouse_id = h.warehouse_id OR h.state = 'checked')
        WHERE h.order_no = %s ORDER BY s.sku_id, s.warehouse_id FOR UPDATE OF s
        """,
        (order_no,),
    )
    return {row["state"] async for row in cursor}


async def _ship_to(cx: Connection, order_no: int) -> Place | None:
    """Where the order's parcels go; None where it has none."""
    cursor = await cx.execute("SELECT ship_to FROM orders WHERE order_no = %s AND ship_to IS NOT NULL", (order_no,))
    row = await cursor.fetchone()
    return Place(*(row["ship_to"].get(name) or "" for name in ("country", "region", "city"))) if row else None
