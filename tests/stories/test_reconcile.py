"""Temporal loses everything (as a power cut may lose its last commits), and no order is lost and none is done twice."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import seeding
from demo.caller import Reply
from demo.outcome import TERMS
from demo.run import Scene
from demo.wishes import Article, read_shelf
from embedded.stack import Stack, StackOptions
from inspecting import inspect_all
from reconcile import reconcile
from settings import Settings

REST_WITHIN_S = 60.0


@dataclass
class Shop:
    """A stack of its own, and callers of its API."""

    stack: Stack
    scene: Scene
    shelf: list[Article]

    async def place(self, key: str) -> Reply:
        """Sent until it is answered, as a client does."""
        article = self.shelf[0]
        line: dict[str, Any] = {
            "sku_id": article.sku_id,
            "quantity": 2,
            "unit_price": {"amount_minor": article.price_minor, "currency": article.currency},
            "availability_id": article.sessions[0],
        }
        return await self.scene.buyers["summit"].post("/v1/orders", {"lines": [line], "currency": "CNY"}, key)

    async def placed(self, key: str) -> str:
        reply = await self.place(key)
        assert reply.ok, reply
        return str(reply.body["order_no"])

    async def confirm(self, order_no: str, *, wait_s: float = 0) -> Reply:
        path = f"/v1/orders/{order_no}/confirm?wait_s={wait_s}"
        return await self.scene.buyers["summit"].post(path, {}, f"{order_no}-confirm")

    async def status(self, order_no: str) -> str:
        return str((await self.scene.operator_caller.get(f"/v1/orders/{order_no}")).body["status"])

    async def misbehave(self, **rates: float) -> None:
        """Northgate has these faults from now on, and no others."""
        params = {"confirm_late_ms": 5000, "slow_ms": 3000}
        await self.scene.controls["northgate"].set_faults("northgate", {"rates": rates, "params": params})

    async def lose_temporals_memory(self) -> None:
        """Everything that Temporal knew is gone; the worker has to begin anew, too."""
        self.stack.kill("worker-1")
        self.stack.kill("temporal")
        await asyncio.sleep(0.5)
        shutil.rmtree(self.stack.data_dir / "temporal")
        await self.stack.start_part("temporal")
        await self.stack.start_part("worker-1")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async def sample_data(settings: Settings) -> None:
        await seeding.run(settings)

    options = StackOptions(restart=False, usual_ports=False, postgres_settings={"shared_buffers": "64MB"})
    async with (
        Stack(Settings(data_dir=tmp_path, place_timeout_s=2.0), options, seed=sample_data) as stack,
        Scene(stack.settings, seed=1) as scene,
    ):
        # Sold by one supplier and held there: what is lost between the two is to be seen.
        shelf = [each for each in await read_shelf(scene.buyers["summit"]) if "Silk Roads" in each.title]
        yield Shop(stack, scene, shelf)


async def test_orders_whose_workflows_temporal_lost_go_on_from_their_rows(shop: Shop) -> None:
    locked = [await shop.placed(f"locked-{n}") for n in range(3)]
    issued = await shop.placed("issued")
    assert (await shop.confirm(issued, wait_s=10)).body["status"] == "issued"
    issuing = [await shop.placed(f"issuing-{n}") for n in range(3)]
    await shop.misbehave(confirm_late=1.0)
    assert {(await shop.confirm(order_no)).status for order_no in issuing} == {202}
    await shop.misbehave(slow=1.0)
    being_locked = asyncio.create_task(shop.place("being-locked"))
    await asyncio.sleep(1.5)

    await shop.lose_temporals_memory()
    done = await reconcile(shop.stack.settings)
    # Those that issue may have been started again before, by what their suppliers called back.
    assert done.orders >= len(locked)

    await shop.misbehave()
    for order_no in locked[:2]:
        assert (await shop.confirm(order_no)).ok
    cancel = f"/v1/orders/{locked[2]}/cancel"
    assert (await shop.scene.buyers["summit"].post(cancel, {}, "cancel")).body["status"] == "canceled"
    for order_no in (*locked[:2], *issuing, issued):
        await _until(shop, order_no, "issued")
    # Its answer was lost with its workflow: what its client gets in the end is final, and only one of the two.
    reply = await being_locked
    assert reply.ok or reply.code == "supplier_unavailable"
    if reply.ok:
        assert (await shop.confirm(str(reply.body["order_no"]))).ok
    again = await reconcile(shop.stack.settings)
    assert (again.orders, again.claims, again.releases) == (0, 0, 0)
    await _nothing_lost_and_nothing_twice(shop)


async def test_a_claim_that_never_reached_temporal_is_placed(shop: Shop) -> None:
    shop.stack.kill("worker-1")
    shop.stack.kill("temporal")
    sending = asyncio.create_task(shop.place("claimed"))
    await asyncio.sleep(2)
    sending.cancel()
    shutil.rmtree(shop.stack.data_dir / "temporal")
    await shop.stack.start_part("temporal")
    await shop.stack.start_part("worker-1")
    async with asyncio.timeout(REST_WITHIN_S):
        while not (await reconcile(shop.stack.settings)).claims:
            await asyncio.sleep(1)  # its sender is taken to be waiting, for some seconds
    order_no = await shop.placed("claimed")
    assert (await shop.confirm(order_no)).ok
    await _until(shop, order_no, "issued")
    await _nothing_lost_and_nothing_twice(shop)


async def test_a_release_that_temporal_lost_is_carried_out(shop: Shop) -> None:
    order_no = await shop.placed("given-up")
    await shop.scene.operator_caller.patch(
        "/v1/suppliers/northgate", {"deadline_s": 1.0, "first_interval_s": 0.3, "deadline_policy": "escalate"}
    )
    await shop.misbehave(error_after=1.0)
    assert (await shop.confirm(order_no)).status == 202
    async with asyncio.timeout(REST_WITHIN_S):
        while not (cases := await shop.scene.operator_caller.pages("/v1/exceptions?state=open")):
            await asyncio.sleep(0.3)
    decision = {"decision": "give_up", "reason": "nobody answers the telephone"}
    assert (await shop.scene.operator_caller.post(f"/v1/exceptions/{cases[0]['id']}/decide", decision, "decide")).ok
    await _until(shop, order_no, "refunded")

    await shop.lose_temporals_memory()
    assert (await reconcile(shop.stack.settings)).releases == 1
    await shop.misbehave()
    await _nothing_lost_and_nothing_twice(shop)


async def _until(shop: Shop, order_no: str, status: str) -> None:
    async with asyncio.timeout(REST_WITHIN_S):
        while (found := await shop.status(order_no)) != status:
            await shop.scene.operator.clear_queue()
            assert found in ("locked", "issuing"), f"{order_no} is {found}"
            await asyncio.sleep(0.3)


async def _nothing_lost_and_nothing_twice(shop: Shop) -> None:
    rest = await shop.scene.watch.until_rest([], within_s=REST_WITHIN_S)
    assert rest.complete, str(rest)
    await asyncio.sleep(TERMS.grace_s)
    inspected = await inspect_all(shop.stack.settings, TERMS)
    assert (inspected.doubles, inspected.dropped, inspected.violations) == (0, 0, ())
