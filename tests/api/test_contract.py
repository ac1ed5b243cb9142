"""The whole contract against a real installation: each operation succeeds for somebody, and whatever else is sent by
anybody, the answer is one that the contract documents.

The first test takes every operation to a 2xx with existing ids; the second lets schemathesis loose as each role.
Longer, with boundaries and sequences: `make contract`.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import seeding
from api import contract
from embedded.stack import Stack, StackOptions
from settings import Settings
from simulators.payment.channels import opened
from storage.database import Database
from storage.supplier_contracts import get_supplier
from tests.api.contract_fuzzing import Findings, Pools, fuzz
from tests.api.contract_world import (
    BUYER,
    LEAVING,
    OTHER,
    PASSWORD,
    ROLES,
    SHOPPER,
    World,
    callback_body,
    channel_notice,
)

SEED = 20261122
CONFORMANCE: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
QUICK = (BUYER, SHOPPER, "operations", "anonymous", "admin")
"""The roles of the short run; `admin` comes last, since it may revoke the others' keys."""

ONLY_TOLD = frozenset(
    {
        "POST /v1/callbacks/suppliers/{supplier_id}",
        "POST /v1/callbacks/payments/{channel_id}",
        "POST /v1/vouchers/claim",
        "POST /v1/gate/redemptions",
        "POST /v1/users/login",
        "POST /v1/users/logout",
    }
)
"""Signed, with a code or a password that only its owner has, or at the end of a role: nothing generated succeeds."""

CHANNEL_SECRET = opened("paybridge", "paybridge").callback_secret
"""As the sample data's contract has it: the simulator's own."""

Parameters = dict[str, str]
Wish = tuple[Parameters, Any]
Story = dict[str, tuple[str, Callable[[World], Wish]]]


async def _seed(settings: Settings) -> None:
    await seeding.run(settings)


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The whole stack with its sample data, as `tessera up` makes it."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("contract"))
    async with Stack(settings, StackOptions(usual_ports=False), seed=_seed) as stack:
        keys = json.loads((stack.data_dir / "keys.json").read_text())
        tokens = {name.removeprefix("opr_"): token for name, token in keys["operators"].items()}
        tokens |= {BUYER: keys["distributors"]["meridian"], OTHER: keys["distributors"]["harbour"]}
        world = World(stack.settings.api_url, tokens, await _secret(stack.settings))
        tokens[SHOPPER] = (await asyncio.to_thread(world.new_shopper))["token"]
        yield world


async def _secret(settings: Settings) -> str:
    assert settings.api_database_url is not None
    async with Database(settings.api_database_url, pool_max=1) as database, database.reading() as cx:
        return str((await get_supplier(cx, "northgate")).callback_secret)


def _example(label: str) -> Any:
    method, path = label.split(" ")
    return contract.BODIES[method.lower(), path]


def _plain(**parameters: str) -> Callable[[World], Wish]:
    return lambda _: (parameters, None)


def _on_order(number: Callable[[World], str], body: Any = None) -> Callable[[World], Wish]:
    return lambda world: ({"order_no": number(world)}, body)


def _key(group: str, name: str, owner: Callable[[World], str]) -> Callable[[World], Wish]:
    def wish(world: World) -> Wish:
        owner_id = owner(world)
        return {name: owner_id, "key_id": world.new_key(group, owner_id)}, None

    return wish


def _stock(label: str) -> Callable[[World], Wish]:
    """The contract's example under a new reference: each counts once."""
    return lambda world: ({"sku_id": contract.OWN_QUOTA}, {**_example(label), "reference": world.fresh("ref")})


def _of(label: str, make: Callable[[World], str], name: str) -> Callable[[World], Wish]:
    return lambda world: ({name: make(world)}, _example(label))


def _leave(world: World) -> Wish:
    world.tokens[LEAVING] = world.new_shopper()["token"]
    return {}, None


def _shopper(label: str) -> Callable[[World], Wish]:
    return _of(label, lambda world: str(world.new_shopper()["user"]["id"]), "user_id")


