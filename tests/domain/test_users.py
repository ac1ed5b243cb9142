"""Which passwords shoppers may have, and that an e-mail has one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.users import COMMON_PASSWORDS, MIN_PASSWORD, PasswordWeak, judge_password, same_email

EMAIL = "Li.Lei@Buyer.Example"


@pytest.mark.parametrize("password", sorted(COMMON_PASSWORDS))
def test_what_is_tried_first_is_no_password(password: str) -> None:
    for spelled in (password, password.upper(), f" {password} "):
        with pytest.raises(PasswordWeak):
            judge_password(spelled, EMAIL)


@pytest.mark.parametrize("password", ["li.lei@buyer.example", "LI.LEI@buyer.example", "li.lei", "aaaaaaaaaaaa"])
def test_neither_ones_own_e_mail_nor_one_letter_is_a_password(password: str) -> None:
    with pytest.raises(PasswordWeak):
        judge_password(password, EMAIL)


def test_the_list_has_only_what_the_shape_would_let_through() -> None:
    assert {entry for entry in COMMON_PASSWORDS if len(entry) < MIN_PASSWORD or entry != entry.lower()} == set()


def test_anything_long_and_odd_is_a_password() -> None:
    judge_password("correct-horse-battery", EMAIL)


@given(st.emails())
def test_an_e_mail_has_one_spelling(email: str) -> None:
    assert same_email(email) == same_email(email.upper().lower()) == same_email(same_email(email))
