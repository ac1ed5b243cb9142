"""What came of each kind of goods, as buyers see it, against what the outside world and the pools of codes say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from demo.campaigns import CouponCount
from demo.rest import parcels_of
from demo.wishes import Family

ENDS = ("refused", "issued", "refunded", "canceled")
"""What becomes of a line."""

Book = Mapping[str, Mapping[str, Any]]
"""Bookings of all parties by their id there."""


PARCEL_FIGURES = ("sent", "delivered", "written off", "lost", "found", "waybill corrected", "lines split")
"""What a run tells of its parcels, zeros included."""


@dataclass
class Kinds:
    """Lines by kind and end; parcels; codes; discounts. `families`: the kind of each variant; amounts in fen."""

    families: Mapping[str, Family]
    lines: dict[str, Counter[str]] = field(default_factory=dict)
    parcels: Counter[str] = field(default_factory=Counter)
    codes: Counter[tuple[str, str]] = field(default_factory=Counter)
    discounted: int = 0
    discount_minor: int = 0
    coupon_orders: int = 0
    coupon_refused: int = 0
    coupon: CouponCount | None = None

    def refused(self, body: Mapping[str, Any], code: str) -> None:
        """An order that was refused as a whole, as it was asked for."""
        for line in body["lines"]:
            self._count(line["sku_id"], "refused")
        self.coupon_refused += bool(body.get("coupon_codes")) and code == "promotion_exhausted"

    def order(self, order: Mapping[str, Any], coupon_promotion: str | None = None) -> None:
        """An order at rest."""
        for line in order["lines"]:
            self._count(line["sku_id"], "refused" if line["status"] == "rejected" else line["status"])
            if line["status"] == "issued":
                self.codes.update(
                    (line["sku_id"], unit["code"]) for unit in line["units"] if unit["code_format"] == "CODE"
                )
        self._count_parcels(order)
        stands = order["status"] not in ("rejected", "canceled")
        if stands and (off_minor := sum(line["discount"]["amount_minor"] for line in order["lines"])):
            self.discounted += 1
            self.discount_minor += off_minor
        self.coupon_orders += stands and coupon_promotion in promotions_of(order)

    @property
    def codes_twice(self) -> int:
        """Codes that more than one buyer, or one buyer more than once, was shown."""
        return sum(times - 1 for times in self.codes.values())

    @property
    def failures(self) -> list[str]:
        told = [f"codes handed out twice: {self.codes_twice}"] if self.codes_twice else []
        if self.coupon is not None:
            limit, taken = self.coupon.most_uses, self.coupon.taken
            if max(taken, self.coupon_orders) > limit:
                told.append(f"the coupon has {limit} uses: {taken} are taken, {self.coupon_orders} orders have one")
            if taken != self.coupon_orders:
                told.append(f"{taken} uses of the coupon are taken, and {self.coupon_orders} orders have one")
        return told

    def report(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "lines": {
                family: {"lines": ends.total(), **{end: ends[end] for end in ENDS}}
                for family, ends in sorted(self.lines.items())
            },
            "parcels": {name: self.parcels[name] for name in PARCEL_FIGURES},
            "codes": {"handed_out": self.codes.total(), "twice": self.codes_twice},
            "promotions": {
                "orders_with_discount": self.discounted,
                "discount_minor": self.discount_minor,
                "coupon_uses": self.coupon.taken if self.coupon else 0,
                "coupon_limit": self.coupon.most_uses if self.coupon else 0,
                "coupon_refused": self.coupon_refused,
            },
        }

    def compare_pools(self, gone: Mapping[str, int]) -> Iterator[str]:
        """`gone`: codes that left each pool in the run and are with buyers. What is not so, in sentences."""
        seen = Counter(sku_id for sku_id, _ in self.codes)
        for sku_id, count in gone.items():
            if seen[sku_id] != count:
                yield f"{count} codes of {sku_id} have left the pool, buyers were shown {seen[sku_id]}"

    def _count(self, sku_id: str, end: str) -> None:
        self.lines.setdefault(self.families.get(sku_id, "tickets"), Counter())[end] += 1

    def _count_parcels(self, order: Mapping[str, Any]) -> None:
        for line, unit in parcels_of(order):
            if line["status"] != "issued" and unit["breach"] is None:
                continue
            self.parcels["sent"] += 1
            self.parcels["written off" if unit["breach"] else "delivered"] += 1
            happened = {event["event"] for event in unit["events"]}
            self.parcels["lost"] += "lost" in happened
            self.parcels["found"] += "found" in happened
            self.parcels["waybill corrected"] += unit["version"] > 1
        self.parcels["lines split"] += sum(
            line["kind"] == "physical" and line["status"] == "issued" and len(line["units"]) > 1
            for line in order["lines"]
        )


def promotions_of(order: Mapping[str, Any]) -> set[str]:
    """Ids of all promotions that take something off the order."""
    return {discount["promotion_id"] for line in order["lines"] for discount in line["discounts"]}


def compare_parcels(orders: Iterable[Mapping[str, Any]], book: Book) -> Iterator[str]:
    """Each parcel at its carrier's book: accepted there, under the waybill shown here, and arrived if it has here."""
    for order in orders:
        for line, unit in parcels_of(order):
            if line["status"] != "issued" and unit["breach"] is None:
                continue
            where = f"parcel {unit['unit']} of {order['order_no']}/{line['line_no']}"
            entry = book.get(unit["reference"])
            if entry is None or entry["status"] != "CONFIRMED":
                yield f"{where}: the carrier has no parcel {unit['reference']}"
                continue
            happened = {event["event"] for event in entry["events"]}
            if unit["breach"] is None and (unit["code"], True) != (entry["waybill"], "delivered" in happened):
                yield f"{where}: {unit['code']} delivered here, {entry['waybill']} {sorted(happened)} at the carrier"
            if unit["breach"] is not None and "lost" not in happened:
                yield f"{where}: written off here, never lost at the carrier"
