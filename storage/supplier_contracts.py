"""Suppliers' contracts and breakers as people read and write them. How they answer: scorecard.py."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from domain.errors import DomainError
from domain.suppliers import Breaker, BreakerState
from storage.catalog_log import log_operation
from storage.database import Connection
from storage.suppliers import SupplierRow

SECRETS = frozenset({"api_token", "callback_secret"})
_COLUMNS = tuple(name for name in SupplierRow.model_fields if name not in ("id", "created_at"))


class SupplierNotFound(DomainError):
    code = "supplier_not_found"

    def __init__(self, supplier_id: str) -> None:
        super().__init__(f"There is no supplier {supplier_id!r}.")


async def put_supplier(
    cx: Connection, supplier_id: str, contract: Mapping[str, Any], *, actor: str, now: datetime
) -> bool:
    """Make the supplier, or change those of its terms that differ; True if it is new. Secrets are never logged."""
    unknown = set(contract) - set(_COLUMNS)
    if unknown:
        raise ValueError(f"no terms of a contract: {sorted(unknown)}")
    cursor = await cx.execute("SELECT * FROM suppliers WHERE id = %s FOR UPDATE", (supplier_id,))
    before = await cursor.fetchone()
    changed = {name: value for name, value in contract.items() if before is None or before[name] != value}
    if before is not None and not changed:
        return False
    if before is None:
        values = {"id": supplier_id, **changed, "created_at": now}
        await cx.execute(
            sql.SQL("INSERT INTO suppliers ({}) VALUES ({})").format(
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(sql.Placeholder() * len(values)),
            ),
            tuple(map(_stored, values.values())),
        )
    else:
        assignments = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in changed)
        await cx.execute(
            sql.SQL("UPDATE suppliers SET {} WHERE id = %s").format(assignments),
            (*map(_stored, changed.values()), supplier_id),
        )
    await log_operation(
        cx,
        at=now,
        actor=actor,
        action="supplier.create" if before is None else "supplier.edit",
        subject=("supplier", supplier_id),
        before=None if before is None else _shown({name: before[name] for name in changed}),
        after=_shown(changed),
    )
    return before is None


def _stored(value: object) -> object:
    return Jsonb(value) if isinstance(value, dict) else value


def _shown(terms: Mapping[str, Any]) -> dict[str, Any]:
    return {name: "(secret)" if name in SECRETS else value for name, value in terms.items()}


async def list_suppliers(cx: Connection, *, active_only: bool = False) -> list[SupplierRow]:
    """All of them, by id: there are tens, not thousands."""
    cursor = await cx.execute("SELECT * FROM suppliers WHERE active OR NOT %s ORDER BY id LIMIT 1000", (active_only,))
    return [SupplierRow(**row) for row in await cursor.fetchall()]


async def get_supplier(cx: Connection, supplier_id: str) -> SupplierRow:
    """Raises SupplierNotFound."""
    cursor = await cx.execute("SELECT * FROM suppliers WHERE id = %s", (supplier_id,))
    row = await cursor.fetchone()
    if row is None:
        raise SupplierNotFound(supplier_id)
    return SupplierRow(**row)


async def read_breaker(cx: Connection, supplier_id: str) -> tuple[Breaker, str]:
    """The breaker as it stands, and who set it; closed by the system where nothing was ever recorded."""
    cursor = await cx.execute(
        "SELECT state, opened_at, probe_at, changed_by FROM supplier_breakers WHERE supplier_id = %s", (supplier_id,)
    )
    row = await cursor.fetchone()
    if row is None:
        return Breaker(BreakerState.CLOSED), "system"
    return Breaker(BreakerState(row["state"]), row["opened_at"], row["probe_at"]), row["changed_by"]


async def force_breaker(
    cx: Connection, supplier_id: str, state: BreakerState, *, actor: str, now: datetime, reason: str
) -> None:
    """An operator's word on the breaker; `closed` gives it back to the scorecard."""
    await get_supplier(cx, supplier_id)
    before, _ = await read_breaker(cx, supplier_id)
    opened_at = now if state in (BreakerState.OPEN, BreakerState.FORCED_OPEN) else None
    await cx.execute(
        """
        INSERT INTO supplier_breakers (supplier_id, state, opened_at, probe_at, changed_by)
        VALUES (%s, %s, %s, NULL, %s)
        ON CONFLICT (supplier_id) DO UPDATE SET state = excluded.state, opened_at = excluded.opened_at,
            probe_at = NULL, changed_by = excluded.changed_by
        """,
        (supplier_id, state, opened_at, actor),
    )
    await log_operation(
        cx,
        at=now,
        actor=actor,
        action="supplier.breaker",
        subject=("supplier", supplier_id),
        before={"state": str(before.state)},
        after={"state": str(state), "reason": reason},
    )
