"""Coins and vouchers: what a buyer has with us, held for a pay order, redeemed with its success, returned on failure.

One coin is worth one minor unit of its account's currency. A voucher is stored value, not a coupon: whoever adds its
code first owns it for good. A balance is the sum of its ledger entries and changes only together with one.
Source: spec "Payments", balance accounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from domain import ledger
from domain.errors import DomainError
from domain.ledger import Transfer
from domain.machines import Machine
from domain.payments import RefundExceedsPaid

LIFE_AFTER_REFUND = timedelta(days=30)
"""How long what goes back to a voucher that has run out can still be used."""


class BalanceKind(StrEnum):
    COINS = "coins"
    VOUCHER = "voucher"


class HoldState(StrEnum):
    """`redeemed` is for good: what goes back later is a refund. `returned` may be held again by a late success."""

    HELD = "held"
    REDEEMED = "redeemed"
    RETURNED = "returned"


class VoucherState(StrEnum):
    ACTIVE = "active"
    BLOCKED = "blocked"


class VoucherEvent(StrEnum):
    BLOCK = "block"
    UNBLOCK = "unblock"


VOUCHER: Machine[VoucherState, VoucherEvent] = Machine(
    "voucher_state",
    VoucherState.ACTIVE,
    {
        (VoucherState.ACTIVE, VoucherEvent.BLOCK): VoucherState.BLOCKED,
        (VoucherState.BLOCKED, VoucherEvent.UNBLOCK): VoucherState.ACTIVE,
    },
)


@dataclass(frozen=True, slots=True)
class CoinAccount:
    """A buyer's coins, minor units of `currency`: what there is, and what pay orders hold of it."""

    buyer_id: str
    currency: str
    balance_minor: int
    held_minor: int

    @property
    def available_minor(self) -> int:
        return self.balance_minor - self.held_minor

    def judge(self, amount_minor: int, currency: str) -> None:
        """Whether they can pay this now. Raises CoinsUnfit, CoinsInsufficient."""
        if currency != self.currency:
            raise CoinsUnfit(self.currency, currency)
        if amount_minor > self.available_minor:
            raise CoinsInsufficient(amount_minor, self.available_minor)


@dataclass(frozen=True, slots=True)
class Voucher:
    """A voucher as a pay order meets it, minor units of `currency`. `buyer_id`: None while nobody has added it."""

    id: str
    currency: str
    buyer_id: str | None
    balance_minor: int
    held_minor: int
    expires_at: datetime
    state: VoucherState

    @property
    def available_minor(self) -> int:
        return self.balance_minor - self.held_minor

    def judge_use(self, at: datetime) -> None:
        """Whether it can be used at all at `at`. Raises VoucherBlocked, VoucherExpired."""
        if self.state is VoucherState.BLOCKED:
            raise VoucherBlocked(self.id)
        if self.expires_at <= at:
            raise VoucherExpired(self.id, self.expires_at)

    def judge(self, amount_minor: int, currency: str, *, buyer_id: str, at: datetime) -> None:
        """Whether this buyer can pay this with it.

        Raises VoucherUnknown, VoucherBlocked, VoucherExpired, VoucherUnfit, VoucherEmpty.
        """
        if self.buyer_id != buyer_id:
            raise VoucherUnknown
        self.judge_use(at)
        if currency != self.currency:
            raise VoucherUnfit(self.id, self.currency, currency)
        if amount_minor > self.available_minor:
            raise VoucherEmpty(self.id, amount_minor, self.available_minor)


@dataclass(frozen=True, slots=True)
class Hold:
    """What a pay order holds, or has redeemed, of one balance. `ref`: the buyer's id for coins, the voucher's for one.

    `rank`: its place in the order of use. `refunded_minor`: what went back of what was redeemed.
    """

    kind: BalanceKind
    ref: str
    rank: int
    buyer_id: str
    currency: str
    amount_minor: int
    state: HoldState = HoldState.HELD
    refunded_minor: int = 0

    @property
    def refundable_minor(self) -> int:
        return self.amount_minor - self.refunded_minor if self.state is HoldState.REDEEMED else 0

    @property
    def account(self) -> str:
        """The balance's account in the ledger."""
        return ledger.coins(self.ref) if self.kind is BalanceKind.COINS else ledger.voucher(self.ref)

    @property
    def path(self) -> str:
        """The end of its transfers' keys."""
        return str(self.kind) if self.kind is BalanceKind.COINS else f"{self.kind}/{self.ref}"


@dataclass(frozen=True, slots=True)
class PutBack:
    """What goes back to one balance, minor units."""

    hold: Hold
    amount_minor: int


def put_back(holds: Sequence[Hold], *, coins_minor: int, voucher_minor: int) -> list[PutBack]:
    """To which balances this goes back: vouchers in reverse order of use, each at most what was redeemed of it.

    Raises RefundExceedsPaid, for coins and vouchers each.
    """
    found: list[PutBack] = []
    for kind, wanted in ((BalanceKind.VOUCHER, voucher_minor), (BalanceKind.COINS, coins_minor)):
        used = [hold for hold in holds if hold.kind is kind]
        refundable = sum(hold.refundable_minor for hold in used)
        if wanted > refundable:
            raise RefundExceedsPaid(wanted, refundable)
        for hold in sorted(used, key=lambda hold: hold.rank, reverse=True):
            amount = min(wanted, hold.refundable_minor)
            if amount:
                found.append(PutBack(hold, amount))
                wanted -= amount
    return found


