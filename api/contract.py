"""What the OpenAPI document says beyond the code's own shapes: each parameter in words, and examples that work.

Ids follow from names in the sample data (`domain.supplier_catalog.derived_id`; a test compares), so that an example
sent as it is has an effect on an installation that `tessera up` has just made. Order, case and key ids are made by
use: take yours from the answer or the list that has them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

PASS, PASS_ADULT, PASS_ADULT_MINOR = "prd_b437d5a62c8354ac23a2", "sku_d309ee9d7679f7efa226", 20_000
"""Three Museums Pass: sold without a session, so that an example needs no date."""

OWN_QUOTA = "sku_9a1e4da7c36d832a1b35"
"""Bronze Age, adult: sold from our own stock."""

DEPOT = "west"
"""The sample data's second warehouse."""

DRAFT = "prd_9dd026e9ef962650d128"
"""The paper lantern, a draft."""

AUDIO_GUIDE = "sku_01751962d974b03a8a6d"
"""The audio guide for one day: sold from a pool of codes."""

CARRIED = "off_881876f41a2562d46220"
"""Swift Express carries all physical goods."""

SOMEBODY = "usr-0f3a9c1d2b4e5f60"
"""A shopper."""

ORDER_NO = "1039000000000000001"

Schema = dict[str, Any]
Operation = tuple[str, str]

PARAMETERS: Mapping[str, tuple[str, Any]] = {
    "path order_no": ("An order's number, as placing or the list of orders showed it.", ORDER_NO),
    "path case_id": ("A case's id, as the list of cases shows it.", f"xcp-{ORDER_NO}-1-escalated-1"),
    "path distributor_id": ("A distributor's id.", "meridian"),
    "path operator_id": ("An operator's id.", "opr_support"),
    "path key_id": ("The public part of a key: between `tsr_live_` and the secret.", "0f3a9c1d2b4e5f60"),
    "path product_id": ("A product's id.", PASS),
    "path sku_id": ("A variant's id.", OWN_QUOTA),
    "path supplier_id": ("A supplier's id.", "northgate"),
    "path offer_id": ("An offer's id.", CARRIED),
    "path line_no": ("The number of the order's line.", 1),
    "path unit": ("Which of the line's units (tickets, parcels, codes), from 0.", 0),
    "path serial": ("A ticket's serial, as it stands on it; hyphens may be left out.", "3KB8K-ZC38C-00400-20004"),
    "path promotion_id": ("A promotion's id.", "prm_summer"),
    "path coupon_id": ("A coupon's id.", "cpn_summer"),
    "path user_id": ("A shopper's id.", SOMEBODY),
    "path voucher_id": ("A voucher's id, as issuing or the list showed it.", "vch-0f3a9c1d2b4e5f60a1b2"),
    "path warehouse_id": ("A warehouse's id.", "main"),
    "path stocktake_id": ("A stocktake's id, as opening it or the list showed it.", "stk_0f3a9c1d2b4e5f60"),
    "path category_id": ("A category's id.", "ticket"),
    "path brand_id": ("A brand's id.", "2001"),
    "path attribute_id": ("An attribute's number, as documents name it.", 201),
    "path checkout_id": ("A checkout's id, as making it showed it.", f"chk-{ORDER_NO}"),
    "path payment_id": ("A payment's id, as making it or the list showed it.", f"pay-{ORDER_NO}"),
    "path channel_id": ("A payment channel's id.", "paybridge"),
    "path import_id": ("A bulk import's id, as its `Location` showed it.", "imp_0f3a9c1d2b4e5f60a1b2"),
    "query status": ("Only those in this state.", None),
    "query state": ("Only those in this state.", "open"),
    "query kind": ("Only those of this kind.", None),
    "query buyer_ref": ("Only this buyer's, by the distributor's own name for it.", None),
    "query client_order_no": ("The one with the distributor's own number.", None),
    "query supplier_id": ("Only this supplier's.", "northgate"),
    "query subject_id": ("The events of one order: its number.", ORDER_NO),
}
"""Description (where the code gives none) and example, by place and name. None: the example is left to the code."""

PATHS: Mapping[Operation, Mapping[str, str]] = {
    ("post", "/v1/products/{product_id}/transitions"): {"product_id": DRAFT},
    ("post", "/v1/skus/{sku_id}/codes"): {"sku_id": AUDIO_GUIDE},
    ("post", "/v1/skus/{sku_id}/codes/withdraw"): {"sku_id": AUDIO_GUIDE},
    ("get", "/v1/skus/{sku_id}/codes"): {"sku_id": AUDIO_GUIDE},
}
"""Operations whose example needs another id than the usual one."""

