"""What gates send and are told."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from adapters.gate.tokens import PublicKey
from api.gate_scanning import Scanned
from api.views import Id, Input, Instant, OrderNo, View
from domain.gate import Outcome, TicketStatus
from storage.tickets import StoredTicket

MAX_CODE = 4096
MAX_SCANS = 500


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("is no code: it has characters that nobody prints")
    return text


Code = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_CODE),
    AfterValidator(_printable),
    Field(description="What was scanned, unchanged: our token, or the supplier's code.", examples=["NG-4711"]),
]
GateId = Annotated[Id, Field(description="The gate's own name.", examples=["north-1"])]
ForProduct = Annotated[
    Id | None, Field(description="What the gate is for; needed only where suppliers gave the same code twice.")
]


class RedemptionInput(Input):
    """A scan at a gate, now."""

    code: Code
    gate_id: GateId
    product_id: ForProduct = None


class OfflineScanInput(Input):
    """A scan that let somebody in while there was no line to us."""

    code: Code
    scanned_at: Instant
    product_id: ForProduct = None


class OfflineScansInput(Input):
    """The scans that one gate has collected."""

    gate_id: GateId
    scans: Annotated[list[OfflineScanInput], Field(min_length=1, max_length=MAX_SCANS)]


class AdmittedView(View):
    """Let the bearer in."""

    outcome: Literal["admitted"] = "admitted"
    serial: str = Field(examples=["3KB8K-ZC38C-00400-20004"])
    order_no: OrderNo
    line_no: int
    unit: int
    product_id: str
    title: str
    variant: str
    redeemed_at: Instant
    gate_id: str

    @classmethod
    def of(cls, ticket: StoredTicket) -> AdmittedView:
        """From a ticket that was just redeemed."""
        standing, ref = ticket.standing, ticket.ref
        assert standing.redeemed_at is not None
        assert standing.redeemed_gate is not None
        return cls(
            serial=ref.serial,
            order_no=ref.order_no,
            line_no=ref.line_no,
            unit=ref.unit,
            product_id=ticket.product_id,
            title=ticket.product_title,
            variant=ticket.variant_title,
            redeemed_at=standing.redeemed_at,
            gate_id=standing.redeemed_gate,
        )


class OfflineResultView(View):
    """What came of one offline scan. Anything but `admitted` let somebody in who should have stayed outside."""

    outcome: Outcome
    serial: str | None
    detail: str | None = Field(description="What is so, where it is not `admitted`.")
    facts: dict[str, Any] = Field(description="When and where the ticket was redeemed or voided.")

    @classmethod
    def of(cls, scanned: Scanned) -> OfflineResultView:
        refusal = scanned.refusal
        return cls(
            outcome=scanned.outcome,
            serial=scanned.ticket.ref.serial if scanned.ticket else None,
            detail=str(refusal) if refusal else None,
            facts=refusal.facts if refusal else {},
        )


class OfflineScansView(View):
    """The results in the order of the scans. `conflicts` counts those that are not `admitted`."""

    results: list[OfflineResultView]
    admitted: int
    conflicts: int

    @classmethod
    def of(cls, scanned: list[Scanned]) -> OfflineScansView:
        admitted = sum(each.outcome is Outcome.ADMITTED for each in scanned)
        results = [OfflineResultView.of(each) for each in scanned]
        return cls(results=results, admitted=admitted, conflicts=len(results) - admitted)


class GateKeyView(View):
    """A key whose tokens are accepted."""

    id: str = Field(examples=["8f3c11d0"], description="The first 4 bytes of the public key's SHA-256, in hex.")
    algorithm: Literal["Ed25519"] = "Ed25519"
    public_key: str = Field(description="32 bytes in base64url, unpadded.")
    signs: bool = Field(description="New tokens and lists are signed with this one.")

    @classmethod
    def of(cls, key: PublicKey) -> GateKeyView:
        return cls(id=key.id, public_key=unpadded(key.key), signs=key.signs)


class GateKeysView(View):
    """All keys whose tokens are accepted, the signing one first."""

    keys: list[GateKeyView]


class ListedTicketView(View):
    """A ticket as an offline gate needs it: nothing about its buyer."""

    serial: str
    status: TicketStatus
    valid_from: Instant
    valid_until: Instant | None
    code_sha256: str | None = Field(description="Of the supplier's code, in hex; null for our own tickets.")


class OfflineListView(View):
    """What is signed: tickets that changed after `since`, oldest change first. Later entries replace earlier ones."""

    product_id: str
    starts_at: Instant | None
    made_at: Instant
    since: str | None
    next_since: str | None = Field(description="Ask again with it for what changes afterwards.")
    complete: bool = Field(description="False: ask again with `next_since` at once, there is more.")
    keys: list[GateKeyView]
    tickets: list[ListedTicketView]


class ListSignatureView(View):
    """Ed25519 over `tessera/offline-list/1`, a line feed, and the canonical JSON of the list."""

    key_id: str
    algorithm: Literal["Ed25519"] = "Ed25519"
    value: str = Field(description="64 bytes in base64url, unpadded.")


class SignedListView(View):
    """The list and its detached signature. Canonical: keys sorted, no spaces, UTF-8, nothing escaped needlessly."""

    list: OfflineListView
    signature: ListSignatureView


def unpadded(raw: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
