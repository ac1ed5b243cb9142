"""Coins and vouchers under a pay order: held, redeemed or returned exactly once, and given back by refunds.

Rows are locked in one order: the pay order's holds, then vouchers by id, then the coin account, then the ledger. A
balance is held by one conditional statement, behind which stands a CHECK; it goes down by what is held and no more.
Every function but `credit_coins` leaves the ledger's entries to its caller, who books all of a transaction's at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, LiteralString

from domain import ledger
from domain.balances import (
    LIFE_AFTER_REFUND,
    BalanceKind,
    BalanceRefusal,
    CoinAccount,
    CoinsInsufficient,
    CoinsUnfit,
    Hold,
    HoldState,
    PutBack,
    Voucher,
    VoucherEmpty,
    VoucherState,
    VoucherUnknown,
    put_back,
    refunded_transfers,
)
from domain.ledger import Transfer
from storage.database import Connection
from storage.settlement import insert_transfers

# --- vouchers before a payment ---------------------------------------------------------------------------------------


async def read_vouchers(cx: Connection, ids: Sequence[str], *, buyer_id: str, at: datetime) -> list[Voucher]:
    """The buyer's vouchers, in the order of `ids`. Raises VoucherUnknown, VoucherBlocked, VoucherExpired."""
    cursor = await cx.execute("SELECT * FROM vouchers WHERE id = ANY(%s) AND buyer_id = %s", (list(ids), buyer_id))
    found = {row["id"]: voucher_of(row) for row in await cursor.fetchall()}
    if not found.keys() >= set(ids):
        raise VoucherUnknown
    for voucher_id in ids:
        found[voucher_id].judge_use(at)
    return [found[voucher_id] for voucher_id in ids]


async def resolve_codes(
    cx: Connection, codes: Sequence[str], *, hasher: Callable[[str], bytes], buyer_id: str, at: datetime
) -> list[str]:
    """The ids of the vouchers with these codes, each once, in the codes' order; they are this buyer's from now on.

    Knowing a voucher's id is not enough to use it: only its code makes it somebody's. All are bound or, where one is
    refused, none. Raises VoucherUnknown, VoucherBlocked, VoucherExpired.
    """
    hashes = list(dict.fromkeys(hasher(code) for code in codes))
    cursor = await cx.execute("SELECT * FROM vouchers WHERE code_hmac = ANY(%s)", (hashes,))
    found = {bytes(row["code_hmac"]): voucher_of(row) for row in await cursor.fetchall()}
    if found.keys() != set(hashes) or any(each.buyer_id not in (None, buyer_id) for each in found.values()):
        raise VoucherUnknown
    for voucher in found.values():
        voucher.judge_use(at)
    ids = [found[each].id for each in hashes]
    async with cx.transaction():
        await _lock_vouchers(cx, ids)
        cursor = await cx.execute(
            "UPDATE vouchers SET buyer_id = %(buyer)s "
            "WHERE id = ANY(%(ids)s) AND (buyer_id IS NULL OR buyer_id = %(buyer)s)",
            {"buyer": buyer_id, "ids": ids},
        )
        if cursor.rowcount != len(ids):  # somebody else was faster
            raise VoucherUnknown
    return ids


def voucher_of(row: dict[str, Any]) -> Voucher:
    """The voucher of a row."""
    fields = ("id", "currency", "buyer_id", "balance_minor", "held_minor", "expires_at")
    return Voucher(**{name: row[name] for name in fields}, state=VoucherState(row["state"]))


# --- a pay order's holds ---------------------------------------------------------------------------------------------


async def hold(
    cx: Connection,
    pay_id: str,
    *,
    buyer_id: str,
    currency: str,
    coins_minor: int,
    vouchers: Sequence[tuple[str, int]],
    at: datetime,
) -> None:
    """Hold coins and vouchers (id, amount in minor units; in the order of use) for a pay order, once by its id.

    Raises CoinsInsufficient, CoinsUnfit, VoucherUnknown, VoucherBlocked, VoucherExpired, VoucherUnfit, VoucherEmpty:
    nothing is held then, also where the caller's transaction goes on.
    """
    amounts: dict[str, int] = {}
    for voucher_id, amount_minor in vouchers:
        amounts[voucher_id] = amounts.get(voucher_id, 0) + amount_minor
    wanted = [(BalanceKind.VOUCHER, voucher_id, amount) for voucher_id, amount in amounts.items()]
    if coins_minor:
        wanted.append((BalanceKind.COINS, buyer_id, coins_minor))
    holds = [Hold(kind, ref, rank, buyer_id, currency, amount) for rank, (kind, ref, amount) in enumerate(wanted)]
    async with cx.transaction():
        cursor = await cx.execute(
            """
            INSERT INTO balance_holds (pay_id, kind, ref, rank, buyer_id, currency, amount_minor)
            SELECT %s, kind, ref, rank, %s, %s, amount_minor
            FROM unnest(%s::text[], %s::text[], %s::int[], %s::bigint[]) AS w (kind, ref, rank, amount_minor)
            ON CONFLICT DO NOTHING
            """,
            (
                pay_id,
                buyer_id,
                currency,
                [each.kind for each in holds],
                [each.ref for each in holds],
                [each.rank for each in holds],
                [each.amount_minor for each in holds],
            ),
        )
        if cursor.rowcount:
            await _take(cx, holds, at)