_REASON = "asked by the buyer"
_TOKEN = "TSR1.AAAQEAYEAUDAOCAJ"
"""Only the form of one: what a scanner reads is some 150 characters long."""

BODIES: Mapping[Operation, Mapping[str, Any]] = {
    ("post", "/v1/orders"): {
        "currency": "CNY",
        "buyer_ref": "buyer-7",
        "lines": [
            {
                "sku_id": PASS_ADULT,
                "quantity": 2,
                "unit_price": {"amount_minor": PASS_ADULT_MINOR, "currency": "CNY"},
            }
        ],
        "contact": {"full_name": "Li Lei", "email": "li.lei@buyer.example", "phone": "+86 10 5550 0100"},
    },
    ("post", "/v1/checkouts"): {
        "currency": "CNY",
        "lines": [
            {
                "sku_id": PASS_ADULT,
                "quantity": 1,
                "unit_price": {"amount_minor": PASS_ADULT_MINOR, "currency": "CNY"},
            }
        ],
        "contact": {"full_name": "Li Lei", "email": "li.lei@buyer.example"},
    },
    ("post", "/v1/payments"): {
        "order_nos": [ORDER_NO],
        "channel_id": "paybridge",
        "return_url": "https://shop.example/orders",
    },
    ("post", "/v1/payments/{payment_id}/cancel"): {"reason": _REASON},
    ("put", "/v1/payment-channels/{channel_id}"): {
        "name": "Paybridge",
        "protocol": "direct",
        "base_url": "https://paybridge.example",
        "credentials": {
            "token": "paybridge-token-0001",
            "callback_secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk=",
        },
        "fee_bp": 60,
    },
    ("post", "/v1/users"): {"email": "li.lei@buyer.example", "password": "correct-horse-battery", "name": "Li Lei"},
    ("post", "/v1/users/login"): {"email": "li.lei@buyer.example", "password": "correct-horse-battery"},
    ("post", "/v1/users/{user_id}/block"): {"reason": "chargebacks"},
    ("post", "/v1/users/{user_id}/unblock"): {"reason": "cleared up"},
    ("post", "/v1/orders/{order_no}/cancel"): {"reason": _REASON},
    ("post", "/v1/orders/{order_no}/extend"): {"by_s": 600},
    ("post", "/v1/orders/{order_no}/review"): {"decision": "approve", "reason": "known customer"},
    ("post", "/v1/exceptions/{case_id}/decide"): {"decision": "acknowledge", "reason": "told to the supplier"},
    ("post", "/v1/tickets/{serial}/void"): {"reason": "the event is canceled"},
    ("post", "/v1/gate/redemptions"): {"code": _TOKEN, "gate_id": "north-1"},
    ("post", "/v1/gate/redemptions/batch"): {
        "gate_id": "south-1",
        "scans": [{"code": _TOKEN, "scanned_at": "2026-12-01T10:30:00Z"}],
    },
    ("put", "/v1/distributors/{distributor_id}/credit-line"): {
        "limit": {"amount_minor": 120_000_000, "currency": "CNY"}
    },
    ("post", "/v1/distributors/{distributor_id}/grants"): {
        "action": "order:create",
        "resource_kind": "supplier",
        "resource_id": "northgate",
    },
    ("post", "/v1/operators"): {"name": "Grace", "role": "support"},
    ("post", "/v1/distributors/{distributor_id}/keys"): {"days": 90},
    ("post", "/v1/operators/{operator_id}/keys"): {"days": 90},
    ("patch", "/v1/products/{product_id}"): {"description": "Three houses, one day."},
    ("post", "/v1/products/{product_id}/transitions"): {"event": "submit", "reason": "texts are ready"},
    ("post", "/v1/skus/{sku_id}/prices"): {"price": {"amount_minor": 6_500, "currency": "CNY"}},
    ("put", "/v1/skus/{sku_id}/stock-policy"): {"stock_policy": "hold", "lock_at_supplier": False},
    ("post", "/v1/categories"): {"id": "museums", "parent_id": "ticket", "name": "Museums"},
    ("patch", "/v1/categories/{category_id}"): {"name": "Tickets"},
    ("put", "/v1/categories/{category_id}/attributes/{attribute_id}"): {
        "name": "colour",
        "scope": "sales",
        "allowed": ["black", "white"],
    },
    ("post", "/v1/brands"): {"id": "4711", "name": "Silk Road Press"},
    ("patch", "/v1/brands/{brand_id}"): {"name": "NIKE"},
    ("post", "/v1/skus/{sku_id}/receipts"): {"reference": "dn-2026-0042", "quantity": 100},
    ("post", "/v1/skus/{sku_id}/adjustments"): {
        "reference": "stocktake-7",
        "quantity": -2,
        "reason": "damaged in transit",
    },
    ("post", "/v1/skus/{sku_id}/codes"): {"codes": ["7QK2-M9XA-44TD", "7QK2-M9XA-44TE"]},
    ("post", "/v1/offers"): {
        "supplier_id": "swift",
        "kind": "physical",
        "supplier_product_id": "express",
        "cost_minor": 2_600,
        "rank": 9,
        "regions": ["CN/北京"],
    },
    ("patch", "/v1/offers/{offer_id}"): {"rank": 2},
    ("post", "/v1/orders/{order_no}/lines/{line_no}/units/{unit}/waybill"): {"waybill": "SW1234567890", "version": 1},
    ("post", "/v1/promotions"): {
        "name": "Three for two",
        "terms": {"kind": "n_for_m", "take": 3, "pay": 2},
        "currency": "CNY",
        "scope": {"product_ids": [PASS]},
        "stack_group": "sale",
        "needs_coupon": True,
        "stock": 500,
        "per_buyer_limit": 2,
    },
    ("patch", "/v1/promotions/{promotion_id}"): {"stock": 1000},
    ("post", "/v1/promotions/{promotion_id}/transitions"): {"event": "pause", "reason": "the texts are wrong"},
    ("post", "/v1/promotions/{promotion_id}/coupons"): {"count": 10},
    ("post", "/v1/coupons/claims"): {"code": "SUMMER-2026", "buyer_ref": "buyer-7"},
    ("post", "/v1/users/{user_id}/coins"): {
        "amount": {"amount_minor": 2000, "currency": "CNY"},
        "campaign": "apologies",
        "reason": "the tickets came late",
    },
    ("post", "/v1/vouchers"): {
        "amount": {"amount_minor": 10000, "currency": "CNY"},
        "campaign": "spring-2026",
        "expires_at": "2036-12-31T16:00:00Z",
    },
    ("post", "/v1/vouchers/claim"): {"code": "7KQ2-M9XD-4TWH-BC6P"},
    ("post", "/v1/vouchers/{voucher_id}/transitions"): {"event": "block", "reason": "its code was published"},
    ("post", "/v1/skus/{sku_id}/transfers"): {
        "reference": "tn-2026-0007",
        "quantity": 20,
        "from_warehouse_id": "main",
        "to_warehouse_id": DEPOT,
    },
    ("put", "/v1/skus/{sku_id}/stock-alert"): {"warehouse_id": "main", "alert_below": 20},
    ("post", "/v1/warehouses"): {
        "id": "north",
        "name": "Tianjin depot",
        "country": "CN",
        "region": "天津",
        "city": "天津",
        "rank": 20,
    },
    ("patch", "/v1/warehouses/{warehouse_id}"): {"rank": 5},
    ("post", "/v1/stocktakes"): {"warehouse_id": "main", "sku_ids": [OWN_QUOTA], "note": "end of the season"},
    ("post", "/v1/stocktakes/{stocktake_id}/counts"): {"counts": [{"sku_id": OWN_QUOTA, "counted": 4_998}]},
    ("post", "/v1/suppliers"): {
        "id": "riverside",
        "name": "Riverside Halls",
        "base_url": "https://riverside.example/octo",
        "api_token": "riverside-token-0001",
        "callback_secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    },
    ("patch", "/v1/suppliers/{supplier_id}"): {"ceiling_s": 60.0},
    ("put", "/v1/suppliers/{supplier_id}/breaker"): {"state": "closed", "reason": "maintenance is over"},
}


def operations(schema: Schema) -> Iterator[tuple[Operation, Schema]]:
    """Every operation of the document with its method (lower case) and path."""
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield (method, path), operation


def rendered(schema: Schema) -> str:
    """The document as it is committed: docs/openapi.json."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def complete(schema: Schema) -> None:
    """Writes the texts and examples above into the document."""
    for key, operation in operations(schema):
        for parameter in operation.get("parameters", ()):
            _describe(key, parameter)
        body = BODIES.get(key)
        if body is not None:
            operation["requestBody"]["content"]["application/json"]["example"] = body


def _describe(key: Operation, parameter: Schema) -> None:
    text, example = PARAMETERS.get(f"{parameter['in']} {parameter['name']}", ("", None))
    example = PATHS.get(key, {}).get(parameter["name"], example)
    if text:
        parameter.setdefault("description", text)
    if example is not None and parameter["in"] == "path":
        parameter["schema"].pop("examples", None)
        parameter["example"] = example
