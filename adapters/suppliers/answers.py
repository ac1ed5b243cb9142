"""What a supplier's word about a booking means as the answer of a change: the same in every protocol."""

from __future__ import annotations

from domain.issuance import Answer, CancelAnswer, Canceled, Confirmed, Pending, QueryAnswer, Rejected, Unknown


def as_answer(judged: QueryAnswer, operation: str) -> Answer:
    """Of what a booking can say, what answers a change; the rest (cancelled, still on hold) contradicts it."""
    if isinstance(judged, Confirmed | Rejected | Pending | Unknown):
        return judged
    return Unknown(f"{operation} answered {type(judged).__name__}")


def as_cancel_answer(judged: QueryAnswer) -> CancelAnswer:
    """Of what a booking can say, what answers its cancelling. One that was rejected before is as good as cancelled."""
    match judged:
        case Canceled() | Rejected():
            return Canceled()
        case Unknown():
            return judged
        case _:
            return Unknown(f"cancel answered {type(judged).__name__}")
