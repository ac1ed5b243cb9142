"""What came of each kind of goods is counted as buyers see it, and compared with pools and carriers' books."""

from __future__ import annotations

from typing import Any

from demo.campaigns import CouponCount
from demo.kinds import Kinds, compare_parcels
from demo.rest import is_at_rest

FAMILIES: dict[str, Any] = {"bag": "goods", "guide": "codes", "pass": "tickets"}


def a_unit(**given: Any) -> dict[str, Any]:
    events = [{"event": name} for name in given.pop("events", ("issued", "shipped", "delivered"))]
    usual = {"unit": 0, "state": "delivered", "code": "SW1", "code_format": "WAYBILL", "reference": "P1", "version": 1}
    return {**usual, "breach": None, "events": events, **given}


def a_line(sku_id: str = "bag", *units: dict[str, Any], status: str = "issued", off_minor: int = 0) -> dict[str, Any]:
    kind = {"bag": "physical", "guide": "virtual"}.get(sku_id, "ticket")
    discounts = [{"promotion_id": "prm", "explanation": "because"}] if off_minor else []
    return {
        "line_no": 1, "sku_id": sku_id, "kind": kind, "status": status, "units": list(units),
        "discount": {"amount_minor": off_minor}, "discounts": discounts,
    }  # fmt: skip


def an_order(*lines: dict[str, Any], status: str = "issued") -> dict[str, Any]:
    return {"order_no": "7", "status": status, "lines": list(lines)}


def a_code(code: str) -> dict[str, Any]:
    return a_unit(code=code, code_format="CODE", state="issued", events=("issued",))


def a_book(status: str = "CONFIRMED", waybill: str = "SW1", *events: str) -> dict[str, Any]:
    happened = events or ("accepted", "picked_up", "delivered")
    return {"P1": {"status": status, "waybill": waybill, "events": [{"event": each} for each in happened]}}


def counted(*orders: dict[str, Any]) -> Kinds:
    kinds = Kinds(FAMILIES)
    for order in orders:
        kinds.order(order, "prm")
    return kinds


def test_lines_are_counted_by_kind_and_end() -> None:
    kinds = counted(an_order(a_line("bag", a_unit()), a_line("pass", status="refunded")))
    kinds.refused({"lines": [{"sku_id": "guide"}, {"sku_id": "guide"}], "coupon_codes": ["X"]}, "promotion_exhausted")
    told = kinds.report()
    assert told["lines"]["goods"] == {"lines": 1, "refused": 0, "issued": 1, "refunded": 0, "canceled": 0}
    assert told["lines"]["tickets"]["refunded"] == 1
    assert told["lines"]["codes"]["refused"] == 2
    assert told["promotions"]["coupon_refused"] == 1


def test_parcels_are_counted_with_what_happened_to_them() -> None:
    lost = a_unit(unit=1, state="void", breach={"what": "not_delivered"}, events=("shipped", "lost"))
    kinds = counted(an_order(a_line("bag", a_unit(version=2), lost)))
    told = {name: count for name, count in kinds.report()["parcels"].items() if count}
    assert told == {"sent": 2, "delivered": 1, "written off": 1, "lost": 1, "waybill corrected": 1, "lines split": 1}


def test_what_was_never_handed_to_a_carrier_is_no_parcel() -> None:
    kinds = counted(an_order(a_line("bag", a_unit(state="void"), status="refunded"), status="refunded"))
    assert set(kinds.report()["parcels"].values()) == {0}


def test_a_code_that_two_buyers_are_shown_fails_the_run() -> None:
    kinds = counted(an_order(a_line("guide", a_code("A"))), an_order(a_line("guide", a_code("A"), a_code("B"))))
    assert kinds.failures == ["codes handed out twice: 1"]
    assert counted(an_order(a_line("guide", a_code("A"), a_code("B")))).failures == []


def test_pools_and_buyers_agree_on_how_many_codes_have_left() -> None:
    kinds = counted(an_order(a_line("guide", a_code("A"), a_code("B"))))
    assert list(kinds.compare_pools({"guide": 2})) == []
    assert list(kinds.compare_pools({"guide": 3})) == ["3 codes of guide have left the pool, buyers were shown 2"]


def test_discounts_of_orders_that_stand_are_added_up() -> None:
    given = an_order(a_line("bag", a_unit(), off_minor=500))
    kinds = counted(given, an_order(a_line("bag", status="canceled", off_minor=900), status="canceled"))
    assert (kinds.discounted, kinds.discount_minor, kinds.coupon_orders) == (1, 500, 1)


def test_more_uses_of_a_coupon_than_it_has_fail_the_run() -> None:
    kinds = counted(*[an_order(a_line("bag", a_unit(), off_minor=500))] * 3)
    kinds.coupon = CouponCount(most_uses=3, taken=3)
    assert kinds.failures == []
    kinds.coupon = CouponCount(most_uses=2, taken=2)
    assert len(kinds.failures) == 2
    kinds.coupon = CouponCount(most_uses=5, taken=4)
    assert kinds.failures == ["4 uses of the coupon are taken, and 3 orders have one"]


def test_each_parcel_is_at_its_carrier_as_it_is_here() -> None:
    orders = [an_order(a_line("bag", a_unit()))]
    assert list(compare_parcels(orders, a_book())) == []
    for book in ({}, a_book("CANCELLED"), a_book("CONFIRMED", "SW2"), a_book("CONFIRMED", "SW1", "accepted")):
        assert len(list(compare_parcels(orders, book))) == 1


def test_a_parcel_that_is_written_off_was_lost_by_its_carrier() -> None:
    lost = a_unit(state="void", breach={"what": "not_delivered"}, events=("lost",))
    orders = [an_order(a_line("bag", lost, status="refunded"), status="refunded")]
    assert list(compare_parcels(orders, a_book("CONFIRMED", "SW1", "accepted", "lost"))) == []
    (told,) = compare_parcels(orders, a_book())
    assert "never lost" in told


def test_an_order_is_at_rest_when_its_parcels_are() -> None:
    assert is_at_rest(an_order(a_line("bag", a_unit()), a_line("guide", a_code("A"))))
    assert not is_at_rest(an_order(a_line("bag", a_unit(state="shipped"))))
    assert not is_at_rest(an_order(a_line("bag", a_unit(state="lost"))))
    assert not is_at_rest(an_order(a_line("pass", status="issuing"), status="issuing"))
