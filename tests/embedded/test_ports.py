"""Ports: stable when they can be, free when they can't."""

from __future__ import annotations

import socket
from pathlib import Path

from embedded.ports import LOCALHOST, PortBook, any_free_port


def test_a_port_is_the_same_after_a_restart(tmp_path: Path) -> None:
    usual = any_free_port()
    first = PortBook(tmp_path / "ports.json").claim("api", usual)
    assert PortBook(tmp_path / "ports.json").claim("api", usual + 7) == first == usual


def test_a_taken_port_is_replaced_by_a_free_one(tmp_path: Path) -> None:
    with socket.create_server((LOCALHOST, 0)) as taken:
        usual = taken.getsockname()[1]
        claimed = PortBook(tmp_path / "ports.json").claim("api", usual)
    assert claimed != usual


def test_two_parts_never_get_the_same_port(tmp_path: Path) -> None:
    book = PortBook(tmp_path / "ports.json")
    usual = any_free_port()
    assert book.claim("api-1", usual) != book.claim("api-2", usual)
