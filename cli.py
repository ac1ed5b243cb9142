"""The `tessera` command: a composition root that imports what a subcommand needs only when it runs, so that help is
quick."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from embedded.stack import Stack
    from settings import Settings

app = typer.Typer(
    name="tessera",
    help="Tessera: ticket fulfilment in which every process is a workflow. Start here: `tessera up`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where the embedded parts keep data and logs.")]


@app.command()
def up(
    data_dir: DataDir = None,
    api: Annotated[int, typer.Option(min=0, max=8, help="API processes.")] = 1,
    worker: Annotated[int, typer.Option(min=0, max=8, help="Worker processes.")] = 1,
    simulators: Annotated[bool, typer.Option(help="Play the outside parties, too.")] = True,
) -> None:
    """Starts everything on this machine and keeps it running until Ctrl-C.

    PostgreSQL, schema, Temporal with its UI, simulators, workers, API. Ports that are taken are replaced by free
    ones. A part that dies is started again. The second start goes on where the first stopped. `TESSERA_DATABASE_URL`
    and `TESSERA_TEMPORAL_ADDRESS` replace the embedded PostgreSQL and Temporal one by one.
    """
    from embedded.stack import SIMULATORS, Stack, StackOptions

    settings = _settings(data_dir)
    options = StackOptions(apis=api, workers=worker, simulators=tuple(SIMULATORS) if simulators else ())
    seeds = simulators and api > 0 and worker > 0
    stack = Stack(settings, options, report=_say, seed=_seed if seeds else None)
    _end(asyncio.run(_run_until_stopped(stack, reconciling=worker > 0)))


async def _seed(settings: Settings) -> None:
    import seeding

    report = await seeding.run(settings)
    _say(
        f"sample data: {len(report.tickets_on_shelf)} tickets on the shelf; shoppers {', '.join(report.shoppers)}; "
        f"channels {', '.join(report.channels)}; keys and passwords of everybody in {report.keys_file}"
    )


@app.command()
def seed(data_dir: DataDir = None) -> None:
    """Makes the sample data: accounts with keys, the simulated suppliers and their catalogues. Repeatable."""
    run_to_end(_seed(_running(data_dir)))


@app.command()
def demo(
    data_dir: DataDir = None,
    seed: Annotated[int, typer.Option(envvar="SEED", help="Chooses the run.")] = 1,
    orders: Annotated[int, typer.Option(min=1, max=100_000, help="How many orders are placed.")] = 300,
) -> None:
    """Orders for tickets, parcels, top-ups and codes, with promotions, while suppliers, carriers and an operator
    misbehave: from placing to settled flows and delivered parcels, with a table of what came of them.

    Uses the stack that runs on the data directory, or starts one for the time of the demo. Exit code 1: something
    was lost, done twice or miscounted, or a kind of fault was never met.
    """
    from demo import command

    _end(asyncio.run(_or_told(command.demo(_settings(data_dir), seed, orders))))


@app.command()
def torment(
    data_dir: DataDir = None,
    seed: Annotated[int, typer.Option(envvar="SEED", help="Chooses the run.")] = 1,
    orders: Annotated[int, typer.Option(min=1, max=100_000, help="How many orders are placed.")] = 150,
    kills: Annotated[int, typer.Option(min=1, max=100, help="How often each part is killed.")] = 3,
    payments: Annotated[
        int | None, typer.Option(min=1, max=3_500, help="Instead of the demo's orders: so many payments of shoppers.")
    ] = None,
) -> None:
    """The demo's load on a fresh stack whose worker, API, Temporal, PostgreSQL and top-up simulator are killed, and
    started, again and again. With `--payments`, shoppers pay at channels of which a fifth
    of the calls meets each kind of fault.

    Exit code 1: an order was lost, done twice or didn't come to rest; or money does not add up to the cent.
    """
    from demo import command

    if payments is not None:
        _end(asyncio.run(_or_told(command.torment_stack_by_payments(_settings(data_dir), seed, payments, kills))))
    _end(asyncio.run(_or_told(command.torment_stack(_settings(data_dir), seed, orders, kills))))


@app.command()
def inspect(
    data_dir: DataDir = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Checks every invariant over database, Temporal and simulated suppliers' books. Exit code 1: a violation."""
    import inspecting

    _end(asyncio.run(_or_told(inspecting.show(_running(data_dir), as_json=json))))


