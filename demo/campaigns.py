"""The promotions of one run: made over the API by the catalogue's operator before anybody buys, ended after it.

Each is of a stack group of its own, so that they add up on a line; their names carry the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from demo.caller import Caller, Unanswered
from demo.wishes import Article

STEPS = ((50_000, 2_000), (150_000, 8_000), (400_000, 25_000))
"""(From this sum of an order on, this much is taken off), in fen."""
ORDERS_PER_USE = 40
"""The coupon has one use for so many orders: more buyers try than there are uses."""


@dataclass(frozen=True, slots=True)
class CouponCount:
    """Of the run's coupon: how many uses it has, and how many orders have or hold one by the operators' counters."""

    most_uses: int
    taken: int


class Campaigns:
    """`async with Campaigns(...)`: inside the block they run, after it they have ended for good."""

    def __init__(self, caller: Caller, run: str, articles: Sequence[Article], orders: int) -> None:
        self._caller = caller
        self._run = run
        self._articles = articles
        self._most_uses = max(2, orders // ORDERS_PER_USE)
        self._ids: dict[str, str] = {}
        self.coupon_code = run.upper()

    async def __aenter__(self) -> Campaigns:
        goods, guides = self._of("goods"), self._of("codes")
        percent = {"kind": "percent_off", "percent_bp": 1_000}
        await self._open("goods", "A tenth off goods", percent, product_ids=goods)
        steps = [{"from_minor": at, "off_minor": off} for at, off in STEPS]
        await self._open("order", "Less for larger orders", {"kind": "amount_off", "steps": steps})
        await self._open("guides", "Three guides for two", {"kind": "n_for_m", "take": 3, "pay": 2}, product_ids=guides)
        coupon = {"kind": "percent_off", "percent_bp": 500}
        await self._open("coupon", "For the first who come", coupon, needs_coupon=True)
        batch = {"code": self.coupon_code, "most_uses": self._most_uses}
        await self._post(f"/v1/promotions/{self._ids['coupon']}/coupons", batch, "coupons")
        return self

    async def __aexit__(self, *_: object) -> None:
        for name, promotion_id in self._ids.items():
            end = {"event": "end", "reason": f"{self._run} is over"}
            await self._post(f"/v1/promotions/{promotion_id}/transitions", end, f"end-{name}")

    async def coupon(self) -> CouponCount:
        """Its counters now."""
        (row,) = await self._caller.pages(f"/v1/coupons?promotion_id={self.coupon_promotion}")
        return CouponCount(row["most_uses"], row["used"] + row["held"])

    @property
    def coupon_promotion(self) -> str:
        return self._ids["coupon"]

    def _of(self, family: str) -> list[str]:
        return sorted({article.product_id for article in self._articles if article.family == family})

    async def _open(
        self,
        name: str,
        title: str,
        terms: Mapping[str, Any],
        *,
        product_ids: Sequence[str] = (),
        needs_coupon: bool = False,
    ) -> None:
        body = {
            "name": f"{title} ({self._run})", "terms": terms, "currency": "CNY", "needs_coupon": needs_coupon,
            "scope": {"product_ids": list(product_ids)}, "stack_group": f"{self._run}-{name}",
        }  # fmt: skip
        self._ids[name] = (await self._post("/v1/promotions", body, name))["id"]

    async def _post(self, path: str, body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        reply = await self._caller.post(path, body, f"{self._run}-promotions-{name}")
        if not reply.ok:
            raise Unanswered(f"POST {path}: {reply.status} {reply.code}")
        return reply.body
