"""Operating-system processes: who one is (never its id alone: ids are reused) and how it is ended."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

START_TOLERANCE_S = 2.0
"""A process's start time is derived from the boot time, which moves when the clock is set."""


@dataclass(frozen=True)
class ProcessIdentity:
    """A process as it was when we knew it: id, start (Unix seconds) and command line."""

    pid: int
    started_s: float
    argv: tuple[str, ...]

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """None when there is no such process (any more)."""
        try:
            process = psutil.Process(pid)
            return cls(pid, process.create_time(), tuple(process.cmdline()))
        except psutil.Error:
            return None

    def find(self) -> psutil.Process | None:
        """The same process if it still runs; a stranger with its id is not it."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_s) <= START_TOLERANCE_S
            if not same or process.status() == psutil.STATUS_ZOMBIE:
                return None
            return process if not self.argv or tuple(process.cmdline()) == self.argv else None
        except psutil.Error:
            return None


@dataclass(frozen=True)
class RunAs:
    """Numbers of a system user and his group, for a child that must not be root."""

    user: int
    group: int

    @classmethod
    def named(cls, name: str) -> RunAs:
        """KeyError when there is no such user."""
        entry = pwd.getpwnam(name)
        return cls(entry.pw_uid, entry.pw_gid)


def spawn(
    argv: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, run_as: RunAs | None = None
) -> subprocess.Popen[bytes]:
    """Starts a child that leads its own session (Ctrl-C is ours to handle) and appends its output to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as output:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            user=run_as.user if run_as else None,
            group=run_as.group if run_as else None,
            extra_groups=[] if run_as else None,
            cwd="/" if run_as else None,
            start_new_session=True,
        )


def send(pid: int, signal_number: int) -> None:
    """Signals one process; one that is already gone is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal_number)


def kill_group(pid: int) -> None:
    """SIGKILL to the process and what it started: our parts lead a process group of their own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
            return
    send(pid, signal.SIGKILL)


def stop(process: psutil.Process, signal_number: int, timeout_s: float) -> bool:
    """Asks, waits, then kills. Returns whether asking was enough. Blocks up to `timeout_s` plus a moment."""
    send(process.pid, signal.SIGCONT)
    send(process.pid, signal_number)
    if _gone(process, timeout_s):
        return True
    kill_group(process.pid)
    _gone(process, 5)
    return False


def _gone(process: psutil.Process, timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.Error:
            return True
        time.sleep(0.05)  # another's child can't be waited for, only looked at
    return False
