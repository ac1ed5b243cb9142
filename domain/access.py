"""Who may do what: actions, roles, grants with their window, and the one question every route asks.

Source: spec "Permissions". A grant says who, which action, over which resources, from when, until when.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from domain.errors import DomainError

MAX_ACTIVE_KEYS = 2
"""The old key and its successor: rotation with overlap."""

MAX_GRANTS = 500
"""Per distributor: grants travel with every authentication, so their number is bounded."""


class Action(StrEnum):
    """What a route does, as a permission names it."""

    CATALOG_READ = "catalog:read"
    CATALOG_WRITE = "catalog:write"
    INVENTORY_READ = "inventory:read"
    INVENTORY_WRITE = "inventory:write"
    PROMOTION_READ = "promotion:read"
    PROMOTION_WRITE = "promotion:write"
    COUPON_CLAIM = "coupon:claim"
    ORDER_CREATE = "order:create"
    ORDER_READ = "order:read"
    ORDER_CONFIRM = "order:confirm"
    ORDER_CANCEL = "order:cancel"
    ORDER_EXTEND = "order:extend"
    ORDER_DECIDE = "order:decide"
    ORDER_REVIEW = "order:review"
    CHECKOUT_CREATE = "checkout:create"
    PAYMENT_CREATE = "payment:create"
    PAYMENT_READ = "payment:read"
    PAYMENT_CANCEL = "payment:cancel"
    BALANCE_READ = "balance:read"
    BALANCE_WRITE = "balance:write"
    CHANNEL_READ = "channel:read"
    CHANNEL_WRITE = "channel:write"
    EXCEPTION_READ = "exception:read"
    EXCEPTION_DECIDE = "exception:decide"
    SUPPLIER_READ = "supplier:read"
    SUPPLIER_WRITE = "supplier:write"
    ACCOUNT_READ = "account:read"
    ACCOUNT_WRITE = "account:write"
    SELF_READ = "self:read"
    EVENT_READ = "event:read"
    SETTLEMENT_READ = "settlement:read"
    GATE_REDEEM = "gate:redeem"
    TICKET_VOID = "ticket:void"
    SYSTEM_READ = "system:read"


class Role(StrEnum):
    """An operator's role."""

    SUPPORT = "support"
    OPERATIONS = "operations"
    FINANCE = "finance"
    CATALOGUE = "catalogue"
    GATE = "gate"
    ADMIN = "admin"


class PrincipalKind(StrEnum):
    """`user`: a shopper of our own storefront; `service`: a party of ours without a person or a contract behind it,
    such as a scheduled job."""

    DISTRIBUTOR = "distributor"
    USER = "user"
    OPERATOR = "operator"
    SERVICE = "service"


HOUSE = "house"
"""Our own storefront, as a distributor: shoppers' orders are its."""


class ResourceKind(StrEnum):
    """What a grant may be limited to."""

    ALL = "all"
    CATEGORY = "category"
    SUPPLIER = "supplier"
    PRODUCT = "product"


_A = Action

_READS = frozenset(
    {
        _A.SELF_READ,
        _A.CATALOG_READ,
        _A.INVENTORY_READ,
        _A.PROMOTION_READ,
        _A.ORDER_READ,
        _A.EXCEPTION_READ,
        _A.SUPPLIER_READ,
        _A.PAYMENT_READ,
        _A.BALANCE_READ,
        _A.CHANNEL_READ,
    }
)

ROLE_ACTIONS: Mapping[Role, frozenset[Action]] = {
    Role.SUPPORT: _READS | {_A.ORDER_CONFIRM, _A.ORDER_CANCEL, _A.ORDER_EXTEND, _A.EVENT_READ},
    Role.OPERATIONS: _READS
    | {
        _A.ORDER_CONFIRM,
        _A.ORDER_CANCEL,
        _A.ORDER_EXTEND,
        _A.ORDER_DECIDE,
        _A.ORDER_REVIEW,
        _A.EXCEPTION_DECIDE,
        _A.TICKET_VOID,
        _A.SUPPLIER_WRITE,
        _A.CHANNEL_WRITE,
        _A.PAYMENT_CANCEL,
        _A.INVENTORY_WRITE,
        _A.EVENT_READ,
        _A.SYSTEM_READ,
    },
    Role.FINANCE: _READS
    | {_A.SETTLEMENT_READ, _A.ACCOUNT_READ, _A.EVENT_READ, _A.EXCEPTION_DECIDE, _A.BALANCE_WRITE, _A.CHANNEL_WRITE},
    Role.CATALOGUE: _READS | {_A.CATALOG_WRITE, _A.INVENTORY_WRITE, _A.PROMOTION_WRITE},
    Role.GATE: frozenset({_A.SELF_READ, _A.GATE_REDEEM}),
    Role.ADMIN: frozenset(Action) - {_A.ORDER_CREATE, _A.COUPON_CLAIM, _A.CHECKOUT_CREATE, _A.PAYMENT_CREATE},
}
"""Nobody but a distributor places orders, or claims for its buyers: without a contract behind it there is no payer.
A gate is a device that hangs in public: it redeems, and reads no orders."""

