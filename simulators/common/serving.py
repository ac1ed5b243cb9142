"""Serving a simulator: as a process of its own, or in a thread of the calling one, for tests."""

from __future__ import annotations

import argparse
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

STOP_TIMEOUT_S = 10.0

# Idle connections outlive those of any client's pool (a race there would look like a fault that nobody ordered);
# proxy headers would only cost time.
_QUIET: dict[str, Any] = {
    "access_log": False,
    "log_level": "warning",
    "proxy_headers": False,
    "timeout_keep_alive": 75,
}


def run(prog: str, description: str | None, port: int, create_app: Callable[[Path], ASGIApp]) -> None:
    """The command line of `python -m …`; `port` is the usual one."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=port)
    parser.add_argument("--data", type=Path, required=True, help="directory of the book")
    args = parser.parse_args()
    # Hanging calls must not hold up a shutdown.
    uvicorn.run(create_app(args.data), host=args.host, port=args.port, timeout_graceful_shutdown=2, **_QUIET)


@contextmanager
def serving_app(app: ASGIApp, host: str) -> Iterator[str]:
    """Yields the base URL; the server answers from the first moment, since its socket listens before."""
    listener = socket.create_server((host, 0), backlog=1_024)
    server = uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=1, **_QUIET))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(STOP_TIMEOUT_S)
        listener.close()
