"""What one shopper owns another can neither read nor infer: every GET route, with the ids of somebody else's things.

Security, from others' failures: whatever a route shows, it shows within its caller's fence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from httpx2 import AsyncClient, Response

from domain.access import HOUSE, Role
from storage.checkouts import CheckoutRow, add_checkout
from storage.database import Database
from tests.api.conftest import Caller, Clock, Maker
from tests.api.gate_world import GateWorld, Issued, world

__all__ = ["world"]  # fixture

_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")
UNFENCED = frozenset({"/metrics", "/readyz"})
"""How the process is: no names of anybody's things are in it."""


@dataclass
class Things:
    """One of everything that can be somebody's, and what of it nobody else may see."""

    shopper: Caller
    issued: Issued
    checkout_id: str
    promotion_id: str
    coupon_id: str
    payment_id: str
    secrets: list[str] = field(default_factory=list)

    @property
    def ids(self) -> dict[str, str]:
        """By the name that paths have for it."""
        return {
            "order_no": f"{self.issued.order_no:019d}",
            "serial": self.issued.ref().serial,
            "checkout_id": self.checkout_id,
            "promotion_id": self.promotion_id,
            "coupon_id": self.coupon_id,
            "payment_id": self.payment_id,
            "user_id": self.shopper.id,
            "product_id": self.issued.product_id,
            "line_no": "1",
            "unit": "0",
        }


@pytest.fixture
async def things(world: GateWorld, a_shopper: Maker, clock: Clock, database: Database) -> Things:
    """An issued order, a checkout, a coupon, a promotion and a payment of one shopper."""
    shopper = await a_shopper()
    issued = await world.order(Caller(HOUSE, shopper.token, ""))
    number = issued.order_no
    promotion_id, coupon_id, code = f"prm-{number}", f"cpn-{number}", f"MINE-{number % 10**6}"
    checkout_no, payment_id = number - 10**15, f"pay-{number}"
    async with world.owner.transaction() as cx:
        await cx.execute(
            "UPDATE orders SET buyer_ref = %s, pays = 'by_channel', contact = '{\"full_name\": \"Han Meimei\"}' "
            "WHERE order_no = %s",
            (shopper.id, number),
        )
        await cx.execute(
            "INSERT INTO promotions (id, name, kind, terms, scope, currency, valid_from, created_at, updated_at) "
            "VALUES (%s, 'For one', 'percent_off', '{\"kind\": \"percent_off\", \"percent_bp\": 1000}', "
            "jsonb_build_object('product_ids', '[]'::jsonb, 'sku_ids', '[]'::jsonb, 'category_ids', '[]'::jsonb, "
            "'channels', '[]'::jsonb, 'distributor_ids', jsonb_build_array('house'), "
            "'buyer_refs', jsonb_build_array(%s::text)), 'CNY', now(), now(), now())",
            (promotion_id, shopper.id),
        )
        await cx.execute(
            "INSERT INTO coupons (id, code, promotion_id, state, distributor_id, buyer_ref, most_uses, issued_at, "
            "claimed_at) VALUES (%s, %s, %s, 'claimed', 'house', %s, 1, now(), now())",
            (coupon_id, code, promotion_id, shopper.id),
        )
        await cx.execute(
            "INSERT INTO pay_orders (id, buyer_id, distributor_id, idempotency_key, body_hash, host_workflow_id, "
            "currency, total_minor, cash_minor, coins_minor, created_at, updated_at) "
            "VALUES (%s, %s, 'house', 'k', '', 'none', 'CNY', 100, 0, 100, now(), now())",
            (payment_id, shopper.id),
        )
        await cx.execute(
            "INSERT INTO pay_order_parts (pay_id, order_no, rank, amount_minor, cash_minor, coins_minor, voucher_minor)"
            " VALUES (%s, %s, 1, 100, 0, 100, 0)",
            (payment_id, number),
        )
    async with database.transaction() as cx:
        await add_checkout(
            cx,
            CheckoutRow(
                id=f"chk-{checkout_no}", order_no=checkout_no, user_id=shopper.id,
                request={"buyer_ref": shopper.id, "lines": []}, shown={"lines": [], "kinds": ["ticket"]},
                currency="CNY", total_minor=4711, expires_at=clock.now, created_at=clock.now,
            ),
        )  # fmt: skip
    things = Things(shopper, issued, f"chk-{checkout_no}", promotion_id, coupon_id, payment_id)
    things.secrets = [
        f'"{number:019d}"', issued.path, shopper.id, "Han Meimei", promotion_id, coupon_id, code, payment_id,
        str(checkout_no),
        await world.token(issued),
    ]  # fmt: skip
    return things


