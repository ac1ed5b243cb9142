"""The control API of the top-up simulator: how operators are made, and what their book's entries look like."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from simulators.common.control import Control, Json, Unfit, entry_view, read
from simulators.topup.book import Recharge
from simulators.topup.counter import Counter
from simulators.topup.houses import HOUSES, Operators, OperatorSettings, opened


class OperatorBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    like: str | None = None
    title: str | None = Field(None, max_length=200)
    token: str | None = Field(None, min_length=1, max_length=200)
    deduplicates: bool | None = None
    out_of_stock: list[Annotated[str, Field(max_length=64)]] | None = Field(None, max_length=100)


class OperatorControl(Control[OperatorSettings]):
    def __init__(self, operators: Operators, counter: Counter) -> None:
        super().__init__(operators, counter.book)
        self._counter = counter

    async def changed_party(self, request: Request, name: str, known: OperatorSettings | None) -> OperatorSettings:
        body = await read(request, OperatorBody)
        if body.like is not None and body.like not in HOUSES:
            raise Unfit(f"there is no house {body.like!r} to be like")
        if known is None or (body.like is not None and body.like != known.like):
            known = opened(name, body.like or "mobilink")
        return known.model_copy(update=body.model_dump(exclude={"like"}, exclude_none=True))

    def entries(
        self, party: OperatorSettings, reference: str | None, order_no: str | None, after: int, limit: int
    ) -> list[Json]:
        return [_entry(each) for each in self._counter.listed(party.name, reference, order_no, after, limit)]

    def erase(self, party: OperatorSettings) -> None:
        self._counter.book.erase(party.name)


def _entry(recharge: Recharge) -> Json:
    """One recharge as the outside world saw it."""
    return entry_view(recharge) | {
        "product": recharge.product, "phone": recharge.phone, "order_id": recharge.order_id,
        "unit_references": recharge.unit_references(),
        "vouchers": [recharge.voucher(unit) for unit in range(recharge.quantity)],
    }  # fmt: skip
