"""Gates with a line to us: a ticket is redeemed exactly once, and whoever comes second is told when and where."""

from __future__ import annotations

from typing import Annotated

from fastapi import Request
from starlette.responses import Response

from api.deps import capability, parts_of, public, require
from api.errors import problems
from api.gate_scanning import Scan, digest_of, scan_ticket
from api.gate_views import AdmittedView, GateKeysView, GateKeyView, RedemptionInput
from api.idempotency import Answer, KeeperDep
from domain.access import Action, Principal

router = capability("gate", "Gate")

_CODES = [
    "ticket_unknown", "ticket_forged", "ticket_redeemed", "ticket_void", "ticket_not_valid_now", "ticket_ambiguous",
]  # fmt: skip


@router.post(
    "/v1/gate/redemptions",
    response_model=AdmittedView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=_CODES),
    summary="Redeem a ticket",
)
async def redeem_ticket(
    body: RedemptionInput,
    request: Request,
    caller: Annotated[Principal, require(Action.GATE_REDEEM)],
    keeper: KeeperDep,
) -> Response:
    """200 lets the bearer in; everything else does not.

    Send a fresh `Idempotency-Key` per scan and repeat it when no answer came: the repeat is answered as the first.
    """
    parts = parts_of(request)
    key = f"{caller.ref}/{keeper.key}/{digest_of(body.code)}"
    scan = Scan(key, body.code, body.gate_id, parts.clock(), body.product_id)

    async def redeem() -> Answer:
        scanned = await scan_ticket(parts, caller, scan)
        if refusal := scanned.refusal:
            raise refusal
        assert scanned.ticket is not None
        return Answer(200, AdmittedView.of(scanned.ticket))

    return await keeper.elsewhere(caller, redeem)


@router.get(
    "/v1/gate/keys",
    response_model=GateKeysView,
    dependencies=[public()],
    responses=problems(),
    summary="List the keys of tickets",
)
async def list_keys(request: Request) -> GateKeysView:
    """The public keys that tokens and offline lists are verified with. They are no secret."""
    return GateKeysView(keys=[GateKeyView.of(key) for key in parts_of(request).ticket_keys.public_keys])