DISTRIBUTOR_DEFAULTS: frozenset[Action] = frozenset(
    {
        _A.CATALOG_READ,
        _A.INVENTORY_READ,
        _A.PROMOTION_READ,
        _A.COUPON_CLAIM,
        _A.ORDER_CREATE,
        _A.ORDER_READ,
        _A.ORDER_CONFIRM,
        _A.ORDER_CANCEL,
        _A.ORDER_EXTEND,
        _A.EVENT_READ,
        _A.SETTLEMENT_READ,
    }
)
"""What a new distributor is granted over everything."""

USER_ACTIONS: frozenset[Action] = frozenset(
    {
        _A.SELF_READ,
        _A.CATALOG_READ,
        _A.PROMOTION_READ,
        _A.ORDER_CREATE,
        _A.ORDER_READ,
        _A.ORDER_CANCEL,
        _A.ORDER_EXTEND,
        _A.CHECKOUT_CREATE,
        _A.PAYMENT_CREATE,
        _A.PAYMENT_READ,
        _A.PAYMENT_CANCEL,
        _A.BALANCE_READ,
        _A.CHANNEL_READ,
    }
)
"""What every shopper may do, to their own things and to what is on the shelf."""

GRANTABLE = DISTRIBUTOR_DEFAULTS
"""What a distributor can be granted at all: the rest steers the platform and belongs to operators' roles."""

_ALWAYS = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Resource:
    """The one thing that an action touches, with all that grants may name it by."""

    product_id: str | None = None
    supplier_id: str | None = None
    category_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """Leave to do `action` over a resource in the window [valid_from, valid_to)."""

    action: Action
    valid_from: datetime = _ALWAYS
    valid_to: datetime | None = None
    resource_kind: ResourceKind = ResourceKind.ALL
    resource_id: str = ""

    def holds(self, now: datetime) -> bool:
        """Whether the window is open at `now`."""
        return self.valid_from <= now and (self.valid_to is None or now < self.valid_to)

    def covers(self, resource: Resource) -> bool:
        """Whether the grant's resource is, or contains, this one."""
        match self.resource_kind:
            case ResourceKind.ALL:
                return True
            case ResourceKind.PRODUCT:
                return self.resource_id == resource.product_id
            case ResourceKind.SUPPLIER:
                return self.resource_id == resource.supplier_id
            case ResourceKind.CATEGORY:
                return self.resource_id in resource.category_ids


def permits(grants: Iterable[Grant], action: Action, resource: Resource | None, now: datetime) -> bool:
    """Whether any grant allows `action` over `resource` at `now`.

    Without a resource the question is a route's: may the caller do this to anything at all? What the route then
    touches is asked again with its resource.
    """
    return any(
        grant.action is action and grant.holds(now) and (resource is None or grant.covers(resource)) for grant in grants
    )


def distributor_grants(granted: Iterable[Grant]) -> tuple[Grant, ...]:
    """What a distributor was granted, and what every known caller may: to ask who it is."""
    return (Grant(Action.SELF_READ), *granted)


def user_grants() -> tuple[Grant, ...]:
    """What every shopper may, over everything: what is theirs is fenced where it is read."""
    return tuple(Grant(action) for action in sorted(USER_ACTIONS))


def role_grants(role: Role) -> tuple[Grant, ...]:
    """A role's actions as grants over everything, always: operators are asked the same question as distributors."""
    return tuple(Grant(action) for action in sorted(ROLE_ACTIONS[role]))


