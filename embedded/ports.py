"""Ports: the usual one when it is free, else a free one, and the same one again after a restart."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from embedded.files import write_atomically

LOCALHOST = "127.0.0.1"
NEIGHBOURS = 50
"""How many ports above the usual one are tried before the operating system chooses."""


def is_free(port: int, host: str = LOCALHOST) -> bool:
    """Whether a server could listen there now. SO_REUSEADDR as servers set it: TIME_WAIT is no obstacle."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def any_free_port(host: str = LOCALHOST) -> int:
    """A port that the operating system calls free. Someone may take it before its server listens: retry then."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


class PortBook:
    """Remembers in one file which part listens where, so that bookmarks and configured callbacks stay true."""

    def __init__(self, path: Path, *, prefer_usual: bool = True) -> None:
        self._path = path
        self._prefer_usual = prefer_usual
        self._ports: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        self._claimed: set[int] = set()

    def claim(self, part: str, usual: int) -> int:
        """The port of `part`: the remembered one, else the usual one, else one near it, else any that is free."""
        remembered = self._ports.get(part)
        near = range(usual, usual + NEIGHBOURS) if self._prefer_usual else ()
        candidates = [*([] if remembered is None else [remembered]), *near]
        others = {port for name, port in self._ports.items() if name != part}
        for port in candidates:
            if port not in self._claimed | (others - {usual}) and is_free(port):
                return self._remember(part, port)
        return self._remember(part, any_free_port())

    def _remember(self, part: str, port: int) -> int:
        self._claimed.add(port)
        if self._ports.get(part) != port:
            self._ports[part] = port
            write_atomically(self._path, json.dumps(self._ports, indent=1, sort_keys=True))
        return port
