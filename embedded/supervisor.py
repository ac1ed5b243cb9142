"""Runs the parts of the stack as child processes: starts, watches, restarts, stops, and writes down what runs where.

The state is in `stack.json`, so that other commands find a running stack and the next start finds what a killed one
left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from embedded import processes
from embedded.files import exclusive_lock, last_lines, write_atomically
from embedded.processes import ProcessIdentity, RunAs

Report = Callable[[str], None]
IsAlive = Callable[[], bool]

POLL_S = 0.2
FIRST_BACKOFF_S = 0.5
BACKOFF_CEILING_S = 15.0
STEADY_S = 30.0
"""A part that ran this long has recovered: its next restart is quick again."""


class StackRunsAlready(RuntimeError):
    """Another process runs a stack on this data directory."""

    def __init__(self, data_dir: Path, pid: int | None) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(f"Tessera already runs on {data_dir} ({who}): use it, stop it, or give --data-dir")


class PartDidNotStart(RuntimeError):
    """A part ended, or wasn't ready within its limit."""

    def __init__(self, part: str, reason: str, log: Path) -> None:
        super().__init__(f"{part} did not start: {reason}. The end of {log}:\n{last_lines(log)}")


def unfailing(report: Report) -> Report:
    """Progress nobody can read (a closed terminal or pipe) is no reason to stop restarting what dies."""

    def tell(line: str) -> None:
        with contextlib.suppress(OSError):
            report(line)

    return tell


async def ready_at_once(_: IsAlive) -> None:
    """For parts that show no sign of readiness."""


def nothing_to_prepare() -> None:
    """For parts that just start."""


