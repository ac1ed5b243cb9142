"""The gateway over HTTP: `POST /{operator}/recharge|query|cancel`, JSON or form, signed; always 200 with a code inside.

Answers are `{code, msg, data}`; `data` is an order: status 0 is processing, 1 success, 2 failed, 3 canceled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar, get_args
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from simulators.common.answering import as_json, bounded_body, with_faults
from simulators.common.faults import Strike
from simulators.common.results import Messenger, Outcome
from simulators.topup.book import Recharge
from simulators.topup.counter import Counter, OrderBody, RechargeBody, Refusal
from simulators.topup.faults import Kind, Operation
from simulators.topup.houses import Operators, OperatorSettings
from simulators.topup.signing import is_signed

Json = dict[str, Any]
Body = TypeVar("Body", bound=BaseModel)

DONE = "0"
CLOCK_SKEW_S = 300
ASK_AGAIN_S = 2
STATUSES: Mapping[str, int] = {"PENDING": 0, "CONFIRMED": 1, "REJECTED": 2, "CANCELLED": 3}


def order_view(recharge: Recharge, status: str | None = None) -> Json:
    """An order; `status` overrides the book's where the operator says otherwise. Never with the phone."""
    status = status or recharge.status
    view: Json = {
        "out_trade_no": recharge.reference, "order_id": recharge.order_id, "status": STATUSES[status],
        "product": recharge.product, "vouchers": [],
    }  # fmt: skip
    if status == "CONFIRMED":
        view["vouchers"] = [{"serial": recharge.voucher(unit)} for unit in range(recharge.quantity)]
    elif status == "PENDING":
        view["wait_s"] = ASK_AGAIN_S
    return view


class Gateway:
    """The endpoints of every operator."""

    def __init__(
        self, operators: Operators, counter: Counter, messenger: Messenger[Recharge, OperatorSettings]
    ) -> None:
        self._operators = operators
        self._counter = counter
        self._messenger = messenger

    async def answer(self, request: Request) -> Response:
        operator, operation = self._operators.find(request.path_params["operator"]), request.path_params["operation"]
        if operator is None or operation not in get_args(Operation):
            return _error(404, "NOT_FOUND", "No such operator or operation")
        body = await bounded_body(request)
        parameters = None if body is None else _parameters(request.headers.get("content-type", ""), body)
        if parameters is None:
            return _error(400, "BAD_REQUEST", "Send one flat object as JSON or a form")
        if not is_signed(operator.token, parameters):
            return _error(200, "SIGN_ERROR", "The signature does not verify")
        if not _is_recent(parameters.get("timestamp", ""), self._counter.clock()):
            return _error(200, "EXPIRED", "The timestamp is not of the last five minutes")
        struck = self._operators.strike(operator, operation, parameters.get("out_trade_no", "").lower())

        async def work() -> Response:
            try:
                outcome = self._outcome(operator, operation, parameters, struck)
            except Refusal as refusal:
                standing = None if refusal.standing is None else order_view(refusal.standing)
                return as_json({"code": refusal.code, "msg": str(refusal), "data": standing})
            await self._messenger.follow(operator, outcome)
            return as_json({"code": DONE, "msg": "ok", "data": order_view(outcome.entry, outcome.shown_status)})

        return await with_faults(request, struck, operator.faults.params, work, _error)

    def _outcome(
        self, operator: OperatorSettings, operation: Operation, parameters: Mapping[str, str], struck: Strike[Kind]
    ) -> Outcome[Recharge]:
        if operation == "recharge":
            return self._counter.recharge(operator, _read(RechargeBody, parameters), struck)
        reference = _read(OrderBody, parameters).out_trade_no
        if operation == "query":
            return self._counter.find(operator, reference, struck)
        return self._counter.cancel(operator, reference)


def _parameters(content_type: str, body: bytes) -> dict[str, str] | None:
    """The request's parameters as texts, or None where they are not flat."""
    try:
        if content_type.startswith("application/x-www-form-urlencoded"):
            pairs: list[tuple[str, Any]] = list(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
        else:
            pairs = json.loads(body, object_pairs_hook=list)
        if len(dict(pairs)) != len(pairs):
            return None
        return {_text(name): _text(value) for name, value in pairs}
    except (ValueError, TypeError, RecursionError):
        return None


def _text(value: Any) -> str:
    if isinstance(value, str | int) and not isinstance(value, bool):
        str(value).encode()  # half a character can't be signed
        return str(value)
    raise TypeError


def _read(model: type[Body], parameters: Mapping[str, str]) -> Body:
    try:
        return model.model_validate(parameters)
    except ValidationError as invalid:
        raise Refusal("PARAMETER_INVALID", f"{invalid.error_count()} parameters are missing or invalid") from invalid


def _is_recent(timestamp: str, now: float) -> bool:
    return timestamp.isascii() and timestamp.isdigit() and abs(int(timestamp[:12]) - now) <= CLOCK_SKEW_S


def _error(status: int, code: str, message: str) -> Response:
    return as_json({"code": code, "msg": message, "data": None}, status)
