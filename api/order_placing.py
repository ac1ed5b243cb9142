"""Placing over HTTP: the claim first, then the workflow's answer, and the same answer for ever after."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
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
from domain.access import HOUSE, Principal
from domain.checkouts import CheckoutExpired, placing_key
from domain.errors import DomainError, Refusal, Refused
from domain.placing import InsufficientStock, demand_per_sku
from storage import order_claims, order_stock
from storage.checkouts import CheckoutRow, get_checkout
from storage.order_claims import Claim, ClientOrderNoReused

GRACE_S = 1.0
"""How much longer than its own wait a sender is taken to be waiting, before another may send again."""


class Overloaded(DomainError):
    """More placements at once than this process takes, for longer than a caller should wait."""

    code = "overloaded"

    def __init__(self) -> None:
        super().__init__("Too many orders are being placed at this moment: repeat it after `Retry-After` seconds.")


@dataclass(frozen=True, slots=True)
class Asked:
    """One order to be, before it is claimed: for whom, once by which key and body, and what it asks for.

    `order_no`: where the number was given before; None: one is given with the claim.
    """

    distributor_id: str
    key: str
    body_hash: str
    request: dict[str, Any]
    client_order_no: str | None = None
    order_no: int | None = None

    @classmethod
    def of_order(cls, body: OrderInput, caller: Principal, key: str, body_hash: str) -> Asked:
        """A distributor's, once per Idempotency-Key."""
        request = body.model_dump(mode="json", exclude_none=True)
        return cls(caller.id, key, body_hash, request, body.client_order_no)

    @classmethod
    def of_checkout(cls, checkout: CheckoutRow) -> Asked:
        """A shopper's, once per checkout, by whatever keys it is sent."""
        key = placing_key(checkout.id)
        return cls(HOUSE, key, key, checkout.request, order_no=checkout.order_no)

    @property
    def buyer(self) -> str:
        """Whose shard its number belongs to."""
        return str(self.request.get("buyer_ref") or self.distributor_id)

    @property
    def demand(self) -> dict[str, int]:
        """How much of which variant."""
        return demand_per_sku([(line["sku_id"], line["quantity"]) for line in self.request["lines"]])

    @property
    def title(self) -> str:
        """For people who look at workflows."""
        units = sum(line["quantity"] for line in self.request["lines"])
        return f"{len(self.request['lines'])} line(s), {units} unit(s)"


async def asked_of_checkout(parts: Parts, checkout_id: str, caller: Principal, now: datetime) -> Asked:
    """What the shopper's checkout has shown. Raises CheckoutNotFound (foreign ones too), and CheckoutExpired unless it
    was placed in time: then it answers what it has answered, for ever.
    """
    async with parts.database.reading() as connection:
        checkout = await get_checkout(connection, checkout_id, user_id=caller.buyer_id)
        asked = Asked.of_checkout(checkout)
        if checkout.expires_at <= now and not await order_claims.exists(
            connection, distributor_id=asked.distributor_id, idempotency_key=asked.key, client_order_no=None
        ):
            raise CheckoutExpired(checkout.expires_at)
    return asked


class Placing:
    """One request to place. Successes and final refusals are kept with the claim; everything else may be sent again."""

    def __init__(self, parts: Parts, client: Client) -> None:
        self._parts = parts
        self._client = client

    async def plan(self, asked: Asked) -> Response:
        """What placing would do, or the refusal that it would meet. Does nothing."""
        async with self._parts.database.transaction() as connection:
            plan = await plan_wish(
                connection, asked.distributor_id, asked.request, self._parts.clock(), timings_of(self._parts)
            )
        return Answer(200, PlanView.of(plan)).response()

    async def place(self, asked: Asked, scope: Mapping[str, Any]) -> Response:
        """Claim, send, answer; or replay the answer of whoever was first. What is sold out starts nothing."""
        await self._refuse_sold_out(asked)
        claim = await self._claim(asked)
        if not claim.same_body and claim.by_key:
            raise IdempotencyKeyReused
        if not claim.same_body:
            raise ClientOrderNoReused(asked.client_order_no or "", claim.order_no)
        if claim.answer is not None:
            return self._show(claim.answer, scope, replayed=True)
        if not claim.mine:
            raise RequestInFlight
        return await self._send(claim.order_no, asked, scope)

    async def _refuse_sold_out(self, asked: Asked) -> None:
        """Raises InsufficientStock for a new wish of what was refused a moment ago and is still gone.

        Nothing is claimed or kept: the same key may ask again when there is stock.
        """
        wanted = asked.demand
        if not self._parts.sold_out.suspects(wanted):
            return
        async with self._parts.database.reading() as connection:
            left = await order_stock.sold_out(connection, wanted)
            if left and not await order_claims.exists(
                connection,
                distributor_id=asked.distributor_id,
                idempotency_key=asked.key,
                client_order_no=asked.client_order_no,
            ):
                self._parts.sold_out.note(left)
                raise InsufficientStock(left)

    async def _claim(self, asked: Asked) -> Claim:
        patience_s = 2 * self._parts.settings.place_timeout_s + GRACE_S
        async with self._parts.database.reading() as connection:
            return await order_claims.claim(
                connection,
                order_no=asked.order_no or self._parts.next_order_no(asked.buyer),
                distributor_id=asked.distributor_id,
                idempotency_key=asked.key,
                body_hash=asked.body_hash,
                client_order_no=asked.client_order_no,
                request=asked.request,
                patience_s=patience_s,
            )

    async def _send(self, order_no: int, asked: Asked, scope: Mapping[str, Any]) -> Response:
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
                distributor_id=asked.distributor_id,
                title=asked.title,
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


def timings_of(parts: Parts) -> OrderTimings:
    """The durations that a plan is made with."""
    return OrderTimings(parts.settings.lock_s, parts.settings.lock_ceiling_s, parts.settings.review_s)
