"""Placing over HTTP: the claim first, then the workflow's answer, and the same answer for ever after."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response
from temporalio.client import Client

from activities.admission import plan_wish
from activities.order_plans import OrderTimings
from api import order_host
from api.deps import Parts
from api.errors import problem, refusal
from api.idempotency import Answer, IdempotencyKeyReused, RequestInFlight
from api.order_inputs import OrderInput
from api.order_views import AcceptedView, PlacedView
from api.plan_views import PlanView
from domain.access import Principal
from domain.errors import DomainError, Refusal, Refused
from domain.placing import InsufficientStock, demand_per_sku
from storage import order_claims, order_stock
from storage.order_claims import Claim, ClientOrderNoReused

GRACE_S = 1.0
"""How much longer than its own wait a sender is taken to be waiting, before another may send again."""


class Overloaded(DomainError):
    """More placements at once than this process takes, for longer than a caller should wait."""

    code = "overloaded"

    def __init__(self) -> None:
        super().__init__("Too many orders are being placed at this moment: repeat it after `Retry-After` seconds.")


class Placing:
    """One request to place. Successes and final refusals are kept with the claim; everything else may be sent again."""

    def __init__(self, parts: Parts, client: Client, caller: Principal) -> None:
        self._parts = parts
        self._client = client
        self._caller = caller

    async def plan(self, body: OrderInput) -> Response:
        """What placing would do, or the refusal that it would meet. Does nothing."""
        request = body.model_dump(mode="json")
        async with self._parts.database.transaction() as connection:
            plan = await plan_wish(connection, self._caller.id, request, self._parts.clock(), self._timings())
        return Answer(200, PlanView.of(plan)).response()

    def _timings(self) -> OrderTimings:
        settings = self._parts.settings
        return OrderTimings(settings.lock_s, settings.lock_ceiling_s, settings.review_s)

    async def place(self, body: OrderInput, key: str, body_hash: str, scope: Mapping[str, Any]) -> Response:
        """Claim, send, answer; or replay the answer of whoever was first. What is sold out starts nothing."""
        await self._refuse_sold_out(body, key)
        claim = await self._claim(body, key, body_hash)
        if not claim.same_body and claim.by_key:
            raise IdempotencyKeyReused
        if not claim.same_body:
            raise ClientOrderNoReused(body.client_order_no or "", claim.order_no)
        if claim.answer is not None:
            return self._show(claim.answer, scope, replayed=True)
        if not claim.mine:
            raise RequestInFlight
        return await self._send(claim.order_no, body, scope)

    async def _refuse_sold_out(self, body: OrderInput, key: str) -> None:
        """Raises InsufficientStock for a new wish of what was refused a moment ago and is still gone.

        Nothing is claimed or kept: the same key may ask again when there is stock.
        """
        wanted = demand_per_sku([(line.sku_id, line.quantity) for line in body.lines])
        if not self._parts.sold_out.suspects(wanted):
            return
        async with self._parts.database.reading() as connection:
            left = await order_stock.sold_out(connection, wanted)
            if left and not await order_claims.exists(
                connection,
                distributor_id=self._caller.id,
                idempotency_key=key,
                client_order_no=body.client_order_no,
            ):
                self._parts.sold_out.note(left)
                raise InsufficientStock(left)

    async def _claim(self, body: OrderInput, key: str, body_hash: str) -> Claim:
        patience_s = 2 * self._parts.settings.place_timeout_s + GRACE_S
        async with self._parts.database.reading() as connection:
            return await order_claims.claim(
                connection,
                order_no=self._parts.next_order_no(body.buyer_ref or self._caller.id),
                distributor_id=self._caller.id,
                idempotency_key=key,
                body_hash=body_hash,
                client_order_no=body.client_order_no,
                request=body.model_dump(mode="json", exclude_none=True),
                patience_s=patience_s,
            )

    async def _send(self, order_no: int, body: OrderInput, scope: Mapping[str, Any]) -> Response:
        timeout_s = self._parts.settings.place_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await self._parts.placements.acquire()
        except TimeoutError:
            await self._stop_waiting(order_no)
            raise Overloaded from None
        try:
            answer = await order_host.place(
                self._client,
                order_no,
                distributor_id=self._caller.id,
                title=_title(body),
                timeout_s=timeout_s,
            )
        except order_host.Undecided:
            await self._stop_waiting(order_no)
            return self._accepted(order_no)
        except BaseException:
            await self._stop_waiting(order_no)
            raise
        finally:
            self._parts.placements.release()
        if answer.refusal is not None:
            if answer.refusal.code == InsufficientStock.code:
                self._parts.sold_out.note(answer.refusal.facts["left"])
            return self._refuse(answer.refusal, scope)
        if "lines" in answer.facts:
            return self._show({"facts": answer.facts}, scope, replayed=False)
        return await self._kept(order_no, scope)

    async def _kept(self, order_no: int, scope: Mapping[str, Any]) -> Response:
        """The process was restarted and no longer has its first answer; the claim does."""
        async with self._parts.database.reading() as connection:
            answer = await order_claims.answer_of(connection, order_no)
        return self._show(answer, scope, replayed=False) if answer else self._accepted(order_no)

    async def _stop_waiting(self, order_no: int) -> None:
        async with self._parts.database.reading() as connection:
            await order_claims.stop_waiting(connection, order_no)

    def _show(self, answer: Mapping[str, Any], scope: Mapping[str, Any], *, replayed: bool) -> Response:
        headers = {"Idempotent-Replayed": "true"} if replayed else {}
        if "refusal" in answer:
            return self._refuse(Refusal(**answer["refusal"]), scope, headers)
        view = PlacedView.of(answer["facts"])
        headers["Location"] = f"/v1/orders/{view.order_no:019d}"
        return Answer(202 if view.in_review else 201, view, headers).response()

    def _refuse(self, refused: Refusal, scope: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
        if not headers:
            return refusal(scope, Refused(refused))
        return problem(scope, refused.code, refused.detail, facts=refused.facts, headers=headers)

    def _accepted(self, order_no: int) -> Response:
        return accepted(order_no).response()


def accepted(order_no: int) -> Answer:
    """The order's number is given; what becomes of it is told at its address."""
    location = f"/v1/orders/{order_no:019d}"
    view = AcceptedView(order_no=order_no, status="accepted", location=location)
    return Answer(202, view, {"Location": location, "Retry-After": "1"})


def _title(body: OrderInput) -> str:
    units = sum(line.quantity for line in body.lines)
    return f"{len(body.lines)} line(s), {units} unit(s)"