async def redeem(cx: Connection, pay_id: str, *, at: datetime) -> bool:
    """The pay order is paid: its holds are redeemed, once. The caller books `redeemed_transfers`.

    After they were returned (a late success) they are taken again, whole: False, and nothing is changed, where one of
    the balances can't any more. `at`: the time of the payment.
    """
    holds = await _locked(cx, pay_id)
    if any(each.state is HoldState.RETURNED for each in holds):
        try:
            async with cx.transaction():
                await _take(cx, holds, at)
                await cx.execute("UPDATE balance_holds SET state = 'held' WHERE pay_id = %s", (pay_id,))
        except BalanceRefusal:
            return False
    await _end(cx, pay_id, HoldState.REDEEMED)
    return True


async def give_back_holds(cx: Connection, pay_id: str) -> None:
    """The pay order failed or was closed: what it holds is free again, once. Always goes through."""
    if await _locked(cx, pay_id):
        await _end(cx, pay_id, HoldState.RETURNED)


_TAKE: dict[BalanceKind, LiteralString] = {
    BalanceKind.VOUCHER: """
        UPDATE vouchers SET held_minor = held_minor + %(amount)s
        WHERE id = %(ref)s AND buyer_id = %(buyer)s AND currency = %(currency)s AND state = 'active'
          AND expires_at > %(at)s AND balance_minor - held_minor >= %(amount)s""",
    BalanceKind.COINS: """
        UPDATE coin_accounts SET held_minor = held_minor + %(amount)s
        WHERE buyer_id = %(ref)s AND currency = %(currency)s AND balance_minor - held_minor >= %(amount)s""",
}


async def _take(cx: Connection, holds: Sequence[Hold], at: datetime) -> None:
    for each in sorted(holds, key=lambda hold: (hold.kind is BalanceKind.COINS, hold.ref)):
        values = {
            "ref": each.ref, "buyer": each.buyer_id, "currency": each.currency, "amount": each.amount_minor, "at": at,
        }  # fmt: skip
        if not (await cx.execute(_TAKE[each.kind], values)).rowcount:
            await _say_why_not(cx, each, at)


async def _say_why_not(cx: Connection, wanted: Hold, at: datetime) -> None:
    amount, currency = wanted.amount_minor, wanted.currency
    if wanted.kind is BalanceKind.COINS:
        account = await coin_account(cx, wanted.ref)
        if account is not None:
            account.judge(amount, currency)
        raise CoinsInsufficient(amount, 0 if account is None else account.available_minor)
    row = await (await cx.execute("SELECT * FROM vouchers WHERE id = %s", (wanted.ref,))).fetchone()
    if row is None:
        raise VoucherUnknown
    voucher = voucher_of(row)
    voucher.judge(amount, currency, buyer_id=wanted.buyer_id, at=at)
    # Free again between the two statements: whoever asks now finds it so.
    raise VoucherEmpty(voucher.id, amount, voucher.available_minor)


async def coin_account(cx: Connection, buyer_id: str) -> CoinAccount | None:
    """The buyer's coins; None where none were ever credited."""
    cursor = await cx.execute(
        "SELECT buyer_id, currency, balance_minor, held_minor FROM coin_accounts WHERE buyer_id = %s", (buyer_id,)
    )
    row = await cursor.fetchone()
    return None if row is None else CoinAccount(**row)


async def holds_of(cx: Connection, pay_id: str) -> list[Hold]:
    """What the pay order holds, has redeemed or has returned, in the order of use."""
    cursor = await cx.execute("SELECT * FROM balance_holds WHERE pay_id = %s ORDER BY rank", (pay_id,))
    return [_hold_of(row) for row in await cursor.fetchall()]


def _hold_of(row: dict[str, Any]) -> Hold:
    fields = ("ref", "rank", "buyer_id", "currency", "amount_minor", "refunded_minor")
    kind, state = BalanceKind(row["kind"]), HoldState(row["state"])
    return Hold(kind, **{name: row[name] for name in fields}, state=state)


async def _locked(cx: Connection, pay_id: str) -> list[Hold]:
    """The pay order's holds in the order of use, locked, and then their balances."""
    cursor = await cx.execute("SELECT * FROM balance_holds WHERE pay_id = %s ORDER BY rank FOR UPDATE", (pay_id,))
    holds = [_hold_of(row) for row in await cursor.fetchall()]
    await _lock_vouchers(cx, [each.ref for each in holds if each.kind is BalanceKind.VOUCHER])
    return holds


async def _lock_vouchers(cx: Connection, ids: Sequence[str]) -> None:
    if ids:
        await cx.execute("SELECT FROM vouchers WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", (list(ids),))


