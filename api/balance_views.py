"""Shapes of coins and vouchers: what people write, and what they and shoppers see. Codes are shown once, at issue."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from api.keys import hmac_of
from api.views import Id, Input, Instant, MoneyView, Name, View
from domain.balances import CoinAccount, VoucherEvent, VoucherState
from domain.money import Money
from settings import Settings
from storage.balance_grants import NewVoucher

MAX_GRANT_MINOR = 10**9
"""The most that one grant or voucher is worth: a slip of the keyboard is refused."""

_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_CODE_LENGTH = 16
"""80 bits: nobody finds one by trying."""

UserId = Annotated[str, StringConstraints(pattern=r"^usr-[A-Za-z0-9_\-]{1,60}$")]
"""A shopper's id."""

Campaign = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$"), Field(examples=["spring-2026"])
]
"""Who pays for it: an account of the ledger has its name."""


def _plain_code(code: str) -> str:
    return code.replace("-", "").replace(" ", "").upper()


VoucherCode = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9\- ]{4,40}$"),
    AfterValidator(_plain_code),
    Field(examples=["7KQ2-M9XD-4TWH-BC6P"]),
]
"""A voucher's code; small letters mean the capital ones, hyphens and blanks mean nothing."""


def code_hasher(settings: Settings) -> Callable[[str], bytes]:
    """What is stored instead of a voucher's code. Takes the code in any of its spellings."""
    pepper = settings.pepper.get_secret_value()
    return lambda code: hmac_of(f"voucher:{_plain_code(code)}", pepper)


class GrantAmount(MoneyView):
    """What is given: at least one minor unit."""

    amount_minor: int = Field(ge=1, le=MAX_GRANT_MINOR, strict=True, examples=[5000])


class CoinsInput(Input):
    """Coins for a shopper, each worth one minor unit of the currency."""

    amount: GrantAmount
    campaign: Campaign
    reason: Name = Field(examples=["An apology for the late tickets"])


class VoucherInput(Input):
    """A voucher. Without `user_id` it belongs to whoever adds its code first."""

    amount: GrantAmount
    campaign: Campaign
    expires_at: Instant
    user_id: UserId | None = None

    def minted(self, hasher: Callable[[str], bytes]) -> tuple[NewVoucher, str]:
        """The voucher, and its code."""
        code = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_LENGTH))
        amount = Money(self.amount.amount_minor, self.amount.currency)
        voucher_id = f"vch-{secrets.token_hex(10)}"
        new = NewVoucher(voucher_id, hasher(code), amount, self.campaign, self.expires_at, self.user_id)
        return new, "-".join(code[at : at + 4] for at in range(0, _CODE_LENGTH, 4))


class VoucherMove(Input):
    """Block it, or let it be used again."""

    event: VoucherEvent
    reason: Name


class CodeInput(Input):
    """The code that somebody was given."""

    code: VoucherCode


class CoinsView(View):
    """A shopper's coins, minor units: `available_minor` is what payments have not put aside."""

    currency: str
    balance_minor: int
    held_minor: int
    available_minor: int

    @classmethod
    def of(cls, account: CoinAccount) -> CoinsView:
        return cls(
            currency=account.currency,
            balance_minor=account.balance_minor,
            held_minor=account.held_minor,
            available_minor=account.available_minor,
        )


class VoucherView(View):
    """A voucher, minor units of its currency, without its code. `user_id`: null while nobody has added it."""

    id: Id
    user_id: str | None
    currency: str
    face_minor: int
    balance_minor: int
    held_minor: int
    available_minor: int
    campaign: str
    state: VoucherState
    expires_at: datetime
    created_at: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> VoucherView:
        named = {name: row[name] for name in cls.model_fields if name in row}
        return cls(**named, user_id=row["buyer_id"], available_minor=row["balance_minor"] - row["held_minor"])


class IssuedVoucherView(VoucherView):
    """A new voucher with its code, shown this once: a replay has null."""

    code: str | None


class BalancesView(View):
    """What a shopper can pay with. `coins`: null where there never were any; vouchers: those that run out first."""

    user_id: str
    coins: CoinsView | None
    vouchers: list[VoucherView]
