"""What tests of simulators need around them: somebody who is called back, and a process to kill."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parents[2]
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cw=="


@dataclass(frozen=True)
class Controlled:
    """One simulated party of a test's own, by its control API."""

    client: httpx2.AsyncClient
    url: str
    name: str

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.client.request(method, f"{self.url}/control/{self.name}{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def force(self, operation: str, kind: str) -> None:
        """The next such call meets the fault."""
        await self.control("POST", "/next", {"operation": operation, "kind": kind})

    async def faults(self, **settings: Any) -> None:
        await self.control("PUT", "/faults", settings)

    async def hits(self) -> dict[str, int]:
        hits: dict[str, int] = (await self.control("GET", "/hits"))["hits"]
        return hits

    async def book(self, query: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.control("GET", f"/book{query}"))["bookings"]
        return found

    async def confirmed_in_book(self, reference: str) -> int:
        return sum(each["status"] == "CONFIRMED" for each in await self.book(f"?reference={reference}"))

    @asynccontextmanager
    async def calling_back(self, failures: int = 0, word: bytes = b"") -> AsyncIterator[Receiver]:
        """A receiver for this party's callbacks, which refuses the first `failures` of them."""
        async with receiving(failures, word) as receiver:
            await self.control("PUT", "/callbacks", {"url": receiver.url, "secret": SECRET})
            yield receiver


@dataclass
class Receiver:
    """Takes callbacks on a free port; refuses the first `failures` of them. `word` is what it answers the others."""

    failures: int = 0
    word: bytes = b""
    taken: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        is_refused = self.failures > 0
        self.failures -= is_refused
        if not is_refused:
            self.taken.append((body, headers))
        status, word = (503, b"") if is_refused else (200, self.word)
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (status, len(word)) + word)
        await writer.drain()
        writer.close()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.taken) < count:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def receiving(failures: int = 0, word: bytes = b"") -> AsyncIterator[Receiver]:
    receiver = Receiver(failures, word)
    server = await asyncio.start_server(receiver.answer, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/callbacks"
    async with server:
        yield receiver


@contextmanager
def a_process(module: str, data_dir: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A simulator as a process of its own, killed at the end."""
    command = [sys.executable, "-m", module, "--port", str(port), "--data", str(data_dir)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def up(client: httpx2.AsyncClient, url: str) -> None:
    """Wait until the simulator answers."""
    async with asyncio.timeout(20):
        while True:
            try:
                if (await client.get(f"{url}/health")).is_success:
                    return
            except httpx2.ConnectError:
                await asyncio.sleep(0.05)
