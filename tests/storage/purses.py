"""Buyers with coins and vouchers, and pay orders that use them: what storage's tests of balances arrange with."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.balances import redeemed_transfers
from domain.inspection import InspectionTerms
from domain.money import Money
from storage import balance_grants, balances
from storage.balance_grants import NewVoucher
from storage.database import Database
from storage.inspection import inspect
from storage.payment_checks import PAYMENT_CHECKS
from storage.settlement import insert_flows

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=365)
ACTOR = "operator/ada"
ANN, BOB = "usr-ann", "usr-bob"
_numbers = itertools.count(1)


def hasher(code: str) -> bytes:
    """As the API hashes codes, but for its pepper."""
    return hashlib.sha256(code.encode()).digest()


@dataclass(frozen=True)
class Purse:
    """Both processes' connections; each method is one transaction, as an activity or a request would make it."""

    worker: Database
    api: Database

    async def grant(self, amount_minor: int, *, to: str = ANN, currency: str = "CNY", grant_id: str = "") -> None:
        async with self.api.transaction() as cx:
            await balance_grants.grant_coins(
                cx, grant_id or f"g{next(_numbers)}", buyer_id=to, amount=Money(amount_minor, currency),
                campaign=f"welcome-{currency}", reason="test", actor=ACTOR, now=NOW,
            )  # fmt: skip

    async def voucher(
        self, amount_minor: int, *, of: str | None = ANN, currency: str = "CNY", until: datetime = LATER
    ) -> str:
        """The id of a new voucher, whose code is the same."""
        voucher_id = f"vch-{next(_numbers)}"
        new = NewVoucher(voucher_id, hasher(voucher_id), Money(amount_minor, currency), f"gift-{currency}", until, of)
        async with self.api.transaction() as cx:
            await balance_grants.issue_voucher(cx, new, actor=ACTOR, now=NOW)
        return voucher_id

    async def pay_order(self, *, by: str = ANN, status: str = "pending") -> str:
        """The id of a pay order of one minor unit of cash, before anything is held for it.

        Made long ago, so that the inspection judges it.
        """
        pay_id = f"pay-{next(_numbers)}"
        async with self.worker.transaction() as cx:
            await cx.execute(
                "INSERT INTO pay_orders (id, buyer_id, distributor_id, idempotency_key, body_hash, host_workflow_id, "
                "status, currency, total_minor, cash_minor, channel_id, created_at, updated_at) "
                "VALUES (%s, %s, 'house', %s, '', '', %s, 'CNY', 1, 1, 'till', %s, %s)",
                (pay_id, by, pay_id, status, NOW - timedelta(days=300), NOW - timedelta(days=300)),
            )
        return pay_id

    async def put(self, pay_id: str, status: str) -> None:
        async with self.worker.transaction() as cx:
            await cx.execute("UPDATE pay_orders SET status = %s WHERE id = %s", (status, pay_id))

    async def hold(
        self, pay_id: str, *, coins: int = 0, vouchers: Sequence[tuple[str, int]] = (), by: str = ANN,
        currency: str = "CNY", at: datetime = NOW,
    ) -> None:  # fmt: skip
        async with self.worker.transaction() as cx:
            await balances.hold(cx, pay_id, buyer_id=by, currency=currency, coins_minor=coins, vouchers=vouchers, at=at)
            voucher_minor = sum(amount_minor for _, amount_minor in vouchers)
            await cx.execute(
                "UPDATE pay_orders SET coins_minor = %s, voucher_minor = %s, total_minor = cash_minor + %s "
                "WHERE id = %s AND status = 'pending'",
                (coins, voucher_minor, coins + voucher_minor, pay_id),
            )

    async def redeem(self, pay_id: str, *, at: datetime = NOW) -> bool:
        """With its entries, as the activity that settles a payment does."""
        async with self.worker.transaction() as cx:
            done = await balances.redeem(cx, pay_id, at=at)
            if done:
                await insert_flows(cx, transfers=redeemed_transfers(pay_id, await balances.holds_of(cx, pay_id), at))
        await self.put(pay_id, "paid")
        return done

    async def give_back(self, pay_id: str) -> None:
        async with self.worker.transaction() as cx:
            await balances.give_back_holds(cx, pay_id)

    async def refund(
        self, pay_id: str, *, coins: int = 0, voucher: int = 0, refund_id: str = "", at: datetime = NOW
    ) -> None:
        async with self.worker.transaction() as cx:
            transfers = await balances.refund(
                cx, refund_id=refund_id or f"rfd-{next(_numbers)}", pay_id=pay_id, buyer_id=ANN, currency="CNY",
                coins_minor=coins, voucher_minor=voucher, at=at,
            )  # fmt: skip
            await insert_flows(cx, transfers=transfers)

    async def coins(self, buyer_id: str = ANN) -> tuple[int, int]:
        """What there is, and what is held."""
        async with self.worker.reading() as cx:
            account = await balances.coin_account(cx, buyer_id)
        return (0, 0) if account is None else (account.balance_minor, account.held_minor)

    async def left(self, voucher_id: str) -> tuple[int, int]:
        """What there is, and what is held."""
        row = await self.row(voucher_id)
        return row["balance_minor"], row["held_minor"]

    async def row(self, voucher_id: str) -> dict[str, Any]:
        async with self.api.transaction() as cx:
            return await balance_grants.get_voucher(cx, voucher_id)

    async def unproven(self) -> list[str]:
        """The invariants of balances and ledger that do not hold: a purse's pay orders pay for no orders."""
        async with self.worker.transaction() as cx:
            told = await inspect(cx, InspectionTerms(promise_s=10**9))
        return [each.invariant for each in told if each.invariant not in PAYMENT_CHECKS]


@asynccontextmanager
async def a_purse(worker_url: str, api_url: str) -> AsyncIterator[Purse]:
    async with Database(worker_url, pool_max=12) as worker, Database(api_url, pool_max=4) as api:
        async with api.transaction() as cx:
            await cx.execute(
                "INSERT INTO payment_channels (id, name, protocol, base_url, created_at) "
                "VALUES ('till', 'Till', 'none', '', now())"
            )
        yield Purse(worker, api)
