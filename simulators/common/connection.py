"""Cutting a connection without an answer, which ASGI has no word for."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_CUT = "simulators.cut"


class Severable:
    """Lets the innermost handler cut the client's connection: must be the outermost app, next to the server.

    uvicorn gives no way to close a connection unanswered, but its `send` is a method of the object that holds the
    transport. Anything sent afterwards is swallowed; a server without such an object raises instead, loudly.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_cut = False

        async def cut() -> None:
            nonlocal is_cut
            is_cut = True
            transport: Any = getattr(send, "__self__").transport  # noqa: B009  (a function has no such attribute)
            transport.abort()
            await _disconnected(receive)

        async def send_unless_cut(message: Message) -> None:
            if not is_cut:
                await send(message)

        scope[_CUT] = cut
        await self._app(scope, receive, send_unless_cut)


async def cut(request: Request) -> None:
    """Close the connection of this request now; whatever is returned after reaches nobody."""
    await request.scope[_CUT]()


async def wait_for_hangup(request: Request, longest_s: float) -> None:
    """Say nothing until the client gives up, or the time is over."""
    try:
        async with asyncio.timeout(longest_s):
            await _disconnected(request.receive)
    except TimeoutError:
        return


async def _disconnected(receive: Receive) -> None:
    # Bounded: a server that never reports the disconnect must not spin us for ever.
    for _ in range(1_000):
        if (await receive())["type"] == "http.disconnect":
            return
