"""Which process carries a line out: a category names a way of fulfilment, and each way has one process here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from activities.order_messages import LinePlan
from domain.categories import CATEGORIES, Fulfilment
from workflows.issuance import LineIssuance

WAYS: Mapping[Fulfilment, type[LineIssuance]] = {Fulfilment.AT_SUPPLIER: LineIssuance}


def process_of(order_no: int, plan: LinePlan, tell: Callable[[], None]) -> LineIssuance:
    """The process of one line, by its category. Raises CategoryNotSold for a kind that nobody registered."""
    return WAYS[CATEGORIES.of(plan.kind).fulfilment](order_no, plan, tell)