@app.command()
def reconcile(data_dir: DataDir = None) -> None:
    """Starts every order, claim and release again whose workflow Temporal has lost. Safe at any time."""
    from reconcile import reconcile as start_what_is_missing

    async def once() -> int:
        done = await start_what_is_missing(_running(data_dir), _say)
        _say(
            f"reconciled: {done.looked_at} looked at; started again: {done.orders} orders, {done.claims} claims, "
            f"{done.releases} releases"
        )
        return 0

    _end(asyncio.run(_or_told(once())))


async def _or_told(work: Coroutine[Any, Any, int]) -> int:
    """The work's exit code; a sentence instead of a trace for what the user can put right."""
    try:
        return await work
    except RuntimeError as failure:
        _say(str(failure))
        return 1


@app.command()
def migrate(
    data_dir: DataDir = None,
    revision: Annotated[str, typer.Option(help="A revision of the schema.")] = "head",
) -> None:
    """Brings the schema of PostgreSQL to a revision, as the owner. Safe to run twice, and from several processes at
    once."""
    import migrations

    settings = _running(data_dir)
    if settings.database_url is None:
        _fail("no database known: set TESSERA_DATABASE_URL to the owner's address, or start `tessera up` first")
    migrations.upgrade(settings.database_url, revision)
    _say(f"schema: at {revision if revision != 'head' else migrations.head() or 'no revision yet'}")


@app.command()
def namespace(data_dir: DataDir = None) -> None:
    """Makes the Temporal namespace ready: retention and search attributes. For a Temporal service of your own;
    repeatable."""
    from embedded import temporal

    settings = _running(data_dir)
    address = settings.temporal_address
    if address is None:
        _fail("no Temporal known: set TESSERA_TEMPORAL_ADDRESS, or start `tessera up`, which does this by itself")

    async def prepare() -> None:
        days = settings.temporal_retention_days
        await temporal.create_namespace_if_missing(address, settings.temporal_namespace, days)
        client = await temporal.connect_when_ready(address, settings.temporal_namespace)
        await temporal.prepare_namespace(client, retention_days=days, search_attributes=temporal.SEARCH_ATTRIBUTES)
        _say(f"namespace {settings.temporal_namespace}: ready at {address}, retention {days} days")

    run_to_end(prepare())


@app.command()
def worker(data_dir: DataDir = None) -> None:
    """Runs a Temporal worker in this process until SIGTERM; run more of them to scale."""
    import uvloop

    from worker import run_worker

    uvloop.install()  # a tenth of its CPU: an order is some thirty short waits for PostgreSQL
    run_to_end(run_worker(_running(data_dir)))


@app.command()
def api(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="Address to listen at.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen at.")] = None,
) -> None:
    """Serves the HTTP API in this process; it keeps no state, so run more of them behind a balancer."""
    import uvicorn

    from api.app import application

    settings = _running(data_dir)
    uvicorn.run(
        application(settings),
        host=host or settings.api_host,
        port=settings.api_port if port is None else port,
        log_config=None,  # telemetry.configure has given all loggers one form
        access_log=False,
        timeout_keep_alive=75,  # longer than clients' pools keep idle connections: a race there looks like a failure
        timeout_graceful_shutdown=10,
    )


@app.command()
def states() -> None:
    """Writes docs/states.md: every state machine as the domain has it, with a diagram each."""
    from domain.states_page import render

    page = Path(__file__).parent / "docs" / "states.md"
    page.write_text(render(), encoding="utf-8")
    _say(f"wrote {page}")


@app.command()
def replay(
    folder: Annotated[Path, typer.Argument(help="Histories as JSON, as Temporal's UI and CLI download them.")],
) -> None:
    """Replays recorded histories against the workflows of this code: before a release, over those of production."""
    from worker import replay_histories

    run_to_end(_replay(replay_histories(sorted(folder.glob("*.json")))))


async def _replay(running: Coroutine[Any, Any, dict[str, str | None]]) -> None:
    results = await running
    for name, failure in sorted(results.items()):
        _say(f"{'fails ' if failure else 'replays'} {name}{': ' + failure if failure else ''}")
    if not results or any(results.values()):
        _end(1)


