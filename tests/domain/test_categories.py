"""The registry of kinds, and what each of ours admits, does and promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from domain.categories import CATEGORIES, KindMissing, LineTerms, OrderedLine, Registry
from domain.categories.category import EVERY_TERMS, UNKNOWN_KIND, Category, Preview
from domain.categories.physical import MAX_WEIGHT_G, Physical
from domain.categories.ticket import Ticket
from domain.categories.virtual import Virtual
from domain.operations import ISSUED, Call, HandOut, Operation, Reserve, StepsUnfit, effect_of, issuing
from domain.placing import AccountRequired, AddressRequired, CategoryNotSold, ParcelTooHeavy
from tests.outside.parking import Parking

NOW = datetime(2026, 11, 24, tzinfo=UTC)
OWN, OFFERED, POOL, NOBODYS = (
    LineTerms("hold", False), LineTerms("none", True), LineTerms("codes", False), LineTerms("none", False),
)  # fmt: skip
LINE = OrderedLine("sku", 1, OWN)


class Endless(Parking):
    """An author's mistake."""

    name = "endless"

    def steps(self, terms: LineTerms) -> tuple[Operation, ...]:
        return (Reserve(), HandOut("gate"))


@pytest.mark.parametrize(
    ("category", "terms", "effect"),
    [
        (Ticket(), OFFERED, Call()),
        (Ticket(), LineTerms("hold", True), Call()),
        (Ticket(), OWN, HandOut("gate")),
        (Ticket(), NOBODYS, Call()),
        (Virtual(), POOL, HandOut("pool")),
        (Virtual(), OFFERED, Call()),
        (Physical(), OWN, Call(apart=True)),
    ],
)
def test_terms_decide_how_a_line_is_obtained(category: Category, terms: LineTerms, effect: Operation) -> None:
    assert effect_of(category.steps(terms)) == effect


@pytest.mark.parametrize("kind", ["ticket", "physical", "virtual"])
def test_every_kind_has_steps_and_a_preview_on_all_terms(kind: str) -> None:
    for terms in EVERY_TERMS:
        assert issuing(CATEGORIES.of(kind).steps(terms))[-1] == ISSUED
        preview = CATEGORIES.preview(kind, terms)
        assert all((preview.what, preview.how, preview.when))
        assert preview != UNKNOWN_KIND


def test_goods_need_an_address_and_a_weight_that_a_parcel_may_have() -> None:
    with pytest.raises(AddressRequired):
        Physical().validate(LINE, NOW)
    addressed = replace(LINE, ship_to={"country": "CN"}, weight_g=MAX_WEIGHT_G)
    Physical().validate(addressed, NOW)
    with pytest.raises(ParcelTooHeavy):
        Physical().validate(replace(addressed, weight_g=MAX_WEIGHT_G + 1), NOW)


def test_a_top_up_needs_an_account_and_a_code_none() -> None:
    Virtual().validate(replace(LINE, terms=POOL), NOW)
    Virtual().validate(replace(LINE, terms=OFFERED, account="8613800000000"), NOW)
    with pytest.raises(AccountRequired):
        Virtual().validate(replace(LINE, terms=OFFERED), NOW)


def test_kinds_of_other_packages_are_loaded_by_their_places_and_again_without_harm() -> None:
    registry = Registry([Ticket()])
    for _ in range(2):
        registry.load(["tests.outside.parking:Parking", "tests.outside.flowers:Flowers"])
    assert registry.names() == ["flowers", "parking", "ticket"]
    assert registry.gated() == ["parking", "ticket"]
    assert registry.lasting() == ["parking"]
    assert registry.preview("parking", OWN) == Preview(
        "a parking place", "opens the barrier by its code", "once confirmed"
    )


def test_a_kind_that_nobody_has_registered_is_not_sold() -> None:
    registry = Registry([Ticket()])
    with pytest.raises(CategoryNotSold):
        registry.of("parking")
    assert registry.preview("parking", OWN) == UNKNOWN_KIND


def test_two_kinds_of_one_name_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="'ticket' is registered already"):
        Registry([Ticket(), Ticket()])


def test_a_kind_that_could_not_be_fulfilled_is_refused_by_name_with_a_sentence() -> None:
    registry = Registry([])
    with pytest.raises(StepsUnfit, match=r"kind 'endless', stock policy 'hold': exactly one step has to be ISSUED"):
        registry.register(Endless())
    assert registry.names() == []


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("tests.outside.parking", "has no ''"),
        ("tests.outside.parking:Garage", "has no 'Garage'"),
        ("tests.outside.nowhere:Parking", "No module named"),
        (":Parking", "Empty module name"),
    ],
)
def test_a_place_where_no_kind_is_says_so(place: str, why: str) -> None:
    with pytest.raises(KindMissing) as refusal:
        Registry([]).load([place])
    assert why in str(refusal.value)
    assert "`package.module:Class`" in str(refusal.value)
