"""Issued orders for gates: each of a product of its own, with our tickets or a supplier's, written as workers do it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from httpx2 import AsyncClient, Response
from psycopg.types.json import Jsonb

from domain.access import Role
from domain.gate import TicketRef
from domain.issuance import IssuedTicket
from storage import bookings, tickets
from storage.database import Database
from tests.api.conftest import Caller, Clock, Maker

_numbers = itertools.count(1_039_000_000_000_000_001)


@dataclass(frozen=True)
class Issued:
    """An order with one line of tickets."""

    order_no: int
    product_id: str
    distributor: Caller
    quantity: int

    def ref(self, unit: int = 0) -> TicketRef:
        return TicketRef(self.order_no, 1, unit)

    @property
    def path(self) -> str:
        return f"/v1/orders/{self.order_no:019d}"


@dataclass(frozen=True)
class GateWorld:
    """Arranges as the tables' owner; asks the API as everybody else does."""

    owner: Database
    api: AsyncClient
    clock: Clock
    gate: Caller
    operator: Caller

    async def order(
        self,
        distributor: Caller,
        *,
        quantity: int = 1,
        starts_at: datetime | None = None,
        terms: dict[str, Any] | None = None,
        codes: tuple[str, ...] | None = None,
        code_format: str = "QRCODE",
        product_id: str | None = None,
        minted: bool = True,
    ) -> Issued:
        """With our own tickets; or those of a supplier, where it gave `codes`; or with none yet."""
        number, now = next(_numbers), self.clock.now
        product = product_id or f"prd-{number}"
        snapshot: dict[str, Any] = {
            "product": {"title": "故宫特展", "time_zone": "Asia/Shanghai", "terms": terms or {}},
            "sku": {"title": "成人票", "attributes": [], "event_at": None},
        }
        async with self.owner.transaction() as cx:
            await cx.execute(
                "INSERT INTO categories (id, name, kind) VALUES ('c', 'C', 'ticket') ON CONFLICT DO NOTHING"
            )
            await cx.execute(
                "INSERT INTO products (id, category_id, kind, title, status, time_zone, attributes, terms, "
                "images, created_at, updated_at) "
                "VALUES (%s, 'c', 'ticket', 'now called otherwise', 'on_shelf', 'UTC', '[]', '{}', '[]', "
                "%s, %s) ON CONFLICT DO NOTHING",
                (product, now, now),
            )
            await cx.execute(
                "INSERT INTO skus (id, product_id, title, attributes, updated_at) VALUES (%s, %s, 'Adult', '[]', %s)",
                (f"sku-{number}", product, now),
            )
            await cx.execute(
                "INSERT INTO snapshots (id, body, created_at) VALUES (%s, %s, %s)",
                (f"snap-{number}", Jsonb(snapshot), now),
            )
            await cx.execute(
                "INSERT INTO orders (order_no, distributor_id, host_workflow_id, status, currency, total_minor, "
                "created_at, updated_at) VALUES (%s, %s, 'none', %s, 'CNY', %s, %s, %s)",
                (number, distributor.id, "issued" if minted else "issuing", 100 * quantity, now, now),
            )
            await cx.execute(
                "INSERT INTO order_lines (order_no, line_no, status, sku_id, product_id, kind, title, quantity, "
                "unit_price_minor, total_minor, snapshot_id, starts_at) "
                "VALUES (%s, 1, %s, %s, %s, 'ticket', 'Adult', %s, 100, %s, %s, %s)",
                (number, "issued" if minted else "issuing", f"sku-{number}", product, quantity, 100 * quantity,
                 f"snap-{number}", starts_at),
            )  # fmt: skip
            if codes is not None:
                given = [IssuedTicket(unit, f"t{unit}", code, code_format) for unit, code in enumerate(codes)]
                await bookings.insert_tickets(cx, number, 1, given, at=now)
            elif minted:
                await tickets.mint_tickets(cx, number, 1, at=now)
        return Issued(number, product, distributor, quantity)

    async def token(self, issued: Issued, unit: int = 0) -> str:
        """What the order's detail shows its distributor."""
        answer = await self.api.get(issued.path, headers=issued.distributor.headers)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["lines"][0]["tickets"][unit]["code"])

    async def scan(
        self,
        code: str,
        gate_id: str = "north-1",
        *,
        key: str | None = None,
        api: AsyncClient | None = None,
        **body: Any,
    ) -> Response:
        return await (api or self.api).post(
            "/v1/gate/redemptions", json={"code": code, "gate_id": gate_id, **body}, headers=self.gate.once(key)
        )

    async def void(self, issued: Issued, unit: int = 0, reason: str = "event canceled") -> Response:
        path = f"/v1/tickets/{issued.ref(unit).serial}/void"
        return await self.api.post(path, json={"reason": reason}, headers=self.operator.once())

    async def bring(self, gate_id: str, *scans: dict[str, Any], key: str | None = None) -> Response:
        """Offline scans: `code`, `scanned_at`."""
        body = {"gate_id": gate_id, "scans": list(scans)}
        return await self.api.post("/v1/gate/redemptions/batch", json=body, headers=self.gate.once(key))

    async def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        async with self.owner.reading() as cx:
            return await (await cx.execute(query.encode(), values)).fetchall()

    async def outcomes(self, issued: Issued, unit: int = 0) -> list[str]:
        """What came of the ticket's scans, oldest first."""
        rows = await self.rows(
            "SELECT outcome FROM ticket_scans WHERE order_no = %s AND unit = %s ORDER BY id", issued.order_no, unit
        )
        return [row["outcome"] for row in rows]


@pytest.fixture
async def world(owner: Database, api: AsyncClient, clock: Clock, an_operator: Maker) -> GateWorld:
    """With a gate and an operator of its own."""
    return GateWorld(owner, api, clock, await an_operator(Role.GATE), await an_operator(Role.OPERATIONS))


@pytest.fixture
async def buyer(a_distributor: Maker) -> Caller:
    """A distributor who has bought."""
    return await a_distributor()
