"""How a dry run of placing is shown: what would be held, bought, taken off and owed. Nothing was done."""

from __future__ import annotations

from pydantic import Field

from activities.order_messages import PlannedOrder
from api.order_views import DiscountView
from api.views import MoneyView, View


class PlannedLineView(View):
    """What one line would hold and buy. Costs and suppliers are ours and not shown."""

    line_no: int
    sku_id: str
    quantity: int
    unit_price: MoneyView
    discounts: list[DiscountView]
    total: MoneyView
    holds_stock: bool
    holds_at_supplier: bool


class PlanView(View):
    """A dry run of placing: nothing was done."""

    status: str = Field(examples=["would_lock"])
    total: MoneyView
    credit_after: MoneyView | None = Field(
        description="What would be free of the credit line; null where the buyer pays."
    )
    lock_s: int
    lines: list[PlannedLineView]

    @classmethod
    def of(cls, plan: PlannedOrder) -> PlanView:
        def money(amount_minor: int) -> MoneyView:
            return MoneyView(amount_minor=amount_minor, currency=plan.currency)

        free = plan.credit_free_minor
        return cls(
            status="would_review" if plan.review else "would_lock",
            total=money(plan.total_minor),
            credit_after=None if free is None else money(free - plan.total_minor),
            lock_s=plan.lock_s,
            lines=lines_of(plan),
        )


def lines_of(plan: PlannedOrder) -> list[PlannedLineView]:
    """The plan's lines, each with what is taken off and why."""

    def money(amount_minor: int) -> MoneyView:
        return MoneyView(amount_minor=amount_minor, currency=plan.currency)

    return [
        PlannedLineView(
            line_no=line.line_no,
            sku_id=line.sku_id,
            quantity=line.quantity,
            unit_price=money(line.unit_price_minor),
            discounts=[
                DiscountView(
                    promotion_id=each.promotion_id,
                    name=each.name,
                    amount=money(each.amount_minor),
                    explanation=each.explanation,
                )
                for each in line.discounts
            ],
            total=money(line.total_minor),
            holds_stock=line.holds_stock,
            holds_at_supplier=line.holds_at_supplier,
        )
        for line in plan.lines
    ]
