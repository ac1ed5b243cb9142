"""Tickets: admission to an event or a session, issued by the supplier that owns the seats, or by us from our quota."""

from __future__ import annotations

from datetime import datetime

from domain.categories.category import LineTerms, OrderedLine, Preview
from domain.operations import ISSUED, Call, HandOut, Operation, Reserve
from domain.placing import BuyerLimitExceeded, BuyerRefRequired, EventPast, SessionUnknown, VisitorsRequired


class Ticket:
    """Event in the future, session chosen where there are several, limit per buyer, visitors named where required."""

    name = "ticket"
    gated = True
    carried = False

    def validate(self, line: OrderedLine, now: datetime) -> None:
        """Raises SessionUnknown, EventPast, VisitorsRequired, BuyerRefRequired or BuyerLimitExceeded."""
        if line.session_required and not line.session_known:
            raise SessionUnknown(line.sku_id, line.availability_id)
        if line.starts_at is not None and line.starts_at <= now:
            raise EventPast(line.sku_id, line.starts_at)
        if line.visitors_required and line.visitors != line.quantity:
            raise VisitorsRequired(line.sku_id, line.quantity)
        if line.buyer_limit and not line.buyer_known:
            raise BuyerRefRequired(line.sku_id, line.buyer_limit)
        if line.buyer_limit and line.bought + line.quantity > line.buyer_limit:
            raise BuyerLimitExceeded(line.sku_id, line.buyer_limit, line.bought)

    def steps(self, terms: LineTerms) -> tuple[Operation, ...]:
        """At the supplier; where nobody outside sells it, our own gate's ticket, which needs a quota of ours."""
        own = not terms.offered and terms.stock_policy != "none"
        return (Reserve(), HandOut("gate") if own else Call(), ISSUED)

    def preview(self, terms: LineTerms) -> Preview:
        how = "issued by the supplier" if terms.offered else "issued by us"
        return Preview("an entrance ticket per unit, with a code for the gate", how, "once confirmed")
