"""The sample shoppers of our own storefront, one with coins, one with a voucher; `keys.json` has their passwords."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

from api.balance_views import GrantAmount, VoucherInput, code_hasher
from api.passwords import Hasher
from domain.money import Money
from domain.users import EmailTaken
from settings import Settings
from storage import balance_grants, users
from storage.balance_grants import NewVoucher
from storage.database import Database
from storage.users import UserRow

CAMPAIGN = "welcome"
"""It pays for what the sample shoppers were given."""
CURRENCY = "CNY"

SHOPPERS: Mapping[str, str] = {"li.lei@shop.example": "Li Lei", "han.mei@shop.example": "Han Mei"}
"""Names by e-mail; the first has coins, the second a voucher."""
WITH_COINS, WITH_VOUCHER = SHOPPERS
COINS_MINOR = 5_000
VOUCHER_MINOR = 3_000
VOUCHER_VALID_FOR = timedelta(days=365)


async def ensure_shoppers(
    database: Database, settings: Settings, passwords: Mapping[str, str], *, actor: str, now: datetime
) -> tuple[str, ...]:
    """Both shoppers, with the passwords by e-mail that are given. One that exists keeps what it has, and its password.

    Returns their e-mails.
    """
    hasher = Hasher()
    for email, name in SHOPPERS.items():
        row = UserRow(
            id=f"usr-{secrets.token_hex(10)}",
            email=email,
            name=name,
            password_hash=await hasher.hash(passwords[email]),
            created_at=now,
        )
        try:
            async with database.transaction() as cx:
                await users.add_user(cx, row)
                if email == WITH_COINS:
                    await balance_grants.grant_coins(
                        cx, f"seed-{row.id}", buyer_id=row.id, amount=Money(COINS_MINOR, CURRENCY), campaign=CAMPAIGN,
                        reason="sample data", actor=actor, now=now,
                    )  # fmt: skip
                else:
                    voucher = _voucher(settings, row.id, now)
                    await balance_grants.issue_voucher(cx, voucher, actor=actor, now=now)
        except EmailTaken:
            continue
    return tuple(SHOPPERS)


def _voucher(settings: Settings, user_id: str, now: datetime) -> NewVoucher:
    """It is its shopper's from the beginning: nobody needs its code."""
    asked = VoucherInput(
        amount=GrantAmount(amount_minor=VOUCHER_MINOR, currency=CURRENCY),
        campaign=CAMPAIGN,
        expires_at=now + VOUCHER_VALID_FOR,
        user_id=user_id,
    )
    new, _ = asked.minted(code_hasher(settings))
    return new
