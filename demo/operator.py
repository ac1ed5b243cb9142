"""The operator: takes cases from the queue and decides them through the API, after asking whom it is about by phone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx2

from demo.books import Control
from demo.caller import Caller, Unanswered
from demo.characters import SEARCH_S

ISSUED = ("CONFIRMED", "REDEEMED")
POLL_S = 0.7
MONEY_BACK: Mapping[str, str] = {
    "payment_wrong_amount": "refund",
    "payment_unknown": "refund",
    "refund_failed": "retry",
}
"""Money that no machine may use goes back to whoever paid it; what a channel would not give back is asked for again."""


class Operator:
    """Decides until cancelled. `decided` counts kinds of cases with the decision, `open_cases` is the last look.

    `phones`: each supplier, operator and carrier by its id. `leaves`: kinds of cases that stay in the queue.
    """

    def __init__(
        self, caller: Caller, phones: Mapping[str, Control], run: str, *, leaves: frozenset[str] = frozenset()
    ) -> None:
        self._caller = caller
        self._phones = phones
        self._run = run
        self._leaves = leaves
        self._attempts: Counter[str] = Counter()
        self.decided: Counter[str] = Counter()
        self.open_cases = 0

    async def work(self) -> None:
        """Look at the queue and decide what is in it, again and again."""
        while True:
            # When the API or the telephone is down, the queue keeps everything.
            with suppress(Unanswered, httpx2.HTTPError):
                await self.clear_queue()
            await asyncio.sleep(POLL_S)

    async def clear_queue(self) -> int:
        """Decide every open case once; how many there were."""
        found = await self._caller.pages("/v1/exceptions?state=open")
        cases = [case for case in found if case["kind"] not in self._leaves]
        self.open_cases = len(cases)
        for case in cases:
            await self._decide(case)
        return len(cases)

    async def _decide(self, case: Mapping[str, Any]) -> None:
        decision = await self._decision(case)
        if decision is None:
            return
        path = f"/v1/exceptions/{case['id']}/decide"
        # A case that was not closed by a decision (its line moved on meanwhile) is looked at anew, with a new key.
        attempt = self._attempts[case["id"]]
        self._attempts[case["id"]] += 1
        reply = await self._caller.post(path, decision, f"{self._run}-{case['id']}-{attempt}")
        if reply.ok:
            self.decided[f"{case['kind']}: {decision['decision']}"] += 1

    async def _decision(self, case: Mapping[str, Any]) -> dict[str, Any] | None:
        """What the supplier says decides: found confirmed there, or not."""
        if not case["offered"]:
            return None
        if case["kind"] in MONEY_BACK:
            return {"decision": MONEY_BACK[case["kind"]], "reason": "as the channel's statement shows it"}
        if case["kind"] not in ("issuance_escalated", "contradiction", "unit_lost", "delivery_overdue"):
            return {"decision": "acknowledge", "reason": "seen"}
        booked = await self._by_phone(case["supplier_id"], case["evidence"]["reference"])
        if case["kind"] in ("unit_lost", "delivery_overdue"):
            return of_parcel(booked, datetime.now(UTC))
        if case["kind"] == "issuance_escalated":
            return _of_escalation(booked)
        return await self._of_contradiction(case, booked)

    async def _by_phone(self, supplier_id: str, reference: str) -> Mapping[str, Any] | None:
        """The confirmed booking, if the supplier finds one."""
        found = await self._phones[supplier_id].bookings(supplier_id, reference)
        return next((booking for booking in reversed(found) if booking["status"] in ISSUED), None)

    async def _of_contradiction(
        self, case: Mapping[str, Any], booked: Mapping[str, Any] | None
    ) -> dict[str, Any] | None:
        """What stands here is kept where the supplier has the same; otherwise it is given up, here and there."""
        order = (await self._caller.get(f"/v1/orders/{case['order_no']}")).body
        line = next(each for each in order["lines"] if each["line_no"] == case["line_no"])
        if line["status"] == "issuing":
            return None  # it is about to be recorded
        agree = (line["status"] == "issued") == (booked is not None)
        said = "confirmed" if booked else "not booked"
        return {"decision": "keep" if agree else "give_up", "reason": f"by phone: {said}; here: {line['status']}"}

    def report(self) -> dict[str, int]:
        """Decisions by kind of case."""
        return dict(sorted(self.decided.items()))


def _of_escalation(booked: Mapping[str, Any] | None) -> dict[str, Any]:
    if booked is None:
        return {"decision": "give_up", "reason": "by phone: the supplier finds no confirmed booking"}
    return {
        "decision": "issued",
        "reason": "by phone: confirmed",
        "supplier_reference": booked.get("order_id", booked["id"]),
        "tickets": credentials_of(booked),
    }


def credentials_of(booked: Mapping[str, Any]) -> list[dict[str, str]]:
    """What was issued there, as it is read out on the phone: tickets, a parcel's waybill, or a top-up's receipts."""
    if "units" in booked:
        return [{"supplier_ticket_id": unit["uuid"], "code": unit["code"]} for unit in booked["units"]]
    if "waybill" in booked:
        return [{"supplier_ticket_id": booked["id"], "code": booked["waybill"], "code_format": "WAYBILL"}]
    return [{"supplier_ticket_id": voucher, "code": voucher, "code_format": "TOPUP"} for voucher in booked["vouchers"]]


def of_parcel(booked: Mapping[str, Any] | None, now: datetime) -> dict[str, Any] | None:
    """A parcel is given up when its carrier has searched long enough; None while it searches, or has it again."""
    if booked is None:
        return {"decision": "give_up", "reason": "by phone: the carrier knows nothing of it"}
    latest = booked["events"][-1]
    if latest["event"] != "lost" or (now - datetime.fromisoformat(latest["at"])).total_seconds() < SEARCH_S:
        return None
    return {"decision": "give_up", "reason": "by phone: the carrier has given up the search"}
