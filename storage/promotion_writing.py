"""Promotions as people make, change and read them; each edit leaves a row in the operation log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from domain.access import Fence
from domain.promotion_terms import PromotionInvalid
from domain.promotions import (
    LIFECYCLE,
    PromotionEvent,
    PromotionInUse,
    PromotionNotFound,
    PromotionStale,
    PromotionState,
    StockBelowUses,
)
from storage.catalog_log import log_operation
from storage.database import Connection

ALWAYS_EDITABLE = frozenset({"name", "valid_to", "stock", "per_buyer_limit", "priority", "returns_on_refund"})
"""The rest is fixed once an order was priced with it."""

EDITABLE = ALWAYS_EDITABLE | {"terms", "scope", "valid_from", "stack_group", "needs_coupon"}
_DOCUMENTS = frozenset({"terms", "scope"})


async def create_promotion(cx: Connection, row: Mapping[str, Any], *, actor: str, now: datetime) -> None:
    """`row`: the columns that a person names; it runs at once, if its window is open. Raises PromotionInvalid."""
    values = {**row, "kind": row["terms"]["kind"], "created_at": now, "updated_at": now}
    _check_window(values)
    # The names come from our own shapes, never from a caller.
    columns, places = ", ".join(values), ", ".join(f"%({name})s" for name in values)
    await cx.execute(f"INSERT INTO promotions ({columns}) VALUES ({places})", _stored(values))
    subject = ("promotion", row["id"])
    await log_operation(
        cx, at=now, actor=actor, action="promotion.create", subject=subject, before=None, after=_plain(row)
    )


async def edit_promotion(
    cx: Connection,
    promotion_id: str,
    changes: Mapping[str, Any],
    *,
    if_version: int | None,
    actor: str,
    now: datetime,
) -> None:
    """Set some of EDITABLE. What is equal already is no change.

    Raises PromotionNotFound, PromotionStale, PromotionInUse, PromotionInvalid, StockBelowUses.
    """
    row = await _locked(cx, promotion_id, if_version)
    changed = {name: value for name, value in changes.items() if name in EDITABLE and row[name] != value}
    if not changed:
        return
    fixed = sorted(changed.keys() - ALWAYS_EDITABLE)
    if fixed and await _was_used(cx, promotion_id):
        raise PromotionInUse(promotion_id, fixed)
    stock = changed.get("stock")
    if stock is not None and stock < row["held"] + row["used"]:
        raise StockBelowUses(stock, row["held"] + row["used"])
    _check_window({**row, **changed})
    if "terms" in changed:
        changed["kind"] = changed["terms"]["kind"]
    # The names come from EDITABLE, never from a caller.
    assignments = ", ".join(f"{name} = %({name})s" for name in changed)
    await cx.execute(
        f"UPDATE promotions SET {assignments}, updated_at = %(now)s, version = version + 1 WHERE id = %(id)s",
        {**_stored(changed), "now": now, "id": promotion_id},
    )
    before = _plain({name: row[name] for name in changed})
    subject = ("promotion", promotion_id)
    await log_operation(
        cx, at=now, actor=actor, action="promotion.edit", subject=subject, before=before, after=_plain(changed)
    )


async def move_promotion(
    cx: Connection, promotion_id: str, event: PromotionEvent, *, reason: str, actor: str, now: datetime
) -> None:
    """Pause, resume or end it; orders that hold it keep it. Raises IllegalTransition, PromotionNotFound."""
    row = await _locked(cx, promotion_id, None)
    after = LIFECYCLE.after(PromotionState(row["state"]), event)
    await cx.execute(
        "UPDATE promotions SET state = %s, updated_at = %s, version = version + 1 WHERE id = %s",
        (after, now, promotion_id),
    )
    await log_operation(
        cx,
        at=now,
        actor=actor,
        action=f"promotion.{event}",
        subject=("promotion", promotion_id),
        before={"state": row["state"]},
        after={"state": str(after), "reason": reason},
    )


_VISIBLE = """
(%(distributor)s::text IS NULL OR (
    p.state = 'active' AND (p.valid_to IS NULL OR p.valid_to > %(now)s)
    AND (p.scope->'distributor_ids' = '[]' OR p.scope->'distributor_ids' ? %(distributor)s)
    AND (%(buyer)s::text IS NULL OR p.scope->'buyer_refs' = '[]' OR p.scope->'buyer_refs' ? %(buyer)s)
    AND (p.scope->'channels' = '[]' OR p.scope->'channels' ? (
        SELECT channel FROM distributors WHERE id = %(distributor)s))))
"""


async def get_promotion(cx: Connection, promotion_id: str, fence: Fence, *, now: datetime) -> dict[str, Any]:
    """One promotion; for a distributor or a shopper only what it can use. Raises PromotionNotFound."""
    cursor = await cx.execute(
        f"SELECT p.* FROM promotions p WHERE p.id = %(id)s AND {_VISIBLE}",
        {"id": promotion_id, "distributor": fence.distributor_id, "buyer": fence.buyer_id, "now": now},
    )
    row = await cursor.fetchone()
    if row is None:
        raise PromotionNotFound(promotion_id)
    return row


async def list_promotions(
    cx: Connection,
    fence: Fence,
    *,
    state: PromotionState | None,
    now: datetime,
    after: Sequence[str | int] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """In the order of their ids; for a distributor or a shopper those it can use."""
    cursor = await cx.execute(
        f"""
        SELECT p.* FROM promotions p
        WHERE p.id > %(after)s AND (%(state)s::text IS NULL OR p.state = %(state)s) AND {_VISIBLE}
        ORDER BY p.id LIMIT %(limit)s
        """,
        {
            "after": after[0] if after else "",
            "state": state,
            "distributor": fence.distributor_id,
            "buyer": fence.buyer_id,
            "now": now,
            "limit": limit,
        },
    )
    return await cursor.fetchall()


async def _locked(cx: Connection, promotion_id: str, if_version: int | None) -> dict[str, Any]:
    cursor = await cx.execute("SELECT * FROM promotions WHERE id = %s FOR NO KEY UPDATE", (promotion_id,))
    row = await cursor.fetchone()
    if row is None:
        raise PromotionNotFound(promotion_id)
    if if_version is not None and if_version != row["version"]:
        raise PromotionStale(promotion_id, row["version"])
    return row


async def _was_used(cx: Connection, promotion_id: str) -> bool:
    cursor = await cx.execute("SELECT 1 FROM promotion_uses WHERE promotion_id = %s LIMIT 1", (promotion_id,))
    return await cursor.fetchone() is not None


def _check_window(row: Mapping[str, Any]) -> None:
    if row["valid_to"] is not None and row["valid_to"] <= row["valid_from"]:
        raise PromotionInvalid("The window ends before it begins: `valid_to` has to be after `valid_from`.")


def _stored(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: Jsonb(value) if name in _DOCUMENTS else value for name, value in values.items()}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
