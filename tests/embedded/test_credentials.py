"""Secrets of the embedded stack: made once, kept, and made for those that came later."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from embedded.credentials import Credentials


def test_secrets_are_made_once_and_are_all_different(tmp_path: Path) -> None:
    made = Credentials.load_or_create(tmp_path / "secrets.json")
    assert Credentials.load_or_create(tmp_path / "secrets.json") == made
    assert len(set(asdict(made).values())) == len(asdict(made))


def test_an_installation_from_before_tickets_were_signed_gets_a_key_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    before = asdict(Credentials.load_or_create(path))
    path.write_text(json.dumps({name: secret for name, secret in before.items() if name != "ticket_keys"}))
    after = asdict(Credentials.load_or_create(path))
    assert {name for name in after if after[name] != before[name]} == {"ticket_keys"}
    assert json.loads(path.read_text()) == after