@dataclass(frozen=True, slots=True)
class Fence:
    """Whose things a caller sees: one distributor's, within them one buyer's; None does not limit."""

    distributor_id: str | None = None
    buyer_id: str | None = None

    def holds_back(self, distributor_id: str, buyer_ref: str | None) -> bool:
        """Whether a thing of that distributor and buyer lies outside."""
        if self.distributor_id not in (None, distributor_id):
            return True
        return self.buyer_id not in (None, buyer_ref)


@dataclass(frozen=True, slots=True)
class Principal:
    """A known caller. `id` is the distributor's, the operator's or the service's own."""

    kind: PrincipalKind
    id: str
    role: Role | None = None
    grants: tuple[Grant, ...] = ()

    @property
    def ref(self) -> str:
        """Kind and id in one word: the scope of idempotency keys and the actor of logs."""
        return f"{self.kind}/{self.id}"

    @property
    def distributor_id(self) -> str | None:
        """The fence: what this caller's reads are limited to; None for those who see all distributors."""
        if self.kind is PrincipalKind.USER:
            return HOUSE
        return self.id if self.kind is PrincipalKind.DISTRIBUTOR else None

    @property
    def buyer_id(self) -> str | None:
        """The second fence: a shopper sees what is their own; None for those who see all buyers within the first."""
        return self.id if self.kind is PrincipalKind.USER else None

    @property
    def fence(self) -> Fence:
        """Both fences in one: what reads and actions on orders are limited to."""
        return Fence(self.distributor_id, self.buyer_id)

    def permits(self, action: Action, now: datetime, resource: Resource | None = None) -> bool:
        """See `permits`."""
        return permits(self.grants, action, resource, now)

    def actions(self, now: datetime) -> frozenset[Action]:
        """What the caller may do now, to at least something."""
        return frozenset(grant.action for grant in self.grants if grant.holds(now))


class Unauthenticated(DomainError):
    """The caller is not known. One wording for every reason, so that nobody learns which keys exist."""

    code = "unauthenticated"

    def __init__(self) -> None:
        super().__init__(
            "No valid credentials: send `Authorization: Bearer tsr_live_...` with a key that is active and not expired."
        )


class NotPermitted(DomainError):
    """The caller is known and may not do this, or not to this."""

    code = "not_permitted"

    def __init__(self, action: Action, resource: str = "") -> None:
        over = f" over {resource}" if resource else ""
        super().__init__(f"Your account has no grant for {action}{over} now: ask for one, or use another key.")
        self.action = action

    @property
    def facts(self) -> dict[str, object]:
        return {"action": str(self.action)}


class NotGrantable(DomainError):
    """Only an operator's role gives this action."""

    code = "not_grantable"

    def __init__(self, action: str) -> None:
        super().__init__(f"{action} cannot be granted to a distributor; grantable: {', '.join(sorted(GRANTABLE))}.")


class TooManyKeys(DomainError):
    """Rotation needs two keys; a third would be one that nobody watches."""

    code = "too_many_keys"

    def __init__(self) -> None:
        super().__init__(f"{MAX_ACTIVE_KEYS} keys are active already: revoke one before making another.")


class TooManyGrants(DomainError):
    """The bound on grants per principal is reached."""

    code = "too_many_grants"

    def __init__(self) -> None:
        super().__init__(f"A distributor has at most {MAX_GRANTS} grants: grant a category instead of its products.")


class AccountExists(DomainError):
    """The id is taken, for ever."""

    code = "account_exists"

    def __init__(self, account_id: str) -> None:
        super().__init__(f"{account_id} exists already: choose another id.")


class AccountNotFound(DomainError):
    """No such distributor or operator."""

    code = "account_not_found"

    def __init__(self, account_id: str) -> None:
        super().__init__(f"There is no account {account_id}.")


class KeyNotFound(DomainError):
    """No such key of this account."""

    code = "key_not_found"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"This account has no key {key_id}.")


class GrantExists(DomainError):
    """The same grant from the same moment is there."""

    code = "grant_exists"

    def __init__(self) -> None:
        super().__init__("This grant exists already, starting at the same moment.")


class CreditLineStale(DomainError):
    """The credit line has changed since the caller read it (`If-Match`)."""

    code = "precondition_failed"

    def __init__(self) -> None:
        super().__init__("The credit line has changed since you read it: read it again, then decide again.")
