"""Small files that must never be seen half written: secrets, ports, the state of the stack."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

PRIVATE = 0o600


def write_atomically(path: Path, text: str) -> None:
    """Replaces the file in one step, readable by its owner only (0600)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(draft, "w", opener=lambda name, flags: os.open(name, flags, PRIVATE)) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


@contextlib.contextmanager
def exclusive_lock(path: Path) -> Iterator[bool]:
    """Yields whether we got the lock. The kernel frees it when we die, however we die; children don't inherit it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def last_lines(path: Path, limit: int = 15) -> str:
    """The end of a log for an error message; empty when there is none."""
    if not path.exists():
        return ""
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 16_384))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-limit:])
