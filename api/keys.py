"""Bearer keys: how one is made, read and checked.

`tsr_live_<public>_<secret>`, and `tsr_user_…` for what a shopper got by logging in: the public part finds the row, the
secret is compared as an HMAC-SHA256 with a pepper that the database does not hold. Secrets have 192 random bits, so a
fast HMAC is enough: nothing can be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog
from prometheus_client import Counter

from domain.access import Principal, Unauthenticated
from storage.accounts import StoredKey, find_key
from storage.database import Connection, Database
from storage.users import find_session

CACHE_S = 2.0
"""How long a key's row is believed without asking again: a revocation reaches every process within this time."""

CACHE_MAX = 10_000

LIVE, USER = "live", "user"
"""The kinds of tokens: a distributor's or an operator's key, and a shopper's session."""

_TOKEN = re.compile(r"tsr_(live|user)_([A-Za-z0-9]{8,40})_([A-Za-z0-9]{24,128})", re.ASCII)
_FIND: Mapping[str, Callable[[Connection, str], Awaitable[StoredKey | None]]] = {LIVE: find_key, USER: find_session}

log = structlog.get_logger(__name__)

REFUSED = Counter(
    "tessera_api_keys_refused", "Requests whose key was refused, by the reason nobody is told.", ["reason"]
)


@dataclass(frozen=True, slots=True)
class MintedKey:
    """A new key. `token` is shown once and kept nowhere."""

    id: str
    token: str
    secret_hmac: bytes


def hmac_of(secret: str, pepper: str) -> bytes:
    """What is stored instead of the secret."""
    return hmac.digest(pepper.encode(), secret.encode(), hashlib.sha256)


def mint(pepper: str, kind: str = LIVE) -> MintedKey:
    """A fresh random key."""
    public, secret = secrets.token_hex(8), secrets.token_hex(24)
    return MintedKey(public, f"tsr_{kind}_{public}_{secret}", hmac_of(secret, pepper))


def session_of(token: str) -> str | None:
    """The public part of a shopper's token; None for what is none."""
    match = _TOKEN.fullmatch(token)
    return match[2] if match is not None and match[1] == USER else None


class Keyring:
    """Turns a bearer token into its principal, asking the database at most once per key and CACHE_S."""

    def __init__(self, database: Database, pepper: str, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._pepper = pepper
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[float, StoredKey]] = {}

    async def principal(self, token: str) -> Principal:
        """Raises Unauthenticated, with one wording for every reason; log and metric tell the reasons apart."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise self._refused("malformed")
        kind, key_id, secret = match.groups()
        given = hmac_of(secret, self._pepper)
        key = await self._stored(kind, key_id)
        if key is None:
            raise self._refused("unknown", key_id)
        if not hmac.compare_digest(given, key.secret_hmac):
            raise self._refused("mismatched", key_id)
        if key.revoked:
            raise self._refused("revoked", key_id)
        if key.expires_at <= self._clock():
            raise self._refused("expired", key_id)
        if not key.active:
            raise self._refused("blocked", key_id)
        return key.principal

    async def _stored(self, kind: str, key_id: str) -> StoredKey | None:
        known = self._known.get((kind, key_id))
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        async with self._database.reading() as connection:
            key = await _FIND[kind](connection, key_id)
        if key is None:
            self._known.pop((kind, key_id), None)
            return None
        if len(self._known) >= CACHE_MAX:
            self._known.clear()
        self._known[kind, key_id] = (time.monotonic() + CACHE_S, key)
        return key

    def forget(self, key_id: str, kind: str = LIVE) -> None:
        """A revocation in this process takes effect here at once."""
        self._known.pop((kind, key_id), None)

    def forget_caller(self, ref: str) -> None:
        """All keys of a caller (`Principal.ref`) who was blocked: here at once, too."""
        self._known = {key: known for key, known in self._known.items() if known[1].principal.ref != ref}

    def _refused(self, reason: str, key_id: str = "") -> Unauthenticated:
        REFUSED.labels(reason).inc()
        log.info("key.refused", reason=reason, key_id=key_id)
        return Unauthenticated()
