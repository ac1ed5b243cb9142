"""The embedded PostgreSQL: what it promises about data, ends and rights."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psycopg
import pytest

from embedded import processes
from embedded.credentials import Credentials
from embedded.ports import any_free_port
from embedded.postgres import PostgresRunsAlready, PostgresServer, running


def test_committed_rows_survive_a_kill_and_the_next_start(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        with psycopg.connect(server.url("tessera_owner")) as connection:
            connection.execute("CREATE TABLE kept (id bigint PRIMARY KEY)")
            connection.execute("INSERT INTO kept VALUES (7)")
        postmaster = server.running_postmaster()
        assert postmaster is not None
        processes.send(postmaster.pid, signal.SIGKILL)
        while postmaster.is_running() and postmaster.status() != "zombie":
            time.sleep(0.02)  # as a zombie it would be waited for without end
    with running(tmp_path) as server, psycopg.connect(server.url("tessera_owner")) as connection:
        assert connection.execute("SELECT id FROM kept").fetchall() == [(7,)]


def test_the_durable_server_flushes_every_commit(tmp_path: Path) -> None:
    with running(tmp_path) as server, psycopg.connect(server.url("tessera_worker")) as connection:
        names = ["fsync", "synchronous_commit", "full_page_writes"]
        assert [_setting(connection, name) for name in names] == ["on", "on", "on"]


def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with running(tmp_path, durable=False) as server:
        second = PostgresServer(server.directory, any_free_port(), server.credentials)
        with pytest.raises(PostgresRunsAlready):
            second.prepare()


def test_a_recorded_process_that_is_not_postgres_does_not_stop_the_start(tmp_path: Path) -> None:
    with running(tmp_path, durable=False) as server:
        record = server.directory / "postmaster.pid"
        lines = record.read_text().splitlines()
    stranger = processes.spawn(["sleep", "60"], tmp_path / "sleep.log", run_as=server.run_as)
    try:
        record.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        with running(tmp_path, durable=False) as server, psycopg.connect(server.url("tessera_api")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("role", ["tessera_owner", "tessera_worker", "tessera_api"])
def test_no_role_of_ours_is_superuser_or_bypasses_row_security(postgres: PostgresServer, role: str) -> None:
    with psycopg.connect(postgres.url(role)) as connection:
        found = connection.execute(
            "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert found == (False, False, False, False)


@pytest.mark.parametrize("role", ["tessera_worker", "tessera_api"])
def test_only_the_owner_makes_tables(postgres: PostgresServer, role: str) -> None:
    with psycopg.connect(postgres.url(role)) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("CREATE TABLE mine (id bigint)")


def test_a_wrong_password_is_refused(postgres: PostgresServer) -> None:
    right = postgres.credentials.postgres_api
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url("tessera_api").replace(right, "wrong"))


def test_secrets_are_readable_by_their_owner_only_and_stay(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = Credentials.load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Credentials.load_or_create(path) == first


def _setting(connection: psycopg.Connection[tuple[str]], name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return row[0]