STORY: Story = {
    "POST /v1/checkouts": (SHOPPER, lambda _: ({}, _example("POST /v1/checkouts"))),
    "GET /v1/checkouts/{checkout_id}": (SHOPPER, lambda world: ({"checkout_id": world.checkout()}, None)),
    "POST /v1/users": (
        "anonymous",
        lambda world: ({}, {**_example("POST /v1/users"), "email": f"{world.fresh('new')}@buyer.example"}),
    ),
    "POST /v1/users/login": (
        "anonymous",
        lambda world: ({}, {"email": world.new_shopper()["user"]["email"], "password": PASSWORD}),
    ),
    "POST /v1/users/logout": (LEAVING, _leave),
    "GET /v1/users/me": (SHOPPER, _plain()),
    "GET /v1/users": ("finance", _plain()),
    "GET /v1/users/{user_id}": (
        "finance",
        lambda world: ({"user_id": str(world.new_shopper()["user"]["id"])}, None),
    ),
    "POST /v1/users/{user_id}/block": ("admin", _shopper("POST /v1/users/{user_id}/block")),
    "POST /v1/users/{user_id}/unblock": ("admin", _shopper("POST /v1/users/{user_id}/unblock")),
    "POST /v1/orders": (BUYER, lambda world: ({}, world.order_body())),
    "GET /v1/orders": (BUYER, _plain()),
    "GET /v1/orders/{order_no}": (BUYER, _on_order(World.locked)),
    "POST /v1/orders/{order_no}/confirm": (BUYER, _on_order(World.locked)),
    "POST /v1/orders/{order_no}/cancel": ("support", _on_order(World.locked, {"reason": "asked by the buyer"})),
    "POST /v1/orders/{order_no}/extend": (BUYER, _on_order(World.locked, {"by_s": 60})),
    "POST /v1/orders/{order_no}/review": (
        "operations",
        _on_order(World.parked, {"decision": "approve", "reason": "known customer"}),
    ),
    "GET /v1/orders/{order_no}/tickets/{line_no}/{unit}/qr.png": (
        BUYER,
        lambda world: ({"order_no": world.issued(), "line_no": "1", "unit": "0"}, None),
    ),
    "GET /v1/orders/{order_no}/tickets.pdf": (BUYER, _on_order(World.issued)),
    "GET /v1/tickets/{serial}": ("support", lambda world: ({"serial": world.ticket()["serial"]}, None)),
    "POST /v1/tickets/{serial}/void": (
        "operations",
        _of("POST /v1/tickets/{serial}/void", lambda world: str(world.ticket()["serial"]), "serial"),
    ),
    "POST /v1/gate/redemptions": (
        "gate",
        lambda world: ({}, {"code": world.ticket()["code"], "gate_id": "north-1"}),
    ),
    "POST /v1/gate/redemptions/batch": ("gate", lambda _: ({}, _example("POST /v1/gate/redemptions/batch"))),
    "GET /v1/gate/offline-list": ("gate", _plain(product_id=contract.PASS)),
    "GET /v1/gate/keys": ("anonymous", _plain()),
    "POST /v1/orders/{order_no}/lines/{line_no}/units/{unit}/waybill": (
        "operations",
        lambda world: (
            {"order_no": world.parcel(), "line_no": "1", "unit": "0"},
            _example("POST /v1/orders/{order_no}/lines/{line_no}/units/{unit}/waybill"),
        ),
    ),
    "POST /v1/offers": (
        "operations",
        lambda world: ({}, {**_example("POST /v1/offers"), "supplier_product_id": world.fresh("service")}),
    ),
    "GET /v1/offers": ("support", _plain()),
    "PATCH /v1/offers/{offer_id}": ("operations", _of("PATCH /v1/offers/{offer_id}", World.new_offer, "offer_id")),
    "POST /v1/skus/{sku_id}/codes": (
        "operations",
        lambda world: ({"sku_id": contract.AUDIO_GUIDE}, {"codes": [world.fresh("code")]}),
    ),
    "GET /v1/skus/{sku_id}/codes": ("support", _plain(sku_id=contract.AUDIO_GUIDE)),
    "POST /v1/skus/{sku_id}/codes/withdraw": (
        "operations",
        lambda world: ({"sku_id": world.new_draft()["skus"][0]["id"]}, None),
    ),
    "GET /v1/exceptions": ("support", _plain()),
    "GET /v1/exceptions/{case_id}": ("support", lambda world: ({"case_id": world.case()}, None)),
    "POST /v1/exceptions/{case_id}/decide": (
        "operations",
        lambda world: ({"case_id": world.case()}, {"decision": "keep", "reason": "seen at the gate"}),
    ),
    "GET /v1/events": (BUYER, _plain()),
    "GET /v1/me": (OTHER, _plain()),
    "POST /v1/distributors": (
        "admin",
        lambda _: ({}, {"name": "Acme", "currency": "CNY", "time_zone": "Asia/Shanghai"}),
    ),
    "GET /v1/distributors": ("finance", _plain()),
    "GET /v1/distributors/{distributor_id}": ("finance", _plain(distributor_id="meridian")),
    "GET /v1/distributors/{distributor_id}/credit-line": ("finance", _plain(distributor_id="meridian")),
    "PUT /v1/distributors/{distributor_id}/credit-line": (
        "admin",
        _of("PUT /v1/distributors/{distributor_id}/credit-line", World.new_distributor, "distributor_id"),
    ),
    "POST /v1/distributors/{distributor_id}/grants": (
        "admin",
        _of("POST /v1/distributors/{distributor_id}/grants", World.new_distributor, "distributor_id"),
    ),
    "GET /v1/distributors/{distributor_id}/grants": ("finance", _plain(distributor_id="meridian")),
    "POST /v1/operators": ("admin", lambda _: ({}, {"name": "Grace", "role": "support"})),
    "POST /v1/distributors/{distributor_id}/keys": (
        "admin",
        _of("POST /v1/distributors/{distributor_id}/keys", World.new_distributor, "distributor_id"),
    ),
    "GET /v1/distributors/{distributor_id}/keys": ("finance", _plain(distributor_id="meridian")),
    "POST /v1/distributors/{distributor_id}/keys/{key_id}/revoke": (
        "admin",
        _key("distributors", "distributor_id", World.new_distributor),
    ),
    "POST /v1/operators/{operator_id}/keys": (
        "admin",
        _of("POST /v1/operators/{operator_id}/keys", World.new_operator, "operator_id"),
    ),
    "POST /v1/operators/{operator_id}/keys/{key_id}/revoke": (
        "admin",
        _key("operators", "operator_id", World.new_operator),
    ),
    "POST /v1/products/import": ("catalogue", lambda world: ({}, world.import_body())),
    "GET /v1/products": (BUYER, _plain()),
    "GET /v1/products/{product_id}": (BUYER, _plain(product_id=contract.PASS)),
    "PATCH /v1/products/{product_id}": (
        "catalogue",
        lambda world: ({"product_id": world.new_draft()["id"]}, {"description": "Three houses, one day."}),
    ),
    "GET /v1/products/{product_id}/sessions": (BUYER, _plain(product_id=contract.PASS)),
    "GET /v1/products/{product_id}/operations": ("catalogue", _plain(product_id=contract.PASS)),
    "POST /v1/products/{product_id}/transitions": (
        "catalogue",
        _of("POST /v1/products/{product_id}/transitions", lambda world: str(world.new_draft()["id"]), "product_id"),
    ),
    "GET /v1/products/search": (BUYER, _plain()),
    "GET /v1/products/changes": (BUYER, _plain()),
    "POST /v1/categories": (
        "catalogue",
        lambda world: ({}, {**_example("POST /v1/categories"), "id": world.fresh("cat")}),
    ),
    "GET /v1/categories": (BUYER, _plain()),
    "GET /v1/categories/{category_id}": (BUYER, _plain(category_id="ticket")),
    "PATCH /v1/categories/{category_id}": (
        "catalogue",
        _of("PATCH /v1/categories/{category_id}", World.new_category, "category_id"),
    ),
    "GET /v1/categories/{category_id}/attributes": (BUYER, _plain(category_id="ticket")),
    "PUT /v1/categories/{category_id}/attributes/{attribute_id}": (
        "catalogue",
        lambda world: (
            {"category_id": world.new_category(), "attribute_id": "201"},
            _example("PUT /v1/categories/{category_id}/attributes/{attribute_id}"),
        ),
    ),
    "POST /v1/brands": (
        "catalogue",
        lambda world: ({}, {**_example("POST /v1/brands"), "id": world.fresh("brand")}),
    ),
    "GET /v1/brands": (BUYER, _plain()),
    "PATCH /v1/brands/{brand_id}": ("catalogue", _of("PATCH /v1/brands/{brand_id}", World.new_brand, "brand_id")),
    "POST /v1/catalog-imports": ("catalogue", lambda world: ({}, json.dumps(world.import_body()).encode())),
    "GET /v1/catalog-imports": ("catalogue", _plain()),
    "GET /v1/catalog-imports/{import_id}": ("catalogue", lambda world: ({"import_id": world.new_import()}, None)),
    "GET /v1/catalog-imports/{import_id}/rows": ("catalogue", lambda world: ({"import_id": world.new_import()}, None)),
    "POST /v1/skus/{sku_id}/prices": (
        "catalogue",
        _of("POST /v1/skus/{sku_id}/prices", lambda _: contract.OWN_QUOTA, "sku_id"),
    ),
    "PUT /v1/skus/{sku_id}/stock-policy": (
        "catalogue",
        _of("PUT /v1/skus/{sku_id}/stock-policy", lambda _: contract.OWN_QUOTA, "sku_id"),
    ),
    "GET /v1/stock": ("support", _plain()),
    "POST /v1/skus/{sku_id}/receipts": ("operations", _stock("POST /v1/skus/{sku_id}/receipts")),
    "POST /v1/skus/{sku_id}/adjustments": ("operations", _stock("POST /v1/skus/{sku_id}/adjustments")),
    "POST /v1/promotions": ("catalogue", lambda _: ({}, _example("POST /v1/promotions"))),
    "GET /v1/promotions": (BUYER, _plain()),
    "GET /v1/promotions/{promotion_id}": (BUYER, lambda world: ({"promotion_id": world.new_promotion()}, None)),
    "PATCH /v1/promotions/{promotion_id}": (
        "catalogue",
        _of("PATCH /v1/promotions/{promotion_id}", World.new_promotion, "promotion_id"),
    ),
    "POST /v1/promotions/{promotion_id}/transitions": (
        "catalogue",
        _of("POST /v1/promotions/{promotion_id}/transitions", World.new_promotion, "promotion_id"),
    ),
    "POST /v1/promotions/{promotion_id}/coupons": (
        "catalogue",
        _of("POST /v1/promotions/{promotion_id}/coupons", World.new_promotion, "promotion_id"),
    ),
    "POST /v1/users/{user_id}/coins": ("finance", _shopper("POST /v1/users/{user_id}/coins")),
    "GET /v1/users/{user_id}/balances": (
        "support",
        lambda world: ({"user_id": str(world.new_shopper()["user"]["id"])}, None),
    ),
    "GET /v1/balances": (SHOPPER, _plain()),
    "POST /v1/vouchers/claim": (SHOPPER, lambda world: ({}, {"code": world.voucher_code()})),
    "POST /v1/vouchers": ("finance", lambda _: ({}, _example("POST /v1/vouchers"))),
    "GET /v1/vouchers": ("support", _plain()),
    "POST /v1/vouchers/{voucher_id}/transitions": (
        "finance",
        _of("POST /v1/vouchers/{voucher_id}/transitions", World.new_voucher, "voucher_id"),
    ),
    "GET /v1/coupons": ("support", _plain()),
    "POST /v1/coupons/claims": (BUYER, lambda _: ({}, _example("POST /v1/coupons/claims"))),
    "POST /v1/coupons/{coupon_id}/expire": (
        "catalogue",
        lambda world: ({"coupon_id": str(world.new_coupon()["id"])}, None),
    ),
    "POST /v1/skus/{sku_id}/transfers": ("operations", _stock("POST /v1/skus/{sku_id}/transfers")),
    "PUT /v1/skus/{sku_id}/stock-alert": (
        "operations",
        _of("PUT /v1/skus/{sku_id}/stock-alert", lambda _: contract.OWN_QUOTA, "sku_id"),
    ),
    "GET /v1/stock-alerts": ("support", _plain()),
    "POST /v1/warehouses": (
        "operations",
        lambda world: ({}, {**_example("POST /v1/warehouses"), "id": world.fresh("whs")}),
    ),
    "GET /v1/warehouses": ("support", _plain()),
    "GET /v1/warehouses/{warehouse_id}": ("support", _plain(warehouse_id="main")),
    "PATCH /v1/warehouses/{warehouse_id}": (
        "operations",
        _of("PATCH /v1/warehouses/{warehouse_id}", World.new_warehouse, "warehouse_id"),
    ),
    "POST /v1/stocktakes": (
        "operations",
        lambda world: ({}, {**_example("POST /v1/stocktakes"), "warehouse_id": world.new_warehouse()}),
    ),
    "GET /v1/stocktakes": ("support", _plain()),
    "GET /v1/stocktakes/{stocktake_id}": ("support", lambda world: ({"stocktake_id": world.stocktake()}, None)),
    "POST /v1/stocktakes/{stocktake_id}/counts": (
        "operations",
        _of("POST /v1/stocktakes/{stocktake_id}/counts", World.stocktake, "stocktake_id"),
    ),
    "POST /v1/stocktakes/{stocktake_id}/close": (
        "operations",
        lambda world: ({"stocktake_id": world.stocktake(counted=True)}, None),
    ),
    "POST /v1/stocktakes/{stocktake_id}/cancel": (
        "operations",
        lambda world: ({"stocktake_id": world.stocktake()}, None),
    ),
    "POST /v1/suppliers": (
        "operations",
        lambda world: ({}, {**_example("POST /v1/suppliers"), "id": world.fresh("sup")}),
    ),
    "GET /v1/suppliers": ("support", _plain()),
    "GET /v1/suppliers/{supplier_id}": ("support", _plain(supplier_id="northgate")),
    "PATCH /v1/suppliers/{supplier_id}": (
        "operations",
        _of("PATCH /v1/suppliers/{supplier_id}", World.new_supplier, "supplier_id"),
    ),
    "GET /v1/suppliers/{supplier_id}/scorecard": ("support", _plain(supplier_id="northgate")),
    "GET /v1/suppliers/{supplier_id}/breaker": ("support", _plain(supplier_id="northgate")),
    "PUT /v1/suppliers/{supplier_id}/breaker": (
        "operations",
        _of("PUT /v1/suppliers/{supplier_id}/breaker", World.new_supplier, "supplier_id"),
    ),
    "POST /v1/suppliers/{supplier_id}/catalog-syncs": ("operations", _plain(supplier_id="grandstand")),
    "GET /v1/suppliers/{supplier_id}/catalog-sync": ("support", _plain(supplier_id="grandstand")),
    "POST /v1/callbacks/suppliers/{supplier_id}": ("supplier", _plain(supplier_id="northgate")),
    "GET /v1/payment-channels": (SHOPPER, _plain()),
    "GET /v1/payment-channels/{channel_id}": ("finance", _plain(channel_id="paybridge")),
    "PUT /v1/payment-channels/{channel_id}": (
        "finance",
        lambda world: (
            {"channel_id": world.fresh("channel")[:40]},
            _example("PUT /v1/payment-channels/{channel_id}"),
        ),
    ),
    "POST /v1/payments": (
        SHOPPER,
        lambda world: ({}, {**_example("POST /v1/payments"), "order_nos": [world.bought()]}),
    ),
    "GET /v1/payments": (SHOPPER, _plain()),
    "GET /v1/payments/{payment_id}": (SHOPPER, lambda world: ({"payment_id": world.paying()}, None)),
    "POST /v1/payments/{payment_id}/cancel": (
        SHOPPER,
        _of("POST /v1/payments/{payment_id}/cancel", World.paying, "payment_id"),
    ),
    "POST /v1/callbacks/payments/{channel_id}": ("channel", _plain(channel_id="paybridge")),
    "GET /livez": ("anonymous", _plain()),
    "GET /readyz": ("anonymous", _plain()),
    "GET /metrics": ("anonymous", _plain()),
    "GET /errors": ("anonymous", _plain()),
    "GET /errors/{code}": ("anonymous", _plain(code="rate_limited")),
}
"""For every operation: who may do it, and a wish that succeeds on the sample data."""


