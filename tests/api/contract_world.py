"""A running installation for the contract's tests: everybody's keys, and orders, cases and accounts made as needed."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2
from standardwebhooks import Webhook

from api import contract
from domain.access import Role
from domain.supplier_catalog import derived_id

PATIENCE_S = 30.0
PARKED_QUANTITY = 260
"""More than the sample data's rule lets pass without a person's word."""

BUYER = "distributor"
OTHER = "other_distributor"
SHOPPER = "shopper"
LEAVING = "leaving_shopper"
"""Whose token is used up by the story of logging out."""

PASSWORD = "correct-horse-battery"
ROLES = ("anonymous", BUYER, OTHER, SHOPPER, *(str(role) for role in Role))

Json = dict[str, Any]


@dataclass
class World:
    """Speaks to one stack. `tokens`: by role; `secret`: of northgate's callbacks."""

    base_url: str
    tokens: dict[str, str]
    secret: str
    document: Json = field(default_factory=dict)
    _numbers: Any = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.http = httpx2.Client(base_url=self.base_url, timeout=30, trust_env=False)
        self.document = self.http.get("/openapi.json").json()

    def headers(self, role: str) -> dict[str, str]:
        """The role's key and a fresh Idempotency-Key."""
        token = self.tokens.get(role)
        key = {"Idempotency-Key": self.fresh("key")}
        return {"Authorization": f"Bearer {token}", **key} if token else key

    def fresh(self, prefix: str) -> str:
        """A name that nothing has yet."""
        return f"{prefix}-{time.time_ns():x}-{next(self._numbers)}"

    def get(self, role: str, path: str) -> Json:
        answer: Json = self.http.get(path, headers=self.headers(role)).raise_for_status().json()
        return answer

    def post(self, role: str, path: str, body: Json | None = None) -> Json:
        answer = self.http.post(path, headers=self.headers(role), json=body)
        assert answer.is_success, (path, answer.text)
        found: Json = answer.json()
        return found

    def order_body(self, quantity: int = 1) -> Json:
        """The contract's own example, in another quantity."""
        body: Json = json.loads(json.dumps(contract.BODIES["post", "/v1/orders"]))
        body["lines"][0]["quantity"] = quantity
        return body

    def locked(self) -> str:
        """The number of an order that waits to be confirmed."""
        return str(self.post(BUYER, "/v1/orders", self.order_body())["order_no"])

    def new_shopper(self) -> Json:
        """A shopper who is logged in: the token, and whose it is."""
        who = {"email": f"{self.fresh('shopper')}@buyer.example", "password": PASSWORD}
        self.post("anonymous", "/v1/users", {**who, "name": "Li Lei"})
        return self.post("anonymous", "/v1/users/login", who)

    def checkout(self) -> str:
        """The id of a checkout of the shopper's."""
        return str(self.post(SHOPPER, "/v1/checkouts", dict(contract.BODIES["post", "/v1/checkouts"]))["id"])

    def parked(self) -> str:
        """The number of an order that waits for an operator's review."""
        placed = self.post(BUYER, "/v1/orders", self.order_body(PARKED_QUANTITY))
        assert placed["in_review"], placed
        return str(placed["order_no"])

    def issued(self) -> str:
        """The number of an order with tickets."""
        number = self.locked()
        self.post(BUYER, f"/v1/orders/{number}/confirm?wait_s=5")
        self.wait(lambda: self.get(BUYER, f"/v1/orders/{number}")["status"] == "issued", f"order {number} is issued")
        return number

    def parcel(self) -> str:
        """The number of an order whose goods a carrier has."""
        product = self.get(BUYER, f"/v1/products/{derived_id('prd', 'seed', 'tote-bag')}")
        sku = product["skus"][0]
        body = {
            "lines": [{"sku_id": sku["id"], "quantity": 1, "unit_price": sku["price"]}], "currency": "CNY",
            "ship_to": {
                "receiver": "Li Lei", "phone": "+86 10 5550 0100", "country": "CN", "region": "Shanghai",
                "city": "Shanghai", "street": "1 Nanjing Road",
            },
        }  # fmt: skip
        number = str(self.post(BUYER, "/v1/orders", body)["order_no"])
        self.post(BUYER, f"/v1/orders/{number}/confirm?wait_s=5")
        self.wait(lambda: self.get(BUYER, f"/v1/orders/{number}")["status"] == "issued", f"order {number} is issued")
        return number

    def new_offer(self) -> str:
        body = {**contract.BODIES["post", "/v1/offers"], "supplier_product_id": self.fresh("service")}
        return str(self.post("admin", "/v1/offers", body)["id"])

    def ticket(self) -> Json:
        """A ticket that is valid now, as its order shows it."""
        order = self.get(BUYER, f"/v1/orders/{self.issued()}")
        found: Json = order["lines"][0]["tickets"][0]
        return found

    def case(self) -> str:
        """The id of a case: the supplier says that it has rejected what it had confirmed."""
        number = self.issued()
        order = self.get("admin", f"/v1/orders/{number}")
        booking = order["lines"][0]["bookings"][0]
        body = callback_body(booking["reference"])
        path = f"/v1/callbacks/suppliers/{booking['supplier_id']}"
        answer = self.http.post(path, content=body, headers=self.signed(body))
        assert answer.status_code == 204, answer.text

        def found() -> str | None:
            cases = self.get("admin", "/v1/exceptions?state=open&limit=100")["data"]
            return next((case["id"] for case in cases if case["order_no"] == number), None)

        return str(self.wait(found, f"order {number} has a case"))

    def bought(self) -> str:
        """The number of a shopper's order that waits to be paid."""
        return str(self.post(SHOPPER, "/v1/orders", {"checkout_id": self.checkout()})["order_no"])

    def paying(self) -> str:
        """The id of a payment that waits for its payer."""
        body = {**contract.BODIES["post", "/v1/payments"], "order_nos": [self.bought()]}
        return str(self.post(SHOPPER, "/v1/payments", body)["id"])

    def new_channel(self) -> str:
        """The id of a channel that nobody pays at."""
        name = self.fresh("channel")[:40]
        body = contract.BODIES["put", "/v1/payment-channels/{channel_id}"]
        self.http.put(f"/v1/payment-channels/{name}", headers=self.headers("admin"), json=body).raise_for_status()
        return name

    def signed(self, body: bytes, secret: str = "") -> dict[str, str]:
        """Headers of Standard Webhooks, as northgate would send them, or whoever has the secret."""
        message_id, now = self.fresh("msg"), datetime.now(UTC)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret or self.secret).sign(message_id, now, body.decode()),
            "content-type": "application/json",
        }

    def wait(self, question: Callable[[], Any], what: str) -> Any:
        """Asks until the answer is true; it is returned."""
        deadline = time.monotonic() + PATIENCE_S
        while not (answer := question()):
            assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
            time.sleep(0.1)  # Schemathesis calls from threads of its own, without an event loop; the API is only asked
        return answer

    def new_supplier(self) -> str:
        supplier_id = self.fresh("sup")
        self.post("admin", "/v1/suppliers", {**contract.BODIES["post", "/v1/suppliers"], "id": supplier_id})
        return supplier_id

    def new_warehouse(self) -> str:
        warehouse_id = self.fresh("whs")
        self.post("admin", "/v1/warehouses", {**contract.BODIES["post", "/v1/warehouses"], "id": warehouse_id})
        return warehouse_id

    def stocktake(self, *, counted: bool = False) -> str:
        """The id of an open stocktake in a new warehouse; `counted`: as there is nothing, none was found."""
        body = {"warehouse_id": self.new_warehouse(), "sku_ids": [contract.OWN_QUOTA]}
        stocktake_id = str(self.post("admin", "/v1/stocktakes", body)["id"])
        if counted:
            counts = {"counts": [{"sku_id": contract.OWN_QUOTA, "counted": 0}]}
            self.post("admin", f"/v1/stocktakes/{stocktake_id}/counts", counts)
        return stocktake_id

    def new_distributor(self) -> str:
        body = {"name": "Throwaway", "currency": "CNY", "time_zone": "UTC"}
        return str(self.post("admin", "/v1/distributors", body)["id"])

    def new_operator(self) -> str:
        return str(self.post("admin", "/v1/operators", {"name": "Throwaway", "role": "support"})["id"])

    def new_key(self, group: str, owner: str) -> str:
        return str(self.post("admin", f"/v1/{group}/{owner}/keys", {"days": 1})["id"])

    def new_promotion(self) -> str:
        body = contract.BODIES["post", "/v1/promotions"]
        return str(self.post("admin", "/v1/promotions", dict(body))["id"])

    def new_voucher(self) -> str:
        return str(self._voucher()["id"])

    def voucher_code(self) -> str:
        """The code of a voucher that is nobody's yet."""
        return str(self._voucher()["code"])

    def _voucher(self) -> Json:
        body = {name: value for name, value in contract.BODIES["post", "/v1/vouchers"].items() if name != "user_id"}
        return self.post("admin", "/v1/vouchers", body)

    def new_coupon(self) -> Json:
        """A coupon that nobody has: its id and its code."""
        issued = self.post("admin", f"/v1/promotions/{self.new_promotion()}/coupons", {})
        coupon: Json = issued["coupons"][0]
        return coupon

    def import_body(self) -> Json:
        """The contract's own example of a merchant's document."""
        body = self.document["paths"]["/v1/products/import"]["post"]["requestBody"]["content"]
        example: Json = body["application/json"]["example"]
        return example

    def new_category(self) -> str:
        body = {"id": self.fresh("cat"), "parent_id": "ticket", "name": "Throwaway"}
        return str(self.post("admin", "/v1/categories", body)["id"])

    def new_brand(self) -> str:
        return str(self.post("admin", "/v1/brands", {"id": self.fresh("brand"), "name": "Throwaway"})["id"])

    def new_import(self) -> str:
        headers = {**self.headers("admin"), "content-type": "application/x-ndjson"}
        content = json.dumps(self.import_body()).encode()
        answer = self.http.post("/v1/catalog-imports", content=content, headers=headers)
        return str(answer.raise_for_status().json()["id"])

    def new_draft(self) -> Json:
        return self.post("admin", "/v1/products/import", self.import_body())


def callback_body(reference: str) -> bytes:
    """An OCTO booking that its supplier has rejected."""
    return json.dumps({"id": reference, "uuid": reference, "status": "REJECTED", "unitItems": []}).encode()


def channel_notice(reference: str) -> bytes:
    """What PayBridge says about a payment that nobody has paid yet."""
    data = {
        "id": "pay_contract", "reference": reference, "status": "waiting", "amount_minor": 100, "currency": "CNY",
        "failure": None, "charges": [],
    }  # fmt: skip
    return json.dumps({"type": "payment.waiting", "at": datetime.now(UTC).isoformat(), "data": data}).encode()
