"""The links at the end lead to orders that show something, and only to those that there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from demo.examples import examples, paid_examples
from demo.pay_stories import Story
from settings import Settings

SETTINGS = Settings(api_url="http://api", temporal_ui_url="http://ui")
DATA = Path("/data")


def a_line(kind: str = "ticket", *, negotiated: bool = False, discounts: tuple[str, ...] = ()) -> dict[str, Any]:
    units = [{"events": [{"event": "shipped"}, {"event": "delivered"}]}] if kind == "physical" else []
    return {
        "line_no": 2, "kind": kind, "status": "issued", "units": units,
        "discounts": [{"explanation": each} for each in discounts],
        "bookings": [{"negotiating_since": "2026-01-01T00:00:00Z" if negotiated else None}],
    }  # fmt: skip


def an_order(number: int, *lines: dict[str, Any]) -> dict[str, Any]:
    return {"order_no": f"{number:019d}", "lines": list(lines)}


def test_each_link_is_of_the_order_that_shows_it() -> None:
    orders = [
        an_order(1, a_line("virtual")),
        an_order(2, a_line(negotiated=True)),
        an_order(3, a_line("physical", discounts=("a tenth off",))),
        an_order(4, a_line("virtual", discounts=("one", "two", "two"))),
    ]
    found = examples(orders, SETTINGS, DATA)
    assert found["An order that was negotiated"].endswith("workflows/order%2F0000000000000000002")
    assert found["The way of a parcel (shipped, delivered)"].endswith("delivery%2F0000000000000000003%2F2")
    assert f"/v1/orders/{4:019d}\n    one\n    two" in found["An order with discounts"]
    assert f"/v1/orders/{2:019d}/tickets.pdf" in found["Tickets as PDF"]


def test_what_did_not_happen_has_no_link() -> None:
    assert list(examples([an_order(1, a_line("virtual"))], SETTINGS, DATA)) == ["An order that was negotiated"]
    assert examples([], SETTINGS, DATA) == {}


def test_each_story_of_a_payment_is_shown_once_and_none_that_went_wrong() -> None:
    stories = [
        Story("paid at paybridge", "pay-1", "1"),
        Story("paid at paybridge", "pay-2", "2"),
        Story("paid twice", "pay-3", "3", refund_id="rfd-1"),
        Story("a wrong amount", "pay-4", "4", trouble="it stayed"),
    ]
    found = paid_examples(stories, SETTINGS, DATA)
    assert list(found) == [
        "paid at paybridge",
        "paid twice",
        "A refund at its channel",
        "The cashier's page of a payment",
    ]
    assert "workflows/payment%2Fpay-1\n" in found["paid at paybridge"]
    assert found["A refund at its channel"].endswith("workflows/refund%2Frfd-1")
    assert paid_examples([], SETTINGS, DATA) == {}
