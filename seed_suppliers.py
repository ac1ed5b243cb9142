"""The sample suppliers: contracts with the parties that the simulators play, and where these call back."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import structlog

from settings import Settings
from storage import supplier_contracts
from storage.database import Database

MAPPINGS = Path(__file__).with_name("seeds") / "suppliers"
CALLBACK_PATH = "/v1/callbacks/suppliers/{supplier_id}"

TICKET_SUPPLIERS: Mapping[str, dict[str, Any]] = {
    "northgate": {
        "name": "Northgate Museums",
        "unique_references": True,
        # Slow and late, but true to its word: long time-outs, and money back if it never answers.
        "lock_timeout_s": 5.0,
        "issue_timeout_s": 15.0,
        "first_interval_s": 2.0,
        "deadline_policy": "cancel_and_refund",
    },
    "cineplex": {
        "name": "Cineplex Nine",
        # It does not deduplicate: the same reference may book twice, so nothing is ever sent again.
        "unique_references": False,
        "first_interval_s": 1.0,
        "growth": 1.5,
        "ceiling_s": 60.0,
    },
    "grandstand": {
        "name": "Grandstand Arena",
        "unique_references": True,
        # It forgets and contradicts itself: asked often, and a person decides soon.
        "consistency_window_s": 5.0,
        "first_interval_s": 0.5,
        "growth": 1.5,
        "ceiling_s": 30.0,
        "deadline_s": 600.0,
        "deadline_policy": "escalate",
    },
}
"""Suppliers of the supplier simulator, by OCTO: their catalogues are read."""

OPERATORS: Mapping[str, dict[str, Any]] = {
    "mobilink": {
        "name": "Mobilink",
        "protocol": "mapped",
        "unique_references": True,
        # Mostly at once, at times after minutes; what was topped up can't be taken back, so a person decides.
        "issue_timeout_s": 15.0,
        "first_interval_s": 2.0,
        "deadline_policy": "escalate",
    },
}
"""Suppliers of the top-up simulator; each one's mapping is a file of `MAPPINGS`. They have no catalogue to read."""

DATA_PACKS: Mapping[str, int] = {"CM-1GB-7D": 900, "CM-3GB-30D": 2_400, "CM-10GB-30D": 4_900}
"""What mobilink sells: the supplier_product_id of an offer is the operator's product code; its cost in fen. Nothing is
held there (lock_at_supplier is False), and the phone is the line's `account`."""
PACK_OPTION, PACK_UNIT = "DEFAULT", "pack"
"""The option and the unit of every data pack's offer: the gateway knows neither."""


@dataclass(frozen=True, slots=True)
class SampleCarrier:
    """The terms of its contract; what one parcel costs with it, in fen; where it delivers (None: nationwide)."""

    terms: Mapping[str, Any]
    cost_minor: int
    regions: tuple[str, ...] | None = None


CARRIERS: Mapping[str, SampleCarrier] = {
    "swift": SampleCarrier(
        {
            "name": "Swift Express",
            "protocol": "parcel",
            "unique_references": True,
            "first_interval_s": 1.0,
            "deadline_policy": "cancel_and_refund",
        },
        cost_minor=1_800,
    ),
    "local": SampleCarrier(
        {
            "name": "Local Riders",
            "protocol": "parcel",
            "unique_references": True,
            "first_interval_s": 2.0,
            # A parcel that nobody knows of may be on somebody's bicycle: a person asks.
            "deadline_policy": "escalate",
        },
        cost_minor=800,
        regions=("Shanghai", "Jiangsu", "Zhejiang"),
    ),
}
"""Carriers of the carrier simulator: nationwide and dear, and near and cheap. They have no catalogue to read."""

PARCEL_PRODUCT, PARCEL_OPTION, PARCEL_UNIT = "parcel", "DEFAULT", "parcel"
"""The names of every carrier's standing offer: a carrier itself knows neither products nor options."""
CARRIER_STEP_S = 15.0
"""How long a sample parcel takes from one step of its way to the next."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Simulated:
    """A sample supplier: which simulator plays it, under which path its protocol is spoken, and its contract."""

    simulator: str
    path: str
    terms: Mapping[str, Any]


async def ensure_suppliers(database: Database, settings: Settings, *, actor: str) -> tuple[str, ...]:
    """Contracts with all of them, and callbacks from them. Of those that exist only the address follows the simulator.

    Returns their ids.
    """
    suppliers = await _simulated()
    known = await _contracts(database, settings, suppliers, actor)
    await _callbacks(database, settings, suppliers)
    await _set_parcels_moving(settings, CARRIERS.keys() - known)
    return tuple(suppliers)


async def _simulated() -> dict[str, _Simulated]:
    tickets = {each: _Simulated("supplier", f"{each}/octo", terms) for each, terms in TICKET_SUPPLIERS.items()}
    operators = {}
    for each, terms in OPERATORS.items():
        mapping = json.loads(await asyncio.to_thread((MAPPINGS / f"{each}.json").read_bytes))
        operators[each] = _Simulated("topup", each, {**terms, "protocol_settings": mapping})
    carriers = {each: _Simulated("carrier", f"{each}/v1", carrier.terms) for each, carrier in CARRIERS.items()}
    return {**tickets, **operators, **carriers}


async def _contracts(
    database: Database, settings: Settings, suppliers: Mapping[str, _Simulated], actor: str
) -> Collection[str]:
    """Returns the ids of those that were known before."""
    async with database.transaction() as cx:
        known = {row.id for row in await supplier_contracts.list_suppliers(cx)}
        for supplier_id, supplier in suppliers.items():
            url = f"{settings.simulator_url(supplier.simulator)}/{supplier.path}"
            address = {"base_url": url, "api_token": f"{supplier_id}-token"}
            secret = f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"
            contract = address if supplier_id in known else {**supplier.terms, **address, "callback_secret": secret}
            await supplier_contracts.put_supplier(cx, supplier_id, contract, actor=actor, now=datetime.now(UTC))
    return known


async def _callbacks(database: Database, settings: Settings, suppliers: Mapping[str, _Simulated]) -> None:
    """Tell the simulators where to call back; without it answers come by asking, only later."""
    async with database.reading() as cx:
        rows = {row.id: row for row in await supplier_contracts.list_suppliers(cx)}
    for supplier_id, supplier in suppliers.items():
        url = settings.api_url + CALLBACK_PATH.format(supplier_id=supplier_id)
        body = {"url": url, "secret": rows[supplier_id].callback_secret}
        await _control(settings, supplier.simulator, f"{supplier_id}/callbacks", body)


async def _set_parcels_moving(settings: Settings, carriers: Collection[str]) -> None:
    """New carriers' parcels go their way by themselves; what people set later stays."""
    for carrier_id in sorted(carriers):
        await _control(settings, "carrier", carrier_id, {"moves": True, "step_s": CARRIER_STEP_S})


async def _control(settings: Settings, simulator: str, path: str, body: Mapping[str, Any]) -> None:
    """A PUT to a simulator's control API. One that does not answer is not needed by everybody: only a warning."""
    async with httpx2.AsyncClient(timeout=5, trust_env=False) as client:
        try:
            answer = await client.put(f"{settings.simulator_url(simulator)}/control/{path}", json=body)
            answer.raise_for_status()
        except httpx2.HTTPError as error:
            log.warning("seed.simulator_not_set", simulator=simulator, path=path, reason=str(error))
