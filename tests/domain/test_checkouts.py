"""Checkouts' ids and keys, and which channels could take a total."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from domain.checkouts import checkout_id_of, payable_by, placing_key
from domain.money import Money
from domain.payments import ChannelTerms, MethodNotAllowed

OWN_KEY = re.compile(r"[A-Za-z0-9_\-:.]{1,255}", re.ASCII)
"""What a caller may send as its Idempotency-Key (api/idempotency.py)."""

CHANNELS = st.lists(
    st.builds(
        ChannelTerms,
        channel_id=st.text("abc", min_size=1, max_size=5),
        active=st.booleans(),
        currency=st.sampled_from(["CNY", "EUR"]),
        min_minor=st.integers(1, 50),
        max_minor=st.integers(1, 200),
        kinds=st.sampled_from([(), ("ticket",), ("ticket", "virtual")]),
        fee_bp=st.just(0),
    ),
    max_size=6,
    unique_by=lambda terms: terms.channel_id,
)


@given(st.integers(1, 2**63 - 1))
def test_no_caller_can_send_the_key_that_a_checkout_is_placed_by(order_no: int) -> None:
    assert OWN_KEY.fullmatch(placing_key(checkout_id_of(order_no))) is None


@given(st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1))
def test_two_numbers_are_two_checkouts(one: int, other: int) -> None:
    assert (checkout_id_of(one) == checkout_id_of(other)) == (one == other)


@given(CHANNELS, st.integers(1, 200), st.sampled_from([("ticket",), ("virtual",), ("ticket", "virtual")]))
def test_exactly_those_channels_are_offered_that_would_not_refuse(
    channels: list[ChannelTerms], amount_minor: int, kinds: tuple[str, ...]
) -> None:
    amount = Money(amount_minor, "CNY")
    offered = payable_by(channels, amount, kinds)
    for terms in channels:
        try:
            terms.judge(amount, kinds)
        except MethodNotAllowed:
            assert terms.channel_id not in offered
        else:
            assert terms.channel_id in offered