def redeemed_transfers(pay_id: str, holds: Sequence[Hold], at: datetime) -> list[Transfer]:
    """What a pay order has redeemed becomes its buyer's money to pay with, at `at`."""
    return [
        Transfer(
            f"pay/{pay_id}/{hold.path}",
            hold.account, ledger.unapplied(hold.buyer_id), hold.amount_minor, hold.currency, at,
        )
        for hold in holds
    ]  # fmt: skip


def refunded_transfers(
    refund_id: str, given: Sequence[PutBack], *, buyer_id: str, currency: str, at: datetime
) -> list[Transfer]:
    """What goes back to its balances, out of the buyer's money that is on its way back."""
    return [
        Transfer(
            f"{refund_id}/{each.hold.path}",
            ledger.unapplied(buyer_id), each.hold.account, each.amount_minor, currency, at,
        )
        for each in given
    ]  # fmt: skip


def grant_key(grant_id: str) -> str:
    """The key of a grant's transfer."""
    return f"grant/{grant_id}"


def use_in_turn(vouchers: Sequence[Voucher], amount_minor: int) -> list[tuple[str, int]]:
    """What each voucher pays of the amount, the first emptied first; those that nothing is left for are not used.

    Raises VoucherEmpty where they have less together.
    """
    used: list[tuple[str, int]] = []
    left_minor = amount_minor
    for voucher in vouchers:
        taken = min(left_minor, voucher.available_minor)
        if taken:
            used.append((voucher.id, taken))
        left_minor -= taken
    if left_minor:
        raise VoucherEmpty(", ".join(each.id for each in vouchers), amount_minor, amount_minor - left_minor)
    return used


# --- refusals --------------------------------------------------------------------------------------------------------


class BalanceRefusal(DomainError):
    """A balance can't pay what is asked of it: nothing of it is held."""


class CoinsInsufficient(BalanceRefusal):
    code = "coins_insufficient"

    def __init__(self, asked_minor: int, available_minor: int) -> None:
        super().__init__(f"{asked_minor} coins are asked for and {available_minor} are available: use fewer.")
        self.available_minor = available_minor

    @property
    def facts(self) -> dict[str, object]:
        return {"available_minor": self.available_minor}


class CoinsUnfit(BalanceRefusal):
    """Coins are of one currency, which is not this one."""

    code = "coins_unfit"

    def __init__(self, currency: str, wanted: str) -> None:
        super().__init__(f"The coins are worth {currency} and this is in {wanted}: nothing is converted.")


class VoucherUnknown(BalanceRefusal):
    """No such voucher, or another buyer's. One wording for both, so that nobody learns which codes exist."""

    code = "voucher_not_found"

    def __init__(self) -> None:
        super().__init__("You have no such voucher: check its code, or list /v1/balances for those you have.")


class VoucherBlocked(BalanceRefusal):
    code = "voucher_blocked"

    def __init__(self, voucher_id: str) -> None:
        super().__init__(f"Voucher {voucher_id} is blocked: ask our support, or pay without it.")


class VoucherExpired(BalanceRefusal):
    code = "voucher_expired"

    def __init__(self, voucher_id: str, expired_at: datetime) -> None:
        super().__init__(f"Voucher {voucher_id} could be used until {expired_at.isoformat()}: pay without it.")


class VoucherEmpty(BalanceRefusal):
    """Less is left, or free of other payments, than is asked for."""

    code = "voucher_empty"

    def __init__(self, voucher_id: str, asked_minor: int, available_minor: int) -> None:
        super().__init__(
            f"Voucher {voucher_id} has {available_minor} minor units available, not {asked_minor}: use less of it."
        )
        self.available_minor = available_minor

    @property
    def facts(self) -> dict[str, object]:
        return {"available_minor": self.available_minor}


class VoucherUnfit(BalanceRefusal):
    """It is worth another currency."""

    code = "voucher_unfit"

    def __init__(self, voucher_id: str, currency: str, wanted: str) -> None:
        super().__init__(f"Voucher {voucher_id} is worth {currency} and this is in {wanted}: nothing is converted.")


class VoucherInvalid(DomainError):
    """A voucher that nobody can have meant."""

    code = "voucher_invalid"


class CampaignUnfit(DomainError):
    """A campaign's account is of one currency."""

    code = "campaign_unfit"

    def __init__(self, campaign: str, currency: str) -> None:
        super().__init__(f"Campaign {campaign!r} has granted in another currency than {currency}: name another one.")


class BalancesNotFound(DomainError):
    """The caller has no balances, or may not see these."""

    code = "balances_not_found"

    def __init__(self) -> None:
        super().__init__("Only shoppers have balances, and each sees its own: operators read /v1/users/{id}/balances.")
