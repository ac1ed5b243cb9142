"""The payment simulator in a thread of the calling process, over real HTTP on a free port: for tests."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from simulators.common.serving import serving_app
from simulators.payment.app import create_app


def serving(data_dir: Path, host: str = "127.0.0.1") -> AbstractContextManager[str]:
    """A context that yields the base URL."""
    return serving_app(create_app(data_dir), host)
