"""What buyers want is drawn from the seed alone, of every kind, and complete."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from demo.wishes import FAMILIES, Article, Family, Shelf, draw_wishes, family_of

ORDERS = 2_000
SCARCE = Article("sku-scarce", "The last places", 30_000, "CNY", ("tonight",))


def an_article(family: Family, number: int = 0, most_in_one_place: int = 0) -> Article:
    return Article(
        f"sku-{family}-{number}", family, 9_000, "CNY", (), family, f"prd-{family}", most_in_one_place=most_in_one_place
    )


def a_shelf(coupon_code: str | None = "FIRST") -> Shelf:
    articles = [an_article(family, number) for family in FAMILIES for number in range(3) if family != "goods"]
    return Shelf([*articles, an_article("goods", most_in_one_place=36), SCARCE], SCARCE, coupon_code)


def lines_of(family: Family) -> list[dict[str, Any]]:
    wishes = draw_wishes(1, "run", ORDERS, a_shelf())
    return [line for wish in wishes for line in wish.body["lines"] if f"sku-{family}-" in line["sku_id"]]


def test_the_same_seed_wants_the_same_and_another_something_else() -> None:
    assert draw_wishes(3, "run", 50, a_shelf()) == draw_wishes(3, "run", 50, a_shelf())
    assert draw_wishes(3, "run", 50, a_shelf()) != draw_wishes(4, "run", 50, a_shelf())
    assert draw_wishes(3, "run", 20, a_shelf()) == draw_wishes(3, "run", 50, a_shelf())[:20]


def test_lines_are_of_each_kind_in_their_shares() -> None:
    lines: Counter[str] = Counter()
    for wish in draw_wishes(1, "run", ORDERS, a_shelf()):
        if wish.manner != "sold_out":
            lines.update(line["sku_id"].split("-")[1] for line in wish.body["lines"])
    for family, share in FAMILIES.items():
        assert lines[family] / lines.total() == pytest.approx(share, abs=0.02)


def test_one_order_mixes_kinds() -> None:
    mixed = [
        wish
        for wish in draw_wishes(1, "run", 200, a_shelf())
        if len({line["sku_id"].split("-")[1] for line in wish.body["lines"]}) > 1
    ]
    assert mixed


def test_whoever_wants_goods_says_where_they_go_and_nobody_else_does() -> None:
    for wish in draw_wishes(1, "run", ORDERS, a_shelf()):
        wants_goods = any("goods" in line["sku_id"] for line in wish.body["lines"])
        assert ("ship_to" in wish.body) == wants_goods


def test_a_top_up_names_a_phone_and_nothing_else_does() -> None:
    assert all(len(line["account"]) == 11 for line in lines_of("packs"))
    assert not any("account" in line for line in lines_of("goods") + lines_of("tickets") + lines_of("codes"))


def test_some_want_more_than_one_warehouse_has_but_never_more_than_two() -> None:
    quantities = [line["quantity"] for line in lines_of("goods")]
    large = [quantity for quantity in quantities if quantity > 36]
    assert 0.05 < len(large) / len(quantities) < 0.2
    assert max(large) <= 40


def test_without_a_coupon_nobody_sends_one() -> None:
    assert any("coupon_codes" in wish.body for wish in draw_wishes(1, "run", 100, a_shelf()))
    assert not any("coupon_codes" in wish.body for wish in draw_wishes(1, "run", 100, a_shelf(None)))


def test_what_is_not_on_the_shelf_is_replaced_by_tickets() -> None:
    shelf = Shelf([an_article("tickets"), SCARCE], SCARCE)
    wanted = {line["sku_id"] for wish in draw_wishes(1, "run", 200, shelf) for line in wish.body["lines"]}
    assert wanted == {"sku-tickets-0", SCARCE.sku_id}


@pytest.mark.parametrize(
    ("kind", "policy", "path", "family"),
    [
        ("physical", "hold", ["1003002"], "goods"),
        ("virtual", "codes", ["1005003"], "codes"),
        ("virtual", "hold", ["1005002"], "packs"),
        ("ticket", "hold", ["1001001", "1001"], "own tickets"),
        ("ticket", "hold", ["tickets"], "tickets"),
        ("ticket", "none", ["tickets"], "tickets"),
    ],
)
def test_a_product_tells_its_kind(kind: str, policy: str, path: list[str], family: Family) -> None:
    assert family_of({"kind": kind, "category_path": path}, {"stock_policy": policy}) == family
