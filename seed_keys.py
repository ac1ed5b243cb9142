"""The keys of the sample accounts: made once, kept in a file of its owner alone, and in the database as HMACs.

Beside them the passwords of the sample shoppers, of which the database has hashes.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from api.keys import hmac_of, mint
from domain.access import PrincipalKind
from settings import Settings
from storage import accounts
from storage.accounts import ApiKeyRow
from storage.database import Database

VALID_FOR = timedelta(days=3650)

Keys = dict[str, dict[str, str]]


async def ensure_keys(
    database: Database, settings: Settings, operators: Sequence[str], distributors: Sequence[str]
) -> Path:
    """The file `keys.json`: `{"operators": {id: token}, "distributors": {id: token}, …}`. Every token in it works.

    The file is written before the database, so that a crash between the two loses no key: the next run enters it.
    """
    path = settings.data_dir / "keys.json"
    pepper = settings.pepper.get_secret_value()
    keys = await asyncio.to_thread(_load, path)
    for group, owners in (("operators", operators), ("distributors", distributors)):
        for owner in owners:
            keys[group].setdefault(owner, mint(pepper).token)
    await asyncio.to_thread(_save, path, keys)
    for group, kind in (("operators", PrincipalKind.OPERATOR), ("distributors", PrincipalKind.DISTRIBUTOR)):
        for owner, token in keys[group].items():
            await _enter(database, kind, owner, token, pepper)
    return path


async def ensure_passwords(settings: Settings, emails: Iterable[str]) -> dict[str, str]:
    """A password for each of these shoppers, by e-mail, as the file's `shoppers` has it."""
    path = settings.data_dir / "keys.json"
    keys = await asyncio.to_thread(_load, path)
    for email in emails:
        keys["shoppers"].setdefault(email, secrets.token_urlsafe(12))
    await asyncio.to_thread(_save, path, keys)
    return keys["shoppers"]


async def _enter(database: Database, kind: PrincipalKind, owner: str, token: str, pepper: str) -> None:
    """The token's row, if there is none. A key that was revoked stays revoked."""
    _, _, key_id, secret = token.split("_", 3)
    now = datetime.now(UTC)
    row = ApiKeyRow(
        id=key_id,
        principal_kind=kind,
        principal_id=owner,
        secret_hmac=hmac_of(secret, pepper),
        created_at=now,
        expires_at=now + VALID_FOR,
    )
    async with database.transaction() as cx:
        if await accounts.find_key(cx, key_id) is None:
            await accounts.add_key(cx, row, now)


def _load(path: Path) -> Keys:
    found: Keys = json.loads(path.read_text()) if path.exists() else {}
    return {group: found.get(group, {}) for group in ("operators", "distributors", "shoppers")}


def _save(path: Path, keys: Keys) -> None:
    """Replaces the file in one step; it is never there with other rights than its owner's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(keys, file, indent=2)
    fresh.replace(path)
