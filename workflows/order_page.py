"""An order's page in the Temporal UI: what an operator reads there, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from domain.orders import OrderStatus
from workflows.fulfilments import LineFulfilment

_MEANING = {
    OrderStatus.PENDING: "being checked and held",
    OrderStatus.LOCKED: "everything is held; waiting for the buyer to confirm",
    OrderStatus.ISSUING: "paid on account; being issued by its suppliers",
    OrderStatus.ISSUED: "issued",
    OrderStatus.REFUNDED: "not issued; the money went back",
    OrderStatus.CANCELED: "canceled before it was confirmed",
    OrderStatus.REJECTED: "refused; nothing was taken",
}


def render_page(
    order_no: int,
    status: OrderStatus,
    lines: Sequence[LineFulfilment],
    expires_at: datetime | None,
    *,
    undoing: bool,
) -> str:
    """The page: what the order's state means, its lines, and what a person has to do, if anything."""
    page = [f"**Order {order_no:019d}** is `{status}`: {_MEANING.get(status, 'see the order')}."]
    if status is OrderStatus.LOCKED and expires_at is not None:
        page.append(f"The hold ends at {expires_at:%Y-%m-%d %H:%M:%S} UTC.")
    if undoing:
        page.append("Giving back what suppliers hold for it.")
    if lines:
        page.append("\n".join(map(_row, lines)))
    waiting = [line for line in lines if line.awaits_decision]
    if waiting:
        numbers = ", ".join(str(line.line_no) for line in waiting)
        page.append(
            f"**An operator has to decide** line {numbers}: ask the supplier by phone, then decide `issued` or "
            "`give_up` in the exceptions queue. The supplier is still being asked meanwhile."
        )
    return "\n\n".join(page)


def _row(line: LineFulfilment) -> str:
    row = f"- Line {line.line_no}: `{line.status}`"
    if line.supplier_id:
        row += f", supplier `{line.supplier_id}`"
    if line.negotiating_since is not None:
        since = f"{line.negotiating_since:%Y-%m-%d %H:%M:%S}"
        row += f"; its answer is not known since {since} UTC, asked {line.asked} times"
    return row