def reads(app: FastAPI) -> list[str]:
    """The paths of every GET route in the contract."""
    return [
        route.path
        for route in app.router.routes
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()) and route.include_in_schema
        and route.path not in UNFENCED
    ]  # fmt: skip


def filled(path: str, ids: dict[str, str]) -> str:
    return _PARAMETER.sub(lambda match: ids.get(match[1], "none"), path)


def of_the_other(path: str, ids: dict[str, str]) -> bool:
    """Whether the path names something that belongs to one shopper."""
    return any(name not in ("product_id", "line_no", "unit") and name in ids for name in _PARAMETER.findall(path))


def plain(answer: Response) -> dict[str, Any]:
    """A refusal without what is the request's own."""
    problem = answer.json()
    return {name: problem[name] for name in ("code", "status", "title", "retryable", "errors")}


async def test_no_read_shows_another_shoppers_things(
    api: AsyncClient, app: FastAPI, a_shopper: Maker, things: Things
) -> None:
    stranger = await a_shopper()
    paths = reads(app)
    assert len(paths) > 40
    for path in paths:
        answer = await api.get(filled(path, things.ids), headers=stranger.headers)
        if answer.is_success:
            assert not of_the_other(path, things.ids), path
            found = [secret for secret in things.secrets if secret.encode() in answer.content]
            assert found == [], (path, found)
        else:
            assert answer.status_code in (403, 404, 422), (path, answer.text)


async def test_a_foreign_id_answers_as_one_that_does_not_exist(
    api: AsyncClient, app: FastAPI, a_shopper: Maker, things: Things
) -> None:
    stranger = await a_shopper()
    unknown = {
        **things.ids, "order_no": "1039999999999999999", "checkout_id": "chk-1", "promotion_id": "prm-none",
        "user_id": "usr-none", "coupon_id": "cpn-none", "payment_id": "pay-1039999999999999999",
        "serial": "00000-00000-00000-00000",
    }  # fmt: skip
    compared = 0
    for path in reads(app):
        if of_the_other(path, things.ids):
            foreign = await api.get(filled(path, things.ids), headers=stranger.headers)
            missing = await api.get(filled(path, unknown), headers=stranger.headers)
            assert plain(foreign) == plain(missing), path
            compared += 1
    assert compared >= 8


async def test_the_shopper_reads_all_of_it(api: AsyncClient, things: Things) -> None:
    """So that what the others don't see is there to be seen."""
    for path in (
        things.issued.path, f"{things.issued.path}/tickets.pdf", f"{things.issued.path}/tickets/1/0/qr.png",
        f"/v1/tickets/{things.issued.ref().serial}", f"/v1/checkouts/{things.checkout_id}",
        f"/v1/promotions/{things.promotion_id}", f"/v1/payments/{things.payment_id}",
    ):  # fmt: skip
        answer = await api.get(path, headers=things.shopper.headers)
        assert answer.status_code == 200, (path, answer.text)
    for path, known in (("/v1/orders", "order_no"), ("/v1/coupons", "id"), ("/v1/promotions?limit=100", "id")):
        rows = (await api.get(path, headers=things.shopper.headers)).json()["data"]
        assert things.ids["order_no" if known == "order_no" else _id_of(path)] in [row[known] for row in rows], path


def _id_of(path: str) -> str:
    return "coupon_id" if "coupons" in path else "promotion_id"


async def test_a_filter_by_another_buyer_opens_nothing(api: AsyncClient, a_shopper: Maker, things: Things) -> None:
    stranger = await a_shopper()
    for path in ("/v1/orders", "/v1/coupons"):
        answer = await api.get(path, params={"buyer_ref": things.shopper.id}, headers=stranger.headers)
        assert answer.json()["data"] == []
    answer = await api.get("/v1/orders", params={"distributor_id": HOUSE}, headers=stranger.headers)
    assert answer.json()["data"] == []


async def test_a_shopper_sees_the_shelf_as_a_customer_does(
    api: AsyncClient, a_shopper: Maker, an_operator: Maker, things: Things
) -> None:
    path = f"/v1/products/{things.issued.product_id}"
    shown = (await api.get(path, headers=(await a_shopper()).headers)).json()
    assert [(sku["prices"], sku["offers"]) for sku in shown["skus"]] == [(None, None)]
    operators = (await api.get(path, headers=(await an_operator(Role.CATALOGUE)).headers)).json()
    assert [(sku["prices"], sku["offers"]) for sku in operators["skus"]] == [([], [])]


async def test_distributors_do_not_see_shoppers_orders(api: AsyncClient, a_distributor: Maker, things: Things) -> None:
    stranger = await a_distributor()
    assert (await api.get(things.issued.path, headers=stranger.headers)).json()["code"] == "order_not_found"
    assert (await api.get("/v1/orders", headers=stranger.headers)).json()["data"] == []