def told(world: World) -> tuple[dict[str, int], list[str]]:
    """Sends the story: what each operation answered, and where an answer is not as the contract says."""
    schema: Any = schemathesis.openapi.from_dict(world.document)
    answers, failures = {}, []
    for label, (role, wish) in STORY.items():
        method, path = label.split(" ")
        parameters, body = wish(world)
        query = {name: value for name, value in parameters.items() if f"{{{name}}}" not in path}
        case = schema[path][method].Case(
            path_parameters=parameters, query=query, **({} if body is None else {"body": body})
        )
        answer = _send(world, role, method, str(httpx2.URL(path.format(**parameters), params=query)), body)
        answers[label] = answer.status_code
        try:
            case.validate_response(answer, checks=CONFORMANCE)
        except FailureGroup as group:
            failures += [f"{label}: {failure}" for failure in group.exceptions]
        if not answer.is_success:
            failures.append(f"{label} as {role}: {answer.status_code} {answer.text[:300]}")
    return answers, failures


def _send(world: World, role: str, method: str, path: str, body: Any) -> httpx2.Response:
    if role == "supplier":
        content = callback_body("00000000-0000-0000-0000-000000000000")
        return world.http.request(method, path, content=content, headers=world.signed(content))
    if role == "channel":
        content = channel_notice(world.paying())
        return world.http.request(method, path, content=content, headers=world.signed(content, CHANNEL_SECRET))
    if isinstance(body, bytes):
        headers = {**world.headers(role), "content-type": "application/x-ndjson"}
        return world.http.request(method, path, content=body, headers=headers)
    return world.http.request(method, path, json=body, headers=world.headers(role))


