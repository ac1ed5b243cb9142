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


class Passwords:
    """Hashes and compares, `at_once` at the same time. Raises TooManyLogins after `patience_s` in the queue."""

    def __init__(self, at_once: int = AT_ONCE, patience_s: float = PATIENCE_S) -> None:
        self._hashes = PasswordHash((Argon2Hasher(),))
        self._places = asyncio.Semaphore(at_once)
        self._patience_s = patience_s
        self._decoy: str | None = None

    async def hash(self, password: str) -> str:
        """What is stored instead of the password."""
        async with self._a_place():
            return await asyncio.to_thread(self._hashes.hash, password)

    async def matches(self, password: str, stored: str | None) -> tuple[bool, str | None]:
        """Whether it is the password behind `stored`, and a newer hash where that one is old-fashioned.

        None is compared too, with nobody's password: the time an answer takes tells nothing about who exists.
        """
        compared = stored or await self._decoy_hash()
        async with self._a_place():
            right, newer = await asyncio.to_thread(self._hashes.verify_and_update, password, compared)
        return right and stored is not None, newer

    async def _decoy_hash(self) -> str:
        if self._decoy is None:
            self._decoy = await self.hash("nobody has this password")
        return self._decoy

    @asynccontextmanager
    async def _a_place(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._places.acquire()
        except TimeoutError:
            raise TooManyLogins from None
        try:
            yield
        finally:
            self._places.release()
