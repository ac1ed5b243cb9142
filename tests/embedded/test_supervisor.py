"""The supervisor, with small stand-in parts: what dies comes back, what is stopped stops in order, nothing is run
twice."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from embedded import processes
from embedded.supervisor import IsAlive, Part, PartDidNotStart, StackRunsAlready, Supervisor, read_state

IDLE = "import time\nwhile True: time.sleep(60)"  # the program of a part that runs until it is stopped
DEAF = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\n" + IDLE


def a_part(name: str, code: str = IDLE, stop_timeout_s: float = 5) -> Part:
    """A Python child that runs `code`."""
    return Part(name, (sys.executable, "-c", code), stop_timeout_s=stop_timeout_s)


@asynccontextmanager
async def a_supervisor(
    directory: Path, lines: list[str] | None = None, *, restart: bool = True
) -> AsyncIterator[Supervisor]:
    """Opened, and stopped at the end; its progress goes to `lines`."""
    supervisor = Supervisor(directory, (lines if lines is not None else []).append, restart=restart)
    supervisor.open()
    try:
        yield supervisor
    finally:
        await supervisor.stop_all()


async def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    """Fails when the condition isn't met in time."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.05)


async def test_a_killed_part_comes_back_and_the_others_go_on(tmp_path: Path) -> None:
    async with a_supervisor(tmp_path) as supervisor:
        await supervisor.start(a_part("one"))
        await supervisor.start(a_part("two"))
        before = supervisor.pids
        supervisor.kill("one")
        await until(lambda: supervisor.pids.get("one", before["one"]) != before["one"])
        assert supervisor.pids["two"] == before["two"]
        assert supervisor.restarts == {"one": 1, "two": 0}
        assert read_state(tmp_path).parts[0][1].pid == supervisor.pids["one"]


async def test_without_restart_a_killed_part_stays_dead_until_it_is_started(tmp_path: Path) -> None:
    async with a_supervisor(tmp_path, restart=False) as supervisor:
        await supervisor.start(a_part("one"))
        supervisor.kill("one")
        await until(lambda: "one" not in supervisor.pids)
        await asyncio.sleep(1)
        assert supervisor.pids == {}
        await supervisor.start(a_part("one"))
        assert "one" in supervisor.pids


async def test_parts_stop_in_reverse_order(tmp_path: Path) -> None:
    lines: list[str] = []
    async with a_supervisor(tmp_path, lines) as supervisor:
        for name in ("first", "second", "third"):
            await supervisor.start(a_part(name))
    assert lines == ["third: stopped", "second: stopped", "first: stopped"]
    assert read_state(tmp_path).parts == ()


async def test_a_part_that_ignores_the_request_to_stop_is_killed(tmp_path: Path) -> None:
    lines: list[str] = []
    async with a_supervisor(tmp_path, lines) as supervisor:
        await supervisor.start(a_part("deaf", DEAF, stop_timeout_s=0.5))
        await until(lambda: "deaf" in (tmp_path / "logs" / "deaf.log").read_text())
        pid = supervisor.pids["deaf"]
    assert not psutil.pid_exists(pid)
    assert "deaf: did not stop within 0 s, killed" in lines or "deaf: did not stop within 1 s, killed" in lines


async def test_a_frozen_part_can_be_stopped(tmp_path: Path) -> None:
    async with a_supervisor(tmp_path) as supervisor:
        await supervisor.start(a_part("frozen"))
        pid = supervisor.pids["frozen"]
        supervisor.send("frozen", signal.SIGSTOP)
    assert not psutil.pid_exists(pid)


async def test_a_part_that_ends_while_starting_says_why(tmp_path: Path) -> None:
    async def ready(is_alive: IsAlive) -> None:
        while is_alive():
            await asyncio.sleep(0.02)

    part = Part("broken", (sys.executable, "-c", "raise SystemExit('no such table')"), ready=ready)
    async with a_supervisor(tmp_path) as supervisor:
        with pytest.raises(PartDidNotStart, match="no such table"):
            await supervisor.start(part)


async def test_a_second_supervisor_on_the_same_data_is_refused(tmp_path: Path) -> None:
    async with a_supervisor(tmp_path) as first:
        await first.start(a_part("one"))
        with pytest.raises(StackRunsAlready):
            Supervisor(tmp_path, print).open()
    async with a_supervisor(tmp_path):
        pass


async def test_what_a_killed_supervisor_left_behind_is_stopped_by_the_next(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys
from pathlib import Path
from embedded.supervisor import Part, Supervisor
async def main():
    supervisor = Supervisor(Path({str(tmp_path)!r}), print)
    supervisor.open()
    await supervisor.start(Part("one", (sys.executable, "-c", {IDLE!r})))
    await asyncio.sleep(60)
asyncio.run(main())
"""
    supervisor = processes.spawn([sys.executable, "-c", code], tmp_path / "supervisor.log")
    await until(lambda: bool(read_state(tmp_path).parts))
    supervisor.kill()
    await asyncio.to_thread(supervisor.wait)
    left_over = read_state(tmp_path).parts[0][1]
    assert left_over.find() is not None
    async with a_supervisor(tmp_path):
        assert left_over.find() is None


async def test_a_stranger_with_a_recorded_id_is_left_alone(tmp_path: Path) -> None:
    stranger = processes.spawn([sys.executable, "-c", IDLE], tmp_path / "stranger.log")
    try:
        recorded = {"pid": stranger.pid, "started_s": 1.0, "argv": [sys.executable], "stop_signal": 15}
        (tmp_path / "stack.json").write_text(json.dumps({"supervisor_pid": 1, "parts": {"one": recorded}}))
        async with a_supervisor(tmp_path):
            assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