def pools(world: World) -> Pools:
    """Ids that exist, by parameter; what is changed there matters to nobody else."""
    draft, distributor, operator = world.new_draft(), world.new_distributor(), world.new_operator()
    orders = [world.locked(), world.locked(), world.parked(), world.issued()]
    return {
        "order_no": orders,
        "checkout_id": [world.checkout()],
        "payment_id": [world.paying(), world.paying()],
        "channel_id": [world.new_channel()],
        "user_id": [str(world.new_shopper()["user"]["id"])],
        "line_no": ["1"],
        "unit": ["0"],
        "serial": [world.ticket()["serial"], world.ticket()["serial"]],
        "GET /v1/orders/{order_no}/tickets.pdf order_no": orders[-1:],
        "GET /v1/orders/{order_no}/tickets/{line_no}/{unit}/qr.png order_no": orders[-1:],
        "case_id": [world.case()],
        "distributor_id": [distributor],
        "operator_id": [operator],
        "key_id": [world.new_key("distributors", distributor), world.new_key("operators", operator)],
        "product_id": [draft["id"]],
        "GET /v1/products/{product_id} product_id": [draft["id"], contract.PASS],
        "GET /v1/products/{product_id}/sessions product_id": [draft["id"], contract.PASS],
        "sku_id": [draft["skus"][0]["id"]],
        "supplier_id": [world.new_supplier()],
        "offer_id": [world.new_offer()],
        "promotion_id": [world.new_promotion(), world.new_promotion()],
        "voucher_id": [world.new_voucher(), world.new_voucher()],
        "coupon_id": [str(world.new_coupon()["id"])],
        "warehouse_id": [world.new_warehouse()],
        "stocktake_id": [world.stocktake(), world.stocktake(), world.stocktake(counted=True)],
        "category_id": [world.new_category()],
        "brand_id": [world.new_brand()],
        "import_id": [world.new_import()],
        "POST /v1/suppliers/{supplier_id}/catalog-syncs supplier_id": ["grandstand", "nobody"],
        "GET /v1/suppliers/{supplier_id}/catalog-sync supplier_id": ["grandstand"],
    }


