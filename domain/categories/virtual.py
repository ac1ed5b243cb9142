"""Virtual goods: a code from the variant's pool, or an amount topped up by an outside supplier on the account named."""

from __future__ import annotations

from datetime import datetime

from domain.categories.category import LineTerms, OrderedLine, Preview
from domain.operations import ISSUED, Call, HandOut, Operation, Reserve
from domain.placing import AccountRequired

POOL = "codes"
"""The stock policy of a variant whose stock is its pool of codes."""


class Virtual:
    """A top-up needs the account; a code needs nothing but a code that is left."""

    name = "virtual"
    gated = False
    carried = False

    def validate(self, line: OrderedLine, now: datetime) -> None:
        """Raises AccountRequired."""
        if line.terms.stock_policy != POOL and not line.account:
            raise AccountRequired(line.sku_id)

    def steps(self, terms: LineTerms) -> tuple[Operation, ...]:
        """The pool where there is one, else the supplier."""
        return (Reserve(), HandOut("pool") if terms.stock_policy == POOL else Call(), ISSUED)

    def preview(self, terms: LineTerms) -> Preview:
        if terms.stock_policy == POOL:
            return Preview("a code per unit", "handed out from our pool", "once confirmed")
        return Preview("the amount on the account named", "topped up by the supplier", "within minutes")
