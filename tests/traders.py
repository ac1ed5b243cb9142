"""Who trades on the platform, and with what: builders of suppliers, tickets, distributors and operators."""

from __future__ import annotations

import base64
import itertools
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from httpx2 import AsyncClient
from psycopg.types.json import Jsonb
from standardwebhooks import Webhook

from api.account_views import first_grants
from api.keys import USER, mint
from domain.access import PrincipalKind, Role
from settings import Settings
from storage import accounts, users
from storage.accounts import ApiKeyRow, DistributorRow, OperatorRow
from storage.database import Database
from storage.users import UserRow, UserSessionRow

PRICE_MINOR, COST_MINOR = 20_000, 17_000
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a key."""

    id: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def once(self, key: str | None = None) -> dict[str, str]:
        """Headers of a POST, with the given Idempotency-Key or a fresh one."""
        return {**self.headers, "Idempotency-Key": key or f"key-{next(_numbers)}"}


@dataclass(frozen=True, slots=True)
class Ticket:
    """A variant on the shelf, at the price that a caller has seen."""

    sku_id: str
    product_id: str
    price_minor: int


@dataclass(frozen=True, slots=True)
class Supplier:
    """A supplier, by its one id here and at the simulator, and the control of how it behaves."""

    id: str
    secret: str
    simulator: AsyncClient

    async def next(self, operation: str, kind: str, count: int = 1, reference: str | None = None) -> None:
        """The next `count` such calls meet the fault."""
        forced = {"operation": operation, "kind": kind, "count": count, "reference": reference}
        answer = await self.simulator.post(f"/control/{self.id}/next", json=forced)
        assert answer.is_success, answer.text

    async def fails(self, always: bool) -> None:
        """While it fails, every call is answered by 500 and changes nothing."""
        rates = {"error_before": 1.0} if always else {}
        answer = await self.simulator.put(f"/control/{self.id}/faults", json={"rates": rates})
        assert answer.is_success, answer.text

    async def behave(self, **params: Any) -> None:
        """How its faults look; see `FaultParams`."""
        answer = await self.simulator.put(f"/control/{self.id}/faults", json={"params": params})
        assert answer.is_success, answer.text

    async def book(self) -> list[dict[str, Any]]:
        """All that the outside world saw, oldest first."""
        answer = await self.simulator.get(f"/control/{self.id}/book")
        bookings: list[dict[str, Any]] = answer.json()["bookings"]
        return bookings

    async def statuses(self) -> list[str]:
        return [booking["status"] for booking in await self.book()]

    async def hits(self) -> dict[str, int]:
        """Faults that took effect, by kind."""
        hits: dict[str, int] = (await self.simulator.get(f"/control/{self.id}/hits")).json()["hits"]
        return hits

    async def octo(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Somebody else at the supplier's own desk, behind our back."""
        answer = await self.simulator.request(
            method, f"/{self.id}/octo{path}", json=body, headers={"Authorization": f"Bearer {self.id}-token"}
        )
        document: dict[str, Any] = answer.json()
        return document

    async def says(self, api: AsyncClient, reference: str, status: str, *, message_id: str | None = None) -> int:
        """A callback that says so of the booking, whatever the book has; the status it was answered with."""
        told = await self.octo("GET", f"/bookings/{reference}")
        told |= {"status": status}
        if status in ("REJECTED", "ON_HOLD", "PENDING", "EXPIRED"):
            told |= {"utcConfirmedAt": None}
            for item in told["unitItems"]:
                item |= {"status": status, "ticket": None}
        return await self.tells(api, told, message_id=message_id)

    async def tells(self, api: AsyncClient, booking: dict[str, Any], *, message_id: str | None = None) -> int:
        """A callback with that booking, signed as agreed."""
        body, now, name = json.dumps(booking), datetime.now(UTC), message_id or f"msg_{next(_numbers)}"
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(self.secret).sign(name, now, body),
        }
        answer = await api.post(f"/v1/callbacks/suppliers/{self.id}", content=body.encode(), headers=headers)
        return answer.status_code


@dataclass(frozen=True, slots=True)
class Simulated:
    """The simulators that play outside parties, each over real HTTP."""

    suppliers: AsyncClient
    carriers: AsyncClient
    topups: AsyncClient
    payments: AsyncClient


ADDRESS = {
    "receiver": "Lin Mei", "phone": "+86 21 5555 0100", "country": "CN", "region": "Shanghai", "city": "Shanghai",
    "street": "1 Nanjing Road",
}  # fmt: skip
"""Somewhere that every simulated carrier goes."""

MOBILINK = json.loads((Path(__file__).parent.parent / "seeds/suppliers/mobilink.json").read_text())
"""The mapping by which the top-up gateway is spoken to."""


