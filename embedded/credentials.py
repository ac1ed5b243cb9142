"""Passwords and secrets of the embedded stack: made at its first start, kept in `secrets.json` (0600)."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from embedded.files import write_atomically


@dataclass(frozen=True)
class Credentials:
    """Random, URL-safe, never logged. A field added later is generated for existing installations too."""

    postgres_superuser: str
    postgres_owner: str
    postgres_worker: str
    postgres_api: str
    pepper: str
    cursor_secret: str
    ticket_keys: str

    @classmethod
    def load_or_create(cls, path: Path) -> Credentials:
        """Reads the file; whatever is missing in it is generated and written."""
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        names = [field.name for field in fields(cls)]
        credentials = cls(**{name: known.get(name) or secrets.token_urlsafe(24) for name in names})
        if asdict(credentials) != known:
            write_atomically(path, json.dumps(asdict(credentials), indent=1))
        return credentials
