"""Tokens: verified with a public key alone, and refused when anything about them is not ours."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from adapters.gate.tokens import PREFIX, Signature, TicketClaim, TicketKeys, is_token
from domain.gate import TicketForged, TicketRef, Window

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
REF = TicketRef(1039000000000000001, 2, 7)
CLAIM = TicketClaim(REF, Window(NOON, NOON + timedelta(hours=5)))
KEYS = TicketKeys.read("one secret")
TOKEN = KEYS.token_of(CLAIM)

seconds = st.integers(1, 10**10).map(lambda each: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=each))
claims = st.builds(
    TicketClaim,
    st.builds(TicketRef, st.integers(0, 2**63 - 1), st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1)),
    st.builds(Window, seconds, st.none() | seconds),
)


@given(claims)
def test_a_token_says_what_was_signed(claim: TicketClaim) -> None:
    assert KEYS.claim_of(KEYS.token_of(claim)) == claim


@given(st.integers(0, len(TOKEN) - 1), st.characters(codec="utf-8"))
def test_any_change_of_any_character_is_refused(place: int, character: str) -> None:
    if TOKEN[place] == character:
        return
    with pytest.raises(TicketForged):
        KEYS.claim_of(TOKEN[:place] + character + TOKEN[place + 1 :])


@given(st.text() | st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567").map(lambda text: PREFIX + text))
def test_what_nobody_signed_is_refused(text: str) -> None:
    with pytest.raises(TicketForged):
        KEYS.claim_of(text)


@pytest.mark.parametrize("broken", [TOKEN[:-1], TOKEN + "A", TOKEN + "=", TOKEN.lower(), TOKEN + "\n", " " + TOKEN])
def test_another_spelling_of_a_token_is_no_token(broken: str) -> None:
    with pytest.raises(TicketForged):
        KEYS.claim_of(broken)


def test_a_token_of_another_environment_is_refused_also_under_our_key_id() -> None:
    elsewhere = TicketKeys.read("another secret").token_of(CLAIM)
    with pytest.raises(TicketForged):
        KEYS.claim_of(elsewhere)
    ours, theirs = raw(TOKEN), raw(elsewhere)
    with pytest.raises(TicketForged):
        KEYS.claim_of(PREFIX + base64.b32encode(ours[:4] + theirs[4:]).decode().rstrip("="))


def test_after_a_rotation_old_tokens_are_accepted_until_their_key_is_dropped() -> None:
    rotated = TicketKeys.read("new secret, one secret")
    assert rotated.claim_of(TOKEN) == CLAIM
    assert rotated.token_of(CLAIM) != TOKEN
    with pytest.raises(TicketForged):
        KEYS.claim_of(rotated.token_of(CLAIM))  # a process that has not learnt of the new key yet
    with pytest.raises(TicketForged):
        TicketKeys.read("new secret").claim_of(TOKEN)


def test_a_key_whose_secret_is_gone_is_named_by_its_public_half() -> None:
    (old,) = KEYS.public_keys
    public = base64.urlsafe_b64encode(old.key).decode().rstrip("=")
    rotated = TicketKeys.read(f"new secret,public:{public}")
    assert rotated.claim_of(TOKEN) == CLAIM
    assert [(key.id == old.id, key.signs) for key in rotated.public_keys] == [(False, True), (True, False)]


@pytest.mark.parametrize("setting", ["", " , ", "public:AAAA", "new secret,public:not-a-key"])
def test_a_setting_without_a_signing_key_or_with_a_broken_one_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="key") as refused:
        TicketKeys.read(setting)
    assert "new secret" not in str(refused.value)


def test_a_gate_needs_the_public_key_and_the_written_layout_alone() -> None:
    """As docs/gate.md tells those who build gates, without a line of our code."""
    (key,) = KEYS.public_keys
    signed = raw(TOKEN)
    assert signed[:4].hex() == key.id
    Ed25519PublicKey.from_public_bytes(key.key).verify(signed[-64:], b"tessera/ticket/1\n" + signed[:-64])
    assert [int.from_bytes(part, "big") for part in (signed[4:12], signed[12:14], signed[14:16])] == [
        REF.order_no, REF.line_no, REF.unit,
    ]  # fmt: skip
    assert int.from_bytes(signed[16:21], "big") == NOON.timestamp()
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(key.key).verify(signed[-64:], signed[:-64])


def test_a_signature_of_a_list_holds_for_that_list_and_for_no_ticket() -> None:
    signature = KEYS.sign(b"{}")
    assert KEYS.verifies(b"{}", signature)
    assert not KEYS.verifies(b"{ }", signature)
    assert not KEYS.verifies(b"{}", Signature("00000000", signature.value))
    payload = raw(TOKEN)[:-64]
    forged = payload + KEYS.sign(payload).value
    with pytest.raises(TicketForged):
        KEYS.claim_of(PREFIX + base64.b32encode(forged).decode().rstrip("="))


def test_tokens_are_told_from_suppliers_codes_by_how_they_begin() -> None:
    assert is_token(TOKEN)
    assert is_token(TOKEN.lower())
    assert not is_token("NG-4711")


def raw(token: str) -> bytes:
    text = token.removeprefix(PREFIX)
    return base64.b32decode(text + "=" * (-len(text) % 8))