_END = """
WITH ended AS (
    UPDATE balance_holds SET state = %(after)s WHERE pay_id = %(pay)s AND state = 'held'
    RETURNING kind, ref, amount_minor, CASE WHEN %(after)s = 'redeemed' THEN amount_minor ELSE 0 END AS spent_minor),
of_vouchers AS (
    UPDATE vouchers AS v SET held_minor = v.held_minor - e.amount_minor, balance_minor = v.balance_minor - e.spent_minor
    FROM ended AS e WHERE e.kind = 'voucher' AND v.id = e.ref)
UPDATE coin_accounts AS c
SET held_minor = c.held_minor - e.amount_minor, balance_minor = c.balance_minor - e.spent_minor
FROM ended AS e WHERE e.kind = 'coins' AND c.buyer_id = e.ref
"""


async def _end(cx: Connection, pay_id: str, after: HoldState) -> None:
    await cx.execute(_END, {"pay": pay_id, "after": after})


# --- money back, and coins -------------------------------------------------------------------------------------------

_PUT_BACK = """
WITH given AS (
    INSERT INTO balance_refunds (refund_id, kind, ref, pay_id, amount_minor, given_at)
    SELECT %(refund)s, kind, ref, %(pay)s, amount_minor, %(at)s
    FROM unnest(%(kinds)s::text[], %(refs)s::text[], %(amounts)s::bigint[]) AS g (kind, ref, amount_minor)
    RETURNING kind, ref, amount_minor),
of_holds AS (
    UPDATE balance_holds AS h SET refunded_minor = h.refunded_minor + g.amount_minor
    FROM given AS g WHERE h.pay_id = %(pay)s AND (h.kind, h.ref) = (g.kind, g.ref)),
of_vouchers AS (
    UPDATE vouchers AS v SET balance_minor = v.balance_minor + g.amount_minor,
        expires_at = CASE WHEN v.expires_at <= %(at)s THEN %(extended)s ELSE v.expires_at END
    FROM given AS g WHERE g.kind = 'voucher' AND v.id = g.ref)
UPDATE coin_accounts AS c SET balance_minor = c.balance_minor + g.amount_minor
FROM given AS g WHERE g.kind = 'coins' AND c.buyer_id = g.ref
"""


async def refund(
    cx: Connection,
    *,
    refund_id: str,
    pay_id: str,
    buyer_id: str,
    currency: str,
    coins_minor: int,
    voucher_minor: int,
    at: datetime,
) -> list[Transfer]:
    """Give back what the pay order redeemed to where it came from, once by the refund's id; what is to be booked.

    Vouchers in reverse order of use. One that has run out at `at` lives on for LIFE_AFTER_REFUND. Again with the same
    id: the same transfers, and nothing else. Raises RefundExceedsPaid.
    """
    holds = await _locked(cx, pay_id)
    cursor = await cx.execute("SELECT kind, ref, amount_minor FROM balance_refunds WHERE refund_id = %s", (refund_id,))
    amounts = {(row["kind"], row["ref"]): row["amount_minor"] for row in await cursor.fetchall()}
    if amounts:
        given = [PutBack(each, amounts[each.kind, each.ref]) for each in holds if (each.kind, each.ref) in amounts]
    else:
        given = put_back(holds, coins_minor=coins_minor, voucher_minor=voucher_minor)
        values = {
            "refund": refund_id, "pay": pay_id, "at": at, "extended": at + LIFE_AFTER_REFUND,
            "kinds": [each.hold.kind for each in given], "refs": [each.hold.ref for each in given],
            "amounts": [each.amount_minor for each in given],
        }  # fmt: skip
        await cx.execute(_PUT_BACK, values)
    return refunded_transfers(refund_id, given, buyer_id=buyer_id, currency=currency, at=at)


async def credit_coins(
    cx: Connection, buyer_id: str, amount_minor: int, currency: str, *, key: str, debit: str, at: datetime
) -> None:
    """Add coins, with their ledger entry from the account `debit`, once by `key`.

    It books its entry itself: a transaction that books others, too, does so afterwards. Raises CoinsUnfit,
    BookedOtherwise.
    """
    cursor = await cx.execute(
        "INSERT INTO coin_accounts AS c (buyer_id, currency) VALUES (%s, %s) "
        "ON CONFLICT (buyer_id) DO UPDATE SET currency = c.currency RETURNING currency",
        (buyer_id, currency),
    )
    row = await cursor.fetchone()
    assert row is not None, "an upsert that changes always returns its row"
    if row["currency"] != currency:
        raise CoinsUnfit(row["currency"], currency)
    entry = Transfer(key, debit, ledger.coins(buyer_id), amount_minor, currency, at)
    if await insert_transfers(cx, [entry]):
        await cx.execute(
            "UPDATE coin_accounts SET balance_minor = balance_minor + %s WHERE buyer_id = %s", (amount_minor, buyer_id)
        )