@app.command()
def openapi(
    file: Annotated[Path, typer.Argument(help="Where the document is.")] = Path("docs/openapi.json"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail and show it when it differs.")] = False,
) -> None:
    """Writes the API's OpenAPI 3.1 document, or checks that the committed one is the code's."""
    from difflib import unified_diff

    from api.app import create_app
    from api.contract import rendered
    from settings import Settings
    from storage.database import Database

    now = rendered(create_app(Settings(), Database("postgresql:///none"), None).openapi())
    if not check:
        file.write_text(now)
        _say(f"wrote {file}")
        return
    before = file.read_text() if file.exists() else ""
    if difference := list(unified_diff(before.splitlines(), now.splitlines(), str(file), "the code's", lineterm="")):
        _fail("\n".join(difference) + f"\n{file} differs: if the change is meant, write it by `tessera openapi`")
    _say(f"{file}: as the code says")


@app.command()
def simulator(
    name: Annotated[str, typer.Argument(help="Whom to play, for example `supplier`.")] = "supplier",
    data_dir: DataDir = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen at.")] = None,
) -> None:
    """Plays an outside party as a service of its own, with faults on demand."""
    from embedded.stack import SIMULATORS
    from settings import port_setting

    if name not in SIMULATORS:
        _fail(f"no simulator called {name}: there are {', '.join(SIMULATORS)}")
    settings = _settings(data_dir)
    directory = settings.data_dir.resolve() / "simulators" / name
    directory.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", SIMULATORS[name], "--host", settings.simulator_host]
    argv += ["--port", str(getattr(settings, port_setting(name)) if port is None else port), "--data", str(directory)]
    os.execv(sys.executable, argv)


@app.command()
def bench(
    only: Annotated[
        str | None, typer.Option(help="One of orders, placing, hot-sku, sold-out: alone, and nothing is written.")
    ] = None,
) -> None:
    """Measures Tessera against yardsticks of the same run, on a stack of its own. Takes about four minutes.

    Shows a table and writes benchmarks/results/latest.json.
    """
    from benchmarks.run import BENCHMARKS, run

    if only is not None and only not in BENCHMARKS:
        _fail(f"no benchmark called {only}: there are {', '.join(BENCHMARKS)}")
    run_to_end(run(only))


async def _run_until_stopped(stack: Stack, *, reconciling: bool) -> int:
    """Starts the stack, shows where to look, waits for Ctrl-C or SIGTERM (also while starting), stops all in order."""
    import signal

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signal_number, stopping.set)
    starting = asyncio.create_task(stack.start())
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        _say("stopping before everything was started")
        starting.cancel()
        await asyncio.wait({starting})
        return 130
    failure = starting.exception()
    if failure is not None:
        waiting.cancel()
        _say(f"not started: {failure}")
        return 1
    _show(stack)
    if reconciling:
        await _reconcile(stack)
    await waiting
    _say("stopping")
    await stack.stop()
    return 0


async def _reconcile(stack: Stack) -> None:
    """Orders whose workflows were lost go on. What hinders that now is told, and `tessera reconcile` repeats it."""
    from reconcile import reconcile as start_what_is_missing

    try:
        await start_what_is_missing(stack.settings, _say)
    except Exception as failure:
        _say(f"not reconciled ({failure}): run `tessera reconcile`")


def _show(stack: Stack) -> None:
    """Where a person looks next."""
    width = max(len(title) for title in stack.urls) if stack.urls else 0
    typer.echo("")
    for title, url in stack.urls.items():
        typer.echo(f"  {title:<{width}}  {url}")
    typer.echo(f"\n  Data, logs and keys: {stack.data_dir}   Stop: Ctrl-C\n")


def _settings(data_dir: Path | None) -> Settings:
    from settings import Settings

    return Settings() if data_dir is None else Settings(data_dir=data_dir)


def _running(data_dir: Path | None) -> Settings:
    """Settings with the addresses of the stack that runs on the data directory; what the environment says stays."""
    from embedded.stack import settings_of_running

    return settings_of_running(_settings(data_dir))


def run_to_end(work: Coroutine[Any, Any, None]) -> NoReturn:
    """For short commands that use a Temporal client: ends the process as soon as the work is done.

    The client's native threads can crash an interpreter that is being finalised (Temporal sdk-python issue 300).
    """
    asyncio.run(work)
    _end(0)


def _end(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _say(line: str) -> None:
    typer.echo(line)
    sys.stdout.flush()


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(1)


def main() -> None:
    """Entry point of the script `tessera`."""
    app()


if __name__ == "__main__":
    main()
