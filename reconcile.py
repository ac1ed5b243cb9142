"""`tessera reconcile`: every order, payment and refund in motion, and every unanswered claim has its workflow again.

A power cut may lose Temporal's last commits, never ours: the rows say where an order stands, and its process, started
again under the same id, reads them and goes on. Safe to run at any time: a workflow that runs is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode

from api import delivery_host, order_host, payment_handover, payment_host
from domain.categories import CATEGORIES
from settings import Settings
from storage import bookings, order_claims, order_reading, units
from storage.database import Database
from workflows.deliveries import delivery_workflow_id
from workflows.order_ids import order_workflow_id

PAGE = 500
RPC_TIMEOUT = timedelta(seconds=10)
PLACE_TIMEOUT_S = 30.0

Tell = Callable[[str], None]


@dataclass
class Reconciled:
    """What was found without a workflow and has been started again."""

    orders: int = 0
    claims: int = 0
    releases: int = 0
    deliveries: int = 0
    payments: int = 0
    refunds: int = 0
    looked_at: int = 0

    def report(self) -> dict[str, int]:
        return asdict(self)


async def reconcile(settings: Settings, tell: Tell = lambda _: None) -> Reconciled:
    """Start what is missing. `tell` gets a line for each."""
    url = settings.api_database_url or settings.database_url
    if url is None or settings.temporal_address is None:
        raise RuntimeError("neither PostgreSQL nor Temporal may be unknown: start `tessera up` first")
    CATEGORIES.load(settings.kind_places)
    client = await Client.connect(
        settings.temporal_address, namespace=settings.temporal_namespace, data_converter=pydantic_data_converter
    )
    done = Reconciled()
    async with Database(url, pool_max=4) as database:
        await _claims(database, client, done, tell)
        await _orders(database, client, done, tell)
        await _releases(database, client, done, tell)
        await _deliveries(database, client, done, tell)
        await _money(database, client, done, tell)
    return done


async def _orders(database: Database, client: Client, done: Reconciled, tell: Tell) -> None:
    """Orders in motion: the new process goes on from the rows."""
    after = 0
    while True:
        async with database.reading() as cx:
            rows = await order_reading.open_orders(cx, after=after, limit=PAGE)
        for row in rows:
            done.looked_at += 1
            if await _is_running(client, row["host_workflow_id"]) or not await _is_open(database, row["order_no"]):
                continue
            await _host_again(client, row)
            done.orders += 1
            tell(f"order {row['order_no']:019d} ({row['status']}): its process was lost, started again")
        if len(rows) < PAGE:
            return
        after = rows[-1]["order_no"]


async def _is_open(database: Database, order_no: int) -> bool:
    """Whether it is still in motion: its process may have finished, and ended, since the page was read."""
    async with database.reading() as cx:
        rows = await order_reading.open_orders(cx, after=order_no - 1, limit=1)
    return any(row["order_no"] == order_no for row in rows)


async def _claims(database: Database, client: Client, done: Reconciled, tell: Tell) -> None:
    """Claims that nobody answered: sent as their first sender would have."""
    after = 0
    while True:
        async with database.reading() as cx:
            claims = await order_claims.unanswered(cx, after=after, limit=PAGE)
        for claim in claims:
            done.looked_at += 1
            if not await _is_running(client, order_workflow_id(claim.order_no)):
                done.claims += 1
                tell(f"order {claim.order_no:019d}: claimed and never answered, now {await _place(client, claim)}")
        if len(claims) < PAGE:
            return
        after = claims[-1].order_no


async def _place(client: Client, claim: order_claims.Unanswered) -> str:
    try:
        answer = await order_host.place(
            client,
            claim.order_no,
            distributor_id=claim.distributor_id,
            title="placed again",
            timeout_s=PLACE_TIMEOUT_S,
        )
    except order_host.Undecided:
        return "started"
    return "refused" if answer.refusal is not None else "placed"


async def _releases(database: Database, client: Client, done: Reconciled, tell: Tell) -> None:
    """Orders at rest here and not done there: their process, started again, finishes what it was giving back."""
    after = 0
    while True:
        async with database.reading() as cx:
            rows = await bookings.releasing_at_rest(cx, after=after, limit=PAGE)
        for row in rows:
            done.looked_at += 1
            if not await _is_running(client, row["host_workflow_id"]):
                await _host_again(client, row)
                done.releases += 1
                tell(f"order {row['order_no']:019d}: at rest, but a release at its supplier was lost, started again")
        if len(rows) < PAGE:
            return
        after = rows[-1]["order_no"]


async def _deliveries(database: Database, client: Client, done: Reconciled, tell: Tell) -> None:
    """Lines of which something is on its way: their delivery, started again, goes on from the rows."""
    after = (0, 0)
    while True:
        async with database.reading() as cx:
            rows = await units.lines_on_their_way(cx, lasting=CATEGORIES.lasting(), after=after, limit=PAGE)
        for row in rows:
            done.looked_at += 1
            order_no, line_no = row["order_no"], row["line_no"]
            if not await _is_running(client, delivery_workflow_id(order_no, line_no)):
                await delivery_host.deliver_again(client, order_no, line_no)
                done.deliveries += 1
                tell(f"order {order_no:019d} line {line_no}: on its way, but its delivery was lost, started again")
        if len(rows) < PAGE:
            return
        after = (rows[-1]["order_no"], rows[-1]["line_no"])


async def _money(database: Database, client: Client, done: Reconciled, tell: Tell) -> None:
    """Refunds on their way and pay orders that are not at rest: their process goes on from the rows."""
    now = datetime.now(UTC)
    async for host in payment_handover.standing_still(database, refunds_before=now, payments_before=now):
        done.looked_at += 1
        if await _is_running(client, host.id):
            continue
        await payment_host.host_again(client, host)
        kind, _, subject = host.id.partition("/")
        if kind == "refund":
            done.refunds += 1
        else:
            done.payments += 1
        tell(f"{subject}: it was not finished, and its process was lost, started again")


async def _host_again(client: Client, row: Mapping[str, Any]) -> None:
    await order_host.host_again(
        client, row["order_no"], distributor_id=row["distributor_id"], workflow_id=row["host_workflow_id"]
    )


async def _is_running(client: Client, workflow_id: str) -> bool:
    try:
        described = await client.get_workflow_handle(workflow_id).describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return described.status is WorkflowExecutionStatus.RUNNING
