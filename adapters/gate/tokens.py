"""A ticket's token: what the QR code of our own tickets holds, and what a gate verifies with a public key alone.

`TSR1.` and then, in base 32 (RFC 4648, upper case, no padding, so that a QR code stores it densely): 4 bytes of key id,
8 of order number, 2 of line, 2 of unit, 5 and 5 of the window's ends in seconds since 1970 (0: it does not end), 64 of
signature over everything before it. No personal data. docs/gate.md has the layout for those who build gates.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from domain.gate import TicketForged, TicketRef, Window

PREFIX = "TSR1."
RETIRED = "public:"
"""In the setting, before the public key of a key that no longer signs."""

_KEY_ID_BYTES, _SIGNATURE_BYTES, _SECOND_BYTES = 4, 64, 5
_PLACE = struct.Struct(">QHH")
_PAYLOAD_BYTES = _KEY_ID_BYTES + _PLACE.size + 2 * _SECOND_BYTES
_TICKET, _DOCUMENT = b"tessera/ticket/1\n", b"tessera/offline-list/1\n"
"""What a signature is for stands in front of what is signed: one of a list is never one of a ticket."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND = int((datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH).total_seconds())


@dataclass(frozen=True, slots=True)
class TicketClaim:
    """What a token says: which ticket, and when it opens the gate."""

    ticket: TicketRef
    window: Window


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that gates accept. `signs`: it is the one that new tokens are signed with."""

    id: str
    key: bytes
    signs: bool


@dataclass(frozen=True, slots=True)
class Signature:
    """A detached signature, and which key made it."""

    key_id: str
    value: bytes


class TicketKeys:
    """The keys of one installation: one signs, all verify."""

    def __init__(self, signing: Ed25519PrivateKey, retired: Iterable[Ed25519PublicKey] = ()) -> None:
        self._signing = signing
        self._signing_id = _id_of(signing.public_key())
        self._accepted: Mapping[bytes, Ed25519PublicKey] = {
            _id_of(key): key for key in (*retired, signing.public_key())
        }

    @classmethod
    def read(cls, setting: str) -> TicketKeys:
        """From the setting: secrets separated by commas. The first signs; those behind it are accepted, too.

        A key is derived from its secret, so that any long random text is one. `public:` and a public key in base64url
        stands for a key whose secret is gone. Raises ValueError, without the secret, for a setting that has no key.
        """
        entries = [entry.strip() for entry in setting.split(",") if entry.strip()]
        if not entries or entries[0].startswith(RETIRED):
            raise ValueError("the ticket keys have to begin with a secret, which signs")
        retired = [
            _public(entry.removeprefix(RETIRED)) if entry.startswith(RETIRED) else _private(entry).public_key()
            for entry in entries[1:]
        ]
        return cls(_private(entries[0]), retired)

    @property
    def public_keys(self) -> list[PublicKey]:
        """All that are accepted, the signing one first."""
        keys = [
            PublicKey(key_id.hex(), key.public_bytes_raw(), key_id == self._signing_id)
            for key_id, key in self._accepted.items()
        ]
        return sorted(keys, key=lambda key: (not key.signs, key.id))

    def token_of(self, claim: TicketClaim) -> str:
        """The ticket's token. The same claim has the same token: Ed25519 draws no random numbers."""
        place = _PLACE.pack(claim.ticket.order_no, claim.ticket.line_no, claim.ticket.unit)
        window = _seconds(claim.window.opens_at) + _seconds(claim.window.closes_at)
        payload = self._signing_id + place + window
        raw = payload + self._signing.sign(_TICKET + payload)
        return PREFIX + base64.b32encode(raw).decode().rstrip("=")

    def claim_of(self, token: str) -> TicketClaim:
        """What a token of ours says. Raises TicketForged for everything else, whatever is wrong with it."""
        raw = _decoded(token)
        payload, signature = raw[:_PAYLOAD_BYTES], raw[_PAYLOAD_BYTES:]
        key = self._accepted.get(payload[:_KEY_ID_BYTES])
        if key is None:
            raise TicketForged
        try:
            key.verify(signature, _TICKET + payload)
        except InvalidSignature:
            raise TicketForged from None
        opens = _KEY_ID_BYTES + _PLACE.size
        opens_at, closes_at = _moment(payload[opens : opens + _SECOND_BYTES]), _moment(payload[opens + _SECOND_BYTES :])
        if opens_at is None:
            raise TicketForged
        return TicketClaim(TicketRef(*_PLACE.unpack_from(payload, _KEY_ID_BYTES)), Window(opens_at, closes_at))

    def sign(self, document: bytes) -> Signature:
        """A signature over an offline list in canonical form."""
        return Signature(self._signing_id.hex(), self._signing.sign(_DOCUMENT + document))

    def verifies(self, document: bytes, signature: Signature) -> bool:
        """Whether one of our keys has signed the list: what a gate asks, with the public keys alone."""
        key = self._accepted.get(bytes.fromhex(signature.key_id))
        if key is None:
            return False
        try:
            key.verify(signature.value, _DOCUMENT + document)
        except InvalidSignature:
            return False
        return True


def is_token(code: str) -> bool:
    """Whether what was scanned claims to be ours; anything else is some supplier's code."""
    return code.upper().startswith(PREFIX)


def _decoded(token: str) -> bytes:
    """The bytes of the one spelling that `token_of` writes."""
    text = token.removeprefix(PREFIX)
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        raise TicketForged from None
    spelled = PREFIX + base64.b32encode(raw).decode().rstrip("=")
    if len(raw) != _PAYLOAD_BYTES + _SIGNATURE_BYTES or spelled != token:
        raise TicketForged
    return raw


def _private(secret: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"tessera/ticket-key\n" + secret.encode()).digest())


def _public(text: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError):
        raise ValueError("a retired ticket key has to be 32 bytes in base64url") from None


def _id_of(key: Ed25519PublicKey) -> bytes:
    return hashlib.sha256(key.public_bytes_raw()).digest()[:_KEY_ID_BYTES]


def _seconds(moment: datetime | None) -> bytes:
    """Whole seconds, rounded down."""
    seconds = 0 if moment is None else int((moment - _EPOCH) // timedelta(seconds=1))
    return seconds.to_bytes(_SECOND_BYTES, "big")


def _moment(raw: bytes) -> datetime | None:
    seconds = int.from_bytes(raw, "big")
    if seconds > _LAST_SECOND:
        raise TicketForged
    return _EPOCH + timedelta(seconds=seconds) if seconds else None
