"""Passwords' hashes: Argon2id through a maintained library, never on the event loop, and few at once.

Each costs 64 MiB and tens of milliseconds, on purpose: a flood of logins waits, and then is told to come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from domain.errors import DomainError

AT_ONCE = 4
PATIENCE_S = 5.0


class TooManyLogins(DomainError):
    """More passwords at once than this process compares, for longer than a caller should wait."""

    code = "overloaded"

    def __init__(self) -> None:
        super().__init__("Too many people are logging in at this moment: try again after `Retry-After` seconds.")


class Hasher:
    """Makes and compares hashes, each in a thread of its own."""

    def __init__(self) -> None:
        self._hashes = PasswordHash((Argon2Hasher(),))
        self._decoy: str | None = None

    async def hash(self, password: str) -> str:
        """What is stored instead of the password."""
        return await asyncio.to_thread(self._hashes.hash, password)

    async def matches(self, password: str, stored: str | None) -> tuple[bool, str | None]:
        """Whether it is the password behind `stored`, and a newer hash where that one is old-fashioned.

        None is compared too, with nobody's password: the time an answer takes tells nothing about who exists.
        """
        if self._decoy is None:
            self._decoy = await self.hash("nobody has this password")
        right, newer = await asyncio.to_thread(self._hashes.verify_and_update, password, stored or self._decoy)
        return right and stored is not None, newer


class Passwords:
    """Gives turns at the hasher, `at_once` at the same time."""

    def __init__(self, hasher: Hasher | None = None, *, at_once: int = AT_ONCE, patience_s: float = PATIENCE_S) -> None:
        self._hasher = hasher or Hasher()
        self._places = asyncio.Semaphore(at_once)
        self._patience_s = patience_s

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Hasher]:
        """Raises TooManyLogins after `patience_s` in the queue, with nothing begun: what is to be counted is counted in
        the turn."""
        try:
            async with asyncio.timeout(self._patience_s):
                await self._places.acquire()
        except TimeoutError:
            raise TooManyLogins from None
        try:
            yield self._hasher
        finally:
            self._places.release()
