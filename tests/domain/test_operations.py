"""Which lists of operations are a kind that can be carried out, and what the author of another one is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.operations import (
    COMPLETED,
    ISSUED,
    MAX_STEPS,
    Call,
    HandOut,
    Notify,
    Operation,
    Record,
    Reserve,
    Schedule,
    StepsUnfit,
    WaitForCallback,
    checked,
    delivering,
    effect_of,
    issuing,
)

DELIVERED = WaitForCallback("delivered", poll_s=3600, deadline_s=86_400)
PARCEL: tuple[Operation, ...] = (Reserve(), Record("packed"), Call(apart=True), ISSUED, DELIVERED, COMPLETED)


def test_steps_that_can_be_carried_out_are_given_back_as_they_are() -> None:
    assert checked(PARCEL, carried=True) == PARCEL
    assert checked([Call(), ISSUED]) == (Call(), ISSUED)
    assert checked((HandOut("gate"), ISSUED), gated=True) == (HandOut("gate"), ISSUED)
    assert checked((Call(), ISSUED), gated=True), "tickets of a supplier are read by gates, too"


def test_steps_are_divided_at_the_pivot() -> None:
    assert issuing(PARCEL) == (Record("packed"), Call(apart=True), ISSUED)
    assert delivering(PARCEL) == (DELIVERED, COMPLETED)
    assert (effect_of(PARCEL), delivering((Call(), ISSUED))) == (Call(apart=True), ())


UNFIT: list[tuple[str, tuple[Operation, ...]]] = [
    ("exactly one step has to be ISSUED", (Reserve(), Call())),
    ("exactly one step has to be ISSUED", (Call(), ISSUED, ISSUED)),
    ("exactly one step has to be ISSUED", ()),
    ("right before ISSUED", (Reserve(), ISSUED)),
    ("right before ISSUED", (Call(), Record("packed"), ISSUED)),
    ("right before ISSUED", (HandOut("pool"), Call(), ISSUED)),
    ("Reserve may only be the first step", (Record("packed"), Reserve(), Call(), ISSUED)),
    ("Reserve may only be the first step", (Call(), ISSUED, Reserve(), COMPLETED)),
    ("WaitForCallback follows ISSUED", (DELIVERED, Call(), ISSUED)),
    ("Schedule(at_start) follows ISSUED", (Schedule(at_start=True), Call(), ISSUED)),
    ("nothing is obtained after ISSUED", (Call(), ISSUED, HandOut("pool"), COMPLETED)),
    ("last step of all", (COMPLETED, Call(), ISSUED)),
    ("ends with the only Record('completed')", (Call(), ISSUED, Notify("tour.begun"))),
    ("ends with the only Record('completed')", (Call(), ISSUED, COMPLETED, Notify("tour.begun"))),
    ("ends with the only Record('completed')", (Call(), ISSUED, COMPLETED, COMPLETED)),
    ("both are above 0", (Call(), ISSUED, WaitForCallback("delivered", 0, 1), COMPLETED)),
    ("both are above 0", (Call(), ISSUED, WaitForCallback("delivered", 1, -1), COMPLETED)),
    ("0 or more", (Schedule(after_s=-1), Call(), ISSUED)),
    ("noun.past_tense", (Call(), ISSUED, Notify("Begun!"), COMPLETED)),
    ("one small word", (Record("two words"), Call(), ISSUED)),
    ("none that moves a unit otherwise", (Call(), ISSUED, Record("delivered"), COMPLETED)),
    (f"at most {MAX_STEPS} steps", (*[Record("checked")] * MAX_STEPS, Call(), ISSUED)),
]


@pytest.mark.parametrize(("sentence", "steps"), UNFIT)
def test_what_cannot_be_carried_out_is_refused_with_a_sentence(sentence: str, steps: tuple[Operation, ...]) -> None:
    with pytest.raises(StepsUnfit) as refusal:
        checked(steps, carried=True)
    assert sentence in str(refusal.value)


OF_ANOTHER_KIND: list[tuple[str, tuple[Operation, ...], dict[str, bool]]] = [
    ("nobody else would tell", PARCEL, {"carried": False}),
    ("nobody else would tell", (HandOut("pool"), ISSUED, DELIVERED, COMPLETED), {"carried": True}),
    ("delivery never ends", (Call(), ISSUED), {"carried": True}),
    ("delivery never ends", (Call(), ISSUED, WaitForCallback("shipped", 1, 1), COMPLETED), {"carried": True}),
    ("HandOut('gate') is of a kind that is gated", (HandOut("gate"), ISSUED), {"gated": False}),
    ("HandOut('gate') is of a kind that is gated", (HandOut("pool"), ISSUED), {"gated": True}),
]


@pytest.mark.parametrize(("sentence", "steps", "traits"), OF_ANOTHER_KIND)
def test_steps_have_to_fit_what_the_kind_says_of_itself(
    sentence: str, steps: tuple[Operation, ...], traits: dict[str, bool]
) -> None:
    with pytest.raises(StepsUnfit) as refusal:
        checked(steps, **traits)
    assert sentence in str(refusal.value)


ANY_STEP = st.sampled_from(
    [
        Reserve(), Call(), Call(apart=True), HandOut("pool"), HandOut("gate"), ISSUED, COMPLETED, DELIVERED,
        Schedule(after_s=5), Schedule(at_start=True), Notify("tour.begun"), Record("packed"),
    ]
)  # fmt: skip


@given(st.lists(ANY_STEP, max_size=8), st.booleans(), st.booleans())
def test_whatever_is_accepted_issues_once_and_ends(steps: list[Operation], gated: bool, carried: bool) -> None:
    try:
        checked(steps, gated=gated, carried=carried)
    except StepsUnfit:
        return
    first, then = issuing(steps), delivering(steps)
    assert first[-2:] == (effect_of(steps), ISSUED)
    assert not any(isinstance(step, Call | HandOut | Reserve) for step in then)
    assert then.count(COMPLETED) == bool(then)
    assert any(isinstance(step, WaitForCallback) for step in then) is carried