@dataclass(frozen=True)
class Part:
    """One child process: how it starts, when it is ready, how it is asked to stop. Times in seconds."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    run_as: RunAs | None = None
    prepare: Callable[[], None] = nothing_to_prepare
    ready: Callable[[IsAlive], Awaitable[None]] = ready_at_once
    stop_signal: signal.Signals = signal.SIGTERM
    start_timeout_s: float = 60.0
    stop_timeout_s: float = 20.0


@dataclass
class _Running:
    part: Part
    child: subprocess.Popen[bytes]
    started_s: float
    wanted: bool = True
    restarts: int = 0


class Supervisor:
    """Owns the children of one data directory, under a lock that the kernel frees with us.

    `restart=False`: a dead part stays dead until `start` is called again; fault runs work so.
    """

    def __init__(self, data_dir: Path, report: Report, *, restart: bool = True) -> None:
        self._data_dir = data_dir
        self._report = unfailing(report)
        self._restart = restart
        self._running: dict[str, _Running] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._facts: dict[str, object] = {}
        self._exit = contextlib.ExitStack()

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the parts that live now."""
        return {name: run.child.pid for name, run in self._running.items() if run.child.poll() is None}

    @property
    def restarts(self) -> dict[str, int]:
        """How often each part was restarted after it died."""
        return {name: run.restarts for name, run in self._running.items()}

    def open(self) -> None:
        """Takes the data directory and stops what an earlier supervisor, killed, left running. Blocks for that time."""
        if not self._exit.enter_context(exclusive_lock(self._data_dir / "lock")):
            self._exit.close()
            raise StackRunsAlready(self._data_dir, read_state(self._data_dir).supervisor_pid)
        for name, identity, stop_signal in reversed(read_state(self._data_dir).parts):
            leftover = identity.find()
            if leftover is not None:
                self._report(f"{name}: stopping process {identity.pid}, left over from an earlier run")
                processes.stop(leftover, stop_signal, timeout_s=15)

    async def start(self, part: Part) -> None:
        """Starts a part and returns when it is ready; `PartDidNotStart` otherwise."""
        if part.name in self.pids:
            raise ValueError(f"{part.name} runs already")
        run = await self._launch(part)
        if self._restart:
            self._watchers[part.name] = asyncio.create_task(self._watch(run), name=f"watch {part.name}")

    def kill(self, name: str) -> None:
        """SIGKILL, as a crash would: the supervisor restarts the part if it restarts at all."""
        self.send(name, signal.SIGKILL)

    def send(self, name: str, signal_number: signal.Signals) -> None:
        """Any signal to one part: SIGSTOP freezes it, SIGCONT lets it go on."""
        processes.send(self._running[name].child.pid, signal_number)

    async def stop(self, name: str) -> None:
        """Asks one part to stop and waits; kills it after its limit. Stopping a dead part is no error."""
        run = self._running.get(name)
        if run is None:
            return
        run.wanted = False
        watcher = self._watchers.pop(name, None)
        if watcher is not None:
            watcher.cancel()
            await asyncio.wait([watcher])
        await self._end(run)
        self._write()

    async def stop_all(self) -> None:
        """Every part in reverse order of starting; bounded by the sum of their limits. Then frees the data
        directory."""
        try:
            for name in reversed(list(self._running)):
                alive = name in self.pids
                await self.stop(name)
                if alive:
                    self._report(f"{name}: stopped")
        finally:
            self._exit.close()

    def publish(self, facts: Mapping[str, object]) -> None:
        """Adds addresses and the like to `stack.json`."""
        self._facts.update(facts)
        self._write()

    async def _launch(self, part: Part) -> _Running:
        log = self._log(part.name)
        await asyncio.to_thread(part.prepare)
        child = processes.spawn(part.argv, log, env={**os.environ, **part.env}, run_as=part.run_as)
        run = _Running(part, child, time.monotonic())
        previous = self._running.get(part.name)
        run.restarts = previous.restarts if previous else 0
        self._running[part.name] = run
        self._write()
        try:
            async with asyncio.timeout(part.start_timeout_s):
                await part.ready(lambda: child.poll() is None)
        except TimeoutError:
            await self._end(run)
            raise PartDidNotStart(part.name, f"not ready after {part.start_timeout_s:.0f} s", log) from None
        except Exception as failure:
            await self._end(run)
            raise PartDidNotStart(part.name, str(failure), log) from failure
        except BaseException:
            await self._end(run)
            raise
        if child.poll() is not None:
            raise PartDidNotStart(part.name, f"it ended with {child.returncode}", log)
        return run

    async def _watch(self, run: _Running) -> None:
        """Waits for the part's death and brings it back, more slowly each time, until it is no longer wanted."""
        part = run.part
        backoff_s = FIRST_BACKOFF_S
        while run.wanted:
            await asyncio.sleep(POLL_S)
            if run.child.poll() is None:
                continue
            if time.monotonic() - run.started_s > STEADY_S:
                backoff_s = FIRST_BACKOFF_S
            self._report(f"{part.name}: ended with {run.child.returncode}; starting it again in {backoff_s:.1f} s")
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_CEILING_S)
            try:
                run = await self._launch(part)
                self._report(f"{part.name}: running again (process {run.child.pid})")
            except Exception as failure:  # any reason: this loop is what brings the part back
                self._report(f"{part.name}: {failure}")
                run = self._running[part.name]
            run.restarts += 1

    async def _end(self, run: _Running) -> None:
        child, part = run.child, run.part
        if child.poll() is not None:
            return
        processes.send(child.pid, signal.SIGCONT)
        processes.send(child.pid, part.stop_signal)
        deadline_s = time.monotonic() + part.stop_timeout_s
        while child.poll() is None and time.monotonic() < deadline_s:  # noqa: ASYNC110  # no event tells us
            await asyncio.sleep(0.05)
        if child.poll() is None:
            self._report(f"{part.name}: did not stop within {part.stop_timeout_s:.0f} s, killed")
            processes.kill_group(child.pid)
            await asyncio.to_thread(child.wait, 10)

    def _log(self, name: str) -> Path:
        return self._data_dir / "logs" / f"{name}.log"

    def _write(self) -> None:
        parts = {}
        for name, run in self._running.items():
            identity = ProcessIdentity.of(run.child.pid) if run.child.poll() is None else None
            if identity is not None:
                stop_signal = int(run.part.stop_signal)
                parts[name] = {**asdict(identity), "stop_signal": stop_signal, "log": str(self._log(name))}
        state = {"supervisor_pid": os.getpid(), "parts": parts, **self._facts}
        write_atomically(self._data_dir / "stack.json", json.dumps(state, indent=1))


@dataclass(frozen=True)
class StackState:
    """What `stack.json` says: of a stack that runs, or of one that ran."""

    supervisor_pid: int | None
    parts: tuple[tuple[str, ProcessIdentity, int], ...]
    urls: Mapping[str, str]
    environment: Mapping[str, str]


def read_state(data_dir: Path) -> StackState:
    """Empty when there never was a stack."""
    path = data_dir / "stack.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    parts = tuple(
        (name, ProcessIdentity(part["pid"], part["started_s"], tuple(part["argv"])), part["stop_signal"])
        for name, part in found.get("parts", {}).items()
    )
    return StackState(found.get("supervisor_pid"), parts, found.get("urls", {}), found.get("environment", {}))