async def test_the_story_has_every_operation(world: World) -> None:
    assert {f"{method.upper()} {path}" for (method, path), _ in contract.operations(world.document)} == set(STORY)


async def test_every_operation_succeeds_for_somebody_as_the_contract_says(world: World) -> None:
    answers, failures = await asyncio.to_thread(told, world)
    assert failures == []
    never = [label for label, status in answers.items() if not 200 <= status < 300]
    assert never == []


async def test_whatever_anybody_sends_is_answered_as_the_contract_says(world: World) -> None:
    """The bounded run: a few generated and broken inputs per operation and role."""
    known = await asyncio.to_thread(pools, world)
    for role in QUICK:
        found = await asyncio.to_thread(
            fuzz, world, role, known, examples=1, boundaries=False, stateful=False, seed=SEED
        )
        assert not (text := found.text()), f"seed {SEED}, role {role}:\n{text}"
        assert found.cases >= len(STORY), f"role {role} sent only {found.cases} requests"


@pytest.mark.long
async def test_as_every_role_with_boundaries_and_sequences(world: World) -> None:
    """`make contract`: figures are printed; each operation has to be reached with 2xx by generated requests, too."""
    reached: set[str] = set()
    text = ""
    for role in sorted(ROLES, key=lambda name: name == "admin"):
        known = await asyncio.to_thread(pools, world)
        found = await asyncio.to_thread(
            fuzz, world, role, known, examples=20, boundaries=True, stateful=True, seed=SEED
        )
        reached |= found.reached
        print(_figures(role, found))
        text += f"\n== {role}\n{problems}" if (problems := found.text()) else ""
    assert not text, f"seed {SEED}: {text}"
    never = set(STORY) - reached - ONLY_TOLD
    assert never == set(), f"seed {SEED}: never reached with 2xx by generated requests"


def _figures(role: str, found: Findings) -> str:
    statuses: Counter[int] = sum(found.statuses.values(), Counter())
    kinds = ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
    return f"{role}: {found.cases} requests, {len(found.reached)} of {len(STORY)} operations with 2xx ({kinds})"
