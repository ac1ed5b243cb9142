"""Shoppers' accounts: which e-mails and passwords they may have, and when logging in is refused.

Source: spec "Accounts". A refused login has one wording, whatever the reason: nobody learns who has an account.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from domain.errors import DomainError

MIN_PASSWORD = 10
MAX_PASSWORD = 200
"""Characters. Length is what makes a password hard to guess; the upper bound is for the hash's sake."""

MAX_FAILED_LOGINS = 5
LOCKED_FOR = timedelta(minutes=10)
"""So many wrong passwords one after another, and nobody gets in for so long."""

COMMON_PASSWORDS = frozenset(
    {
        "1234567890", "0123456789", "0987654321", "9876543210", "12345678910", "123456789a", "a123456789",
        "1234567890a", "123456123456", "1q2w3e4r5t", "1qaz2wsx3edc", "q1w2e3r4t5", "qwertyuiop", "qwerty12345",
        "qwerty123456", "asdfghjkl1", "asdfghjkl;", "zxcvbnm123", "password12", "password123", "password1234",
        "password12345", "passw0rd123", "passwordpassword", "administrator", "changeme123", "iloveyou12",
        "iloveyou123", "letmein1234", "welcome123", "welcome1234", "football123", "baseball123", "princess123",
        "sunshine123", "superman123", "abcdefghij", "abcdefghijk", "abcd123456", "abc1234567", "woaini1314",
        "woaini1314520", "5201314520", "1314520520", "woaini520520", "aa12345678", "qq123456789", "a1b2c3d4e5",
    }
)  # fmt: skip
"""What is tried first, of ten characters and more, in small letters."""


class UserStatus(StrEnum):
    ACTIVE = "active"
    BLOCKED = "blocked"


class PasswordWeak(DomainError):
    """Long enough, and still what somebody would try first."""

    code = "password_weak"

    def __init__(self) -> None:
        super().__init__("This password is among those that are tried first: choose one that nobody else would.")


class EmailTaken(DomainError):
    code = "email_taken"

    def __init__(self) -> None:
        super().__init__("There is an account with this e-mail already: log in, or register with another.")


class LoginRefused(DomainError):
    """Unknown, wrong, blocked or locked: one wording for all."""

    code = "login_refused"

    def __init__(self) -> None:
        super().__init__(
            "No account that may log in now has this e-mail and password: check both. After "
            f"{MAX_FAILED_LOGINS} wrong passwords an account is locked for {LOCKED_FOR.seconds // 60} minutes."
        )


class UserNotFound(DomainError):
    code = "user_not_found"

    def __init__(self, user_id: str) -> None:
        super().__init__(f"There is no shopper {user_id}.")


def same_email(email: str) -> str:
    """The one spelling that an e-mail is kept and looked up by: capital letters make no other account."""
    return email.strip().lower()


def judge_password(password: str, email: str) -> None:
    """Raises PasswordWeak for what is tried first: common ones, the account's own e-mail, one letter again and again.

    Its length is the shape's business.
    """
    small = password.strip().lower()
    if small in COMMON_PASSWORDS or small in (same_email(email), same_email(email).partition("@")[0]):
        raise PasswordWeak
    if len(set(small)) == 1:
        raise PasswordWeak
