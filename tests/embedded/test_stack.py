"""The stack as a whole, without our own processes: order of starting, going on after a stop, parts replaced by given
ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx2
import psycopg

from embedded.postgres import PostgresServer
from embedded.stack import Stack, StackOptions, settings_of_running
from settings import Settings

SERVERS_ONLY = StackOptions(
    apis=0, workers=0, simulators=(), usual_ports=False, postgres_settings={"shared_buffers": "64MB"}
)


async def test_a_second_start_goes_on_with_the_same_data_and_addresses(tmp_path: Path) -> None:
    async with Stack(Settings(data_dir=tmp_path), SERVERS_ONLY) as stack:
        first = stack.settings
        assert list(stack.pids) == ["postgres", "temporal"]
        with psycopg.connect(str(first.database_url)) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS id")
    async with Stack(Settings(data_dir=tmp_path), SERVERS_ONLY) as stack:
        assert stack.settings == first
        with psycopg.connect(str(stack.settings.database_url)) as connection:
            assert connection.execute("SELECT id FROM kept").fetchone() == (7,)
    assert stack.pids == {}


async def test_a_simulator_is_found_by_the_setting_of_its_own_port(tmp_path: Path) -> None:
    options = replace(SERVERS_ONLY, simulators=("carrier", "payment"))
    async with Stack(Settings(data_dir=tmp_path), options) as stack, httpx2.AsyncClient(trust_env=False) as client:
        assert list(stack.pids) == ["postgres", "temporal", "simulator-carrier", "simulator-payment"]
        found = settings_of_running(Settings(data_dir=tmp_path)).simulator_url("carrier")
        carriers = (await client.get(f"{found}/control")).json()["suppliers"]
        pays = settings_of_running(Settings(data_dir=tmp_path)).simulator_url("payment")
        channels = (await client.get(f"{pays}/control")).json()["suppliers"]
    assert {each["name"] for each in carriers} == {"swift", "local"}
    assert "paybridge" in {each["name"] for each in channels}


async def test_other_commands_find_the_running_stack_by_its_data_directory(tmp_path: Path) -> None:
    async with Stack(Settings(data_dir=tmp_path), SERVERS_ONLY) as stack:
        found = settings_of_running(Settings(data_dir=tmp_path))
        assert found == stack.settings
        assert settings_of_running(Settings(data_dir=tmp_path, temporal_address="elsewhere:7233")).temporal_address == (
            "elsewhere:7233"
        )
    assert (tmp_path / "stack.json").stat().st_mode & 0o777 == 0o600


async def test_a_given_database_replaces_the_embedded_one(tmp_path: Path, postgres: PostgresServer) -> None:
    postgres.ensure_roles("given")
    url = postgres.url("tessera_owner", "given")
    async with Stack(Settings(data_dir=tmp_path, database_url=url), SERVERS_ONLY) as stack:
        assert list(stack.pids) == ["temporal"]
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)


async def test_secrets_are_generated_and_never_the_development_ones(tmp_path: Path) -> None:
    async with Stack(Settings(data_dir=tmp_path), SERVERS_ONLY) as stack:
        pepper = stack.settings.pepper.get_secret_value()
    assert pepper != Settings().pepper.get_secret_value()
    assert len(pepper) >= 32