class Traders:
    """Makes them. `owner` may write anything; the catalogue is written as a synchronisation leaves it."""

    def __init__(self, owner: Database, simulated: Simulated, settings: Settings) -> None:
        self._owner = owner
        self.simulated = simulated
        self._settings = settings
        self._suppliers: list[Supplier] = []

    async def open(self) -> None:
        """The shelves that tickets stand on."""
        async with self._owner.reading() as cx:
            await cx.execute(
                "INSERT INTO categories (id, name, kind) VALUES ('cat', 'Tickets', 'ticket'), "
                "('goods', 'Goods', 'physical'), ('packs', 'Packs', 'virtual')"
            )

    async def a_supplier(
        self, callback_url: str, *, calls_back: bool = True, deduplicates: bool = True, hold_s: float | None = None,
        **terms: Any,
    ) -> Supplier:  # fmt: skip
        """`terms` are its contract's; `deduplicates` and `hold_s` are how it really is."""
        body: dict[str, Any] = {"like": "northgate", "deduplicates": deduplicates}
        if hold_s is not None:
            body["hold_s"] = hold_s
        simulator = self.simulated.suppliers
        return await self._a_party(simulator, callback_url, body, "octo", calls_back=calls_back, path="/octo", **terms)

    async def a_carrier(self, callback_url: str, *, calls_back: bool = True, **terms: Any) -> Supplier:
        """Its parcels move when a test says so. `terms` are its contract's."""
        body = {"like": "swift", "moves": False}
        return await self._a_party(
            self.simulated.carriers, callback_url, body, "parcel", calls_back=calls_back, path="/v1", **terms
        )

    async def a_topup(self, callback_url: str, *, calls_back: bool = True, **terms: Any) -> Supplier:
        """An operator that tops up phones. `terms` are its contract's."""
        settings = {"protocol_settings": Jsonb(MOBILINK), **terms}
        body = {"like": "mobilink"}
        return await self._a_party(
            self.simulated.topups, callback_url, body, "mapped", calls_back=calls_back, **settings
        )

    async def _a_party(
        self,
        simulator: AsyncClient,
        callback_url: str,
        body: dict[str, Any],
        protocol: str,
        *,
        calls_back: bool,
        path: str = "",
        **terms: Any,
    ) -> Supplier:
        name = f"house{next(_numbers)}"
        secret = f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"
        answer = await simulator.put(f"/control/{name}", json=body)
        assert answer.is_success, answer.text
        if calls_back:
            target = {"url": f"{callback_url}/{name}", "secret": secret}
            await simulator.put(f"/control/{name}/callbacks", json=target)
        row = {
            "id": name, "name": name, "base_url": f"{simulator.base_url}".rstrip("/") + f"/{name}{path}",
            "api_token": f"{name}-token", "callback_secret": secret, "created_at": datetime.now(UTC),
            "protocol": protocol, **terms,
        }  # fmt: skip
        await self._insert("suppliers", row)
        supplier = Supplier(name, secret, simulator)
        self._suppliers.append(supplier)
        return supplier

    async def a_ticket(
        self,
        *suppliers: Supplier | tuple[Supplier, int],
        price_minor: int = PRICE_MINOR,
        stock: int | None = None,
        policy: str = "hold",
        lock: bool = False,
        kind: str = "ticket",
        status: str = "on_shelf",
        event_at: datetime | None = None,
        at_supplier: str = "ng-open-pass",
        codes: Sequence[str] | None = None,
        **product: Any,
    ) -> Ticket:
        """Of own quota where `stock` is given, by `policy`; `lock`: held at the supplier before it is paid; of a pool
        where there are `codes`."""
        number, now = next(_numbers), datetime.now(UTC)
        ticket = Ticket(f"sku-{number:06d}", f"prd-{number:06d}", price_minor)
        category = {"ticket": "cat", "virtual": "packs"}.get(kind, "goods")
        await self._insert("products", {
            "id": ticket.product_id, "category_id": category, "kind": kind, "title": f"Pass {number}",
            "status": status, "time_zone": "Asia/Shanghai", "attributes": Jsonb([]), "terms": Jsonb({}),
            "images": Jsonb([]), "created_at": now, "updated_at": now, **product,
        })  # fmt: skip
        await self._insert("skus", {
            "id": ticket.sku_id, "product_id": ticket.product_id, "title": "Adult", "attributes": Jsonb([]),
            "stock_policy": policy if stock is not None else "none", "event_at": event_at, "updated_at": now,
        })  # fmt: skip
        await self._insert("prices", {
            "id": f"prc-{number}", "sku_id": ticket.sku_id, "currency": "CNY", "amount_minor": price_minor,
            "valid_from": now - timedelta(days=1),
        })  # fmt: skip
        for rank, offered in enumerate(suppliers):
            supplier, cost = offered if isinstance(offered, tuple) else (offered, COST_MINOR)
            await self._insert("offers", {
                "id": f"off-{number}-{rank}", "sku_id": ticket.sku_id, "supplier_id": supplier.id,
                "supplier_product_id": at_supplier, "option_id": "DEFAULT", "unit_id": "adult",
                "cost_minor": cost, "currency": "CNY", "rank": rank, "lock_at_supplier": lock,
            })  # fmt: skip
        if codes is not None:
            for code in codes:
                await self._insert("codes", {"sku_id": ticket.sku_id, "code": code, "loaded_at": now})
            await self._set_policy(ticket.sku_id, "codes")
        if stock is not None:
            await self._insert("stock", {"sku_id": ticket.sku_id, "on_hand": stock})
            if stock:
                await self._insert("stock_movements", {
                    "key": f"receipt/{ticket.sku_id}", "sku_id": ticket.sku_id, "kind": "received",
                    "quantity": stock, "at": now,
                })  # fmt: skip
        return ticket

    async def _set_policy(self, sku_id: str, policy: str) -> None:
        async with self._owner.reading() as cx:
            await cx.execute("UPDATE skus SET stock_policy = %s WHERE id = %s", (policy, sku_id))

    async def a_promotion(
        self,
        kind: str,
        *,
        for_: Caller,
        needs_coupon: bool = False,
        stack_group: str | None = "usual",
        scope: dict[str, list[str]] | None = None,
        **facts: Any,
    ) -> str:
        """The id of one that runs for one distributor. `facts`: columns of it, and the terms of its kind."""
        promotion_id, now = f"prm_{next(_numbers)}", datetime.now(UTC)
        columns = {"valid_to", "stock", "per_buyer_limit", "priority", "returns_on_refund"}
        limits = {name: facts.pop(name) for name in columns & facts.keys()}
        nowhere: dict[str, list[str]] = {
            name: [] for name in ("product_ids", "sku_ids", "category_ids", "channels", "buyer_refs")
        }
        await self._insert("promotions", {
            "id": promotion_id, "name": f"Offer {promotion_id}", "kind": kind, "terms": Jsonb({"kind": kind, **facts}),
            "scope": Jsonb({**nowhere, "distributor_ids": [for_.id], **(scope or {})}), "currency": "CNY",
            "valid_from": now - timedelta(days=1), "needs_coupon": needs_coupon, "stack_group": stack_group,
            "created_at": now, "updated_at": now, **limits,
        })  # fmt: skip
        return promotion_id

    async def a_coupon(self, promotion_id: str, *, most_uses: int = 1, valid_to: datetime | None = None) -> str:
        """The code of a new coupon."""
        code = f"CODE-{next(_numbers)}"
        await self._insert("coupons", {
            "id": f"cpn_{code}", "code": code, "promotion_id": promotion_id, "most_uses": most_uses,
            "valid_to": valid_to, "issued_at": datetime.now(UTC),
        })  # fmt: skip
        return code

    async def a_distributor(self, limit_minor: int) -> Caller:
        """With a credit line in CNY and the usual grants."""
        now, distributor_id = datetime.now(UTC), f"dst{next(_numbers)}"
        row = DistributorRow(id=distributor_id, name="Acme", currency="CNY", time_zone="Asia/Shanghai", created_at=now)
        async with self._owner.transaction() as cx:
            await accounts.add_distributor(
                cx, row, limit_minor=limit_minor, prepaid_minor=0, grants=first_grants(distributor_id, now)
            )
        return await self._with_key(PrincipalKind.DISTRIBUTOR, distributor_id, now)

    async def a_shopper(self) -> Caller:
        """Logged in for a day; nobody knows the password."""
        now, user_id = datetime.now(UTC), f"usr-{next(_numbers)}"
        minted = mint(self._settings.pepper.get_secret_value(), USER)
        session = UserSessionRow(
            id=minted.id, user_id=user_id, secret_hmac=minted.secret_hmac, created_at=now,
            expires_at=now + timedelta(days=1),
        )  # fmt: skip
        async with self._owner.transaction() as cx:
            await users.add_user(
                cx,
                UserRow(id=user_id, email=f"{user_id}@buyer.example", name="Li Lei", password_hash="-", created_at=now),
            )
            await users.add_session(cx, session)
        return Caller(user_id, minted.token)

    async def an_operator(self, role: Role = Role.ADMIN) -> Caller:
        now, operator_id = datetime.now(UTC), f"opr{next(_numbers)}"
        async with self._owner.transaction() as cx:
            await accounts.add_operator(cx, OperatorRow(id=operator_id, name="Ada", role=role, created_at=now))
        return await self._with_key(PrincipalKind.OPERATOR, operator_id, now)

    async def books(self) -> list[dict[str, Any]]:
        """All suppliers' books."""
        return [booking for supplier in self._suppliers for booking in await supplier.book()]

    async def _with_key(self, kind: PrincipalKind, owner_id: str, now: datetime) -> Caller:
        minted = mint(self._settings.pepper.get_secret_value())
        row = ApiKeyRow(
            id=minted.id, principal_kind=kind, principal_id=owner_id, secret_hmac=minted.secret_hmac,
            created_at=now, expires_at=now + timedelta(days=30),
        )  # fmt: skip
        async with self._owner.transaction() as cx:
            await accounts.add_key(cx, row, now)
        return Caller(owner_id, minted.token)

    async def _insert(self, table: str, row: dict[str, Any]) -> None:
        columns = ", ".join(row)
        places = ", ".join(["%s"] * len(row))
        async with self._owner.reading() as cx:
            await cx.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})".encode(), tuple(row.values()))
