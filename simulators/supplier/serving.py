"""The simulator in a thread of the calling process, over real HTTP on a free port: for tests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from simulators.supplier.app import create_app

STOP_TIMEOUT_S = 10.0


@contextmanager
def serving(data_dir: Path, host: str = "127.0.0.1") -> Iterator[str]:
    """Yields the base URL; the server answers from the first moment, since its socket listens before."""
    listener = socket.create_server((host, 0), backlog=1_024)
    config = uvicorn.Config(
        create_app(data_dir),
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(STOP_TIMEOUT_S)
        listener.close()
