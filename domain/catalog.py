"""Products as they are offered: their lifecycle, and the snapshot of what a buyer saw."""

from __future__ import annotations

from enum import StrEnum

from domain.machines import Machine


class ProductStatus(StrEnum):
    """`sold_out` is not a state but derived from stock."""

    DRAFT = "draft"
    PENDING_AUDIT = "pending_audit"
    AUDIT_REJECTED = "audit_rejected"
    APPROVED = "approved"
    ON_SHELF = "on_shelf"
    OFF_SHELF = "off_shelf"
    FROZEN = "frozen"
    DELETED = "deleted"


class ProductEvent(StrEnum):
    SUBMIT = "submit"
    APPROVE = "approve"
    REJECT = "reject"
    REVISE = "revise"
    PUT_ON_SHELF = "put_on_shelf"
    TAKE_OFF_SHELF = "take_off_shelf"
    FREEZE = "freeze"
    UNFREEZE = "unfreeze"
    DELETE = "delete"


_S, _E = ProductStatus, ProductEvent

LIFECYCLE: Machine[ProductStatus, ProductEvent] = Machine(
    "product",
    _S.DRAFT,
    {
        (_S.DRAFT, _E.SUBMIT): _S.PENDING_AUDIT,
        (_S.PENDING_AUDIT, _E.APPROVE): _S.APPROVED,
        (_S.PENDING_AUDIT, _E.REJECT): _S.AUDIT_REJECTED,
        (_S.AUDIT_REJECTED, _E.REVISE): _S.DRAFT,
        (_S.APPROVED, _E.PUT_ON_SHELF): _S.ON_SHELF,
        (_S.ON_SHELF, _E.TAKE_OFF_SHELF): _S.OFF_SHELF,
        (_S.OFF_SHELF, _E.PUT_ON_SHELF): _S.ON_SHELF,
        (_S.APPROVED, _E.REVISE): _S.DRAFT,
        (_S.OFF_SHELF, _E.REVISE): _S.DRAFT,
        (_S.ON_SHELF, _E.FREEZE): _S.FROZEN,
        (_S.OFF_SHELF, _E.FREEZE): _S.FROZEN,
        (_S.APPROVED, _E.FREEZE): _S.FROZEN,
        (_S.FROZEN, _E.UNFREEZE): _S.OFF_SHELF,
        (_S.DRAFT, _E.DELETE): _S.DELETED,
        (_S.AUDIT_REJECTED, _E.DELETE): _S.DELETED,
        (_S.APPROVED, _E.DELETE): _S.DELETED,
        (_S.OFF_SHELF, _E.DELETE): _S.DELETED,
    },
)
