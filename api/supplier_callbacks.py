"""Suppliers' callbacks: verified on the raw bytes, written to the inbox, acknowledged, then handed over."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request
from starlette.responses import Response

from adapters.suppliers import CallbackUnreadable
from adapters.suppliers.callbacks import CallbackRefused, verified_body
from adapters.suppliers.registry import PROTOCOLS
from api.callback_handover import hand_over
from api.deps import capability, parts_of, public
from api.errors import problems
from domain.access import Unauthenticated
from storage import supplier_callbacks, supplier_calls

router = capability("supplier_callbacks", "Suppliers' callbacks")


@router.post(
    "/v1/callbacks/suppliers/{supplier_id}",
    status_code=204,
    response_class=Response,
    dependencies=[public()],
    responses=problems(401, 413, 415),
    summary="Tell us what became of a booking",
)
async def receive_callback(
    supplier_id: Annotated[str, Path(max_length=64, examples=["northgate"])], request: Request
) -> Response:
    """For suppliers: a booking, or what happened to it, as their protocol writes it.

    Signed by Standard Webhooks with the secret of the contract.
    Acknowledged once it is written down; what it says is handed to the order right after, and again until that worked.
    """
    parts, body = parts_of(request), await request.body()
    async with parts.database.reading() as connection:
        contract = await supplier_calls.read_contract(connection, supplier_id) if supplier_id.isprintable() else None
    if contract is None:
        raise Unauthenticated
    try:
        document = verified_body(contract["callback_secret"], body, request.headers)
        reference = PROTOCOLS[contract["protocol"]].read_callback(contract, document, ()).reference
    except (CallbackRefused, CallbackUnreadable) as refused:
        raise Unauthenticated from refused
    message_id = request.headers["webhook-id"][:255]
    async with parts.database.transaction() as connection:
        new = await supplier_callbacks.keep(
            connection, supplier_id, message_id, reference=reference, body=document, now=parts.clock()
        )
    if new:
        await hand_over(parts, supplier_id, message_id, document)
    return Response(status_code=204)
