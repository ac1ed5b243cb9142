"""A mapped supplier's requests and answers, without a supplier: what is written, signed, and what may be concluded."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.suppliers import BookingRequest, CallbackUnreadable, NotSent, SupplierUnreadable
from adapters.suppliers.mapped import MappedSupplier, read_callback
from adapters.suppliers.mapped_answers import judge, read_json, text_at
from adapters.suppliers.mapped_mapping import Digest, SupplierMapping
from adapters.suppliers.mapped_signing import canonical, digest
from adapters.suppliers.registry import PROTOCOLS
from domain.issuance import Canceled, Confirmed, Held, IssuedTicket, NotFound, Pending, Rejected, Unknown

ROOT = Path(__file__).parents[2]
REFERENCE = "0b7c1f6e-8d0a-5b51-9f52-5d0d8bb7a001"
PHONE = "13800138000"
REQUEST = BookingRequest(
    reference=REFERENCE,
    product_id="CM-1GB-7D",
    option_id="DEFAULT",
    unit_id="pack",
    availability_id=None,
    unit_references=("unit-a", "unit-b"),
    order_no="0000000000000000042",
    currency="CNY",
    account=PHONE,
)
ANSWERS: list[dict[str, Any]] = [
    {"means": "confirmed", "when": {"/code": ["0"], "/data/status": ["1"]}},
    {"means": "pending", "when": {"/code": ["0"], "/data/status": ["0"]}},
    {"means": "rejected", "when": {"/code": ["0"], "/data/status": ["2"]}},
    {"means": "rejected", "when": {"/code": ["NO_STOCK"]}, "absent": ["/data/status"], "echoes": False},
    {"means": "not_found", "http": [404], "echoes": False},
    {"means": "canceled", "when": {"/data/status": ["9"]}},
    {"means": "held", "when": {"/data/status": ["7"]}},
    {"means": "turned_away", "when": {"/code": ["TOO_FAST"]}, "echoes": False},
]


def a_mapping(**changes: Any) -> dict[str, Any]:
    """The settings of a gateway that sells packs; the last word has `changes`."""
    return {
        "fields": {
            "echo": "/data/trade_no",
            "supplier_reference": "/data/order_id",
            "credential": {"receipt": "/data/voucher"},
            "error_code": "/code",
            "ask_again_s": "/data/wait",
        },
        "issue": {
            "path": "/recharge",
            "parameters": {
                "trade_no": "{reference}",
                "phone": "{account}",
                "count": "{quantity}",
                "n": "no. {quantity}",
            },
            "answers": ANSWERS,
        },
        "query": {"method": "GET", "path": "/orders/{reference}", "answers": ANSWERS},
        "cancel": {"path": "/cancel", "parameters": {"no": "{reference}", "why": "{reason}"}, "answers": ANSWERS},
        "callback": {"answers": ANSWERS},
    } | changes


Answering = Callable[[httpx2.Request], httpx2.Response]


def a_supplier(answer: Answering | tuple[int, Any], **changes: Any) -> MappedSupplier:
    """A supplier whose every answer is `answer`: (status, JSON) or a function of the request."""
    given = answer if callable(answer) else lambda _: httpx2.Response(answer[0], json=answer[1])
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(given))
    mapping = SupplierMapping.model_validate(a_mapping(**changes))
    return MappedSupplier(client, "http://gateway.example/v2/", "s3cret", mapping, clock=lambda: 1_700_000_000.25)


def done(status: object, **data: Any) -> dict[str, Any]:
    return {"code": 0, "data": {"trade_no": REFERENCE, "status": status, "order_id": "T1", "voucher": "V1", **data}}


async def issued(body: Any, status: int = 200, **changes: Any) -> object:
    return await a_supplier((status, body), **changes).issue(REQUEST, reserved=False, timeout_s=1)


async def test_the_four_answers() -> None:
    tickets = tuple(IssuedTicket(unit, "V1", "V1", "TOPUP") for unit in range(2))
    assert await issued(done(1)) == Confirmed("T1", tickets)
    assert await issued(done("0", wait=7)) == Pending("T1", 7.0)
    assert await issued(done(2)) == Rejected("0", retry_elsewhere=True)
    assert await issued({"code": "NO_STOCK"}) == Rejected("NO_STOCK", retry_elsewhere=True)
    assert isinstance(await issued(done(3)), Unknown)


async def test_a_query_also_knows_nothing_found_canceled_and_held() -> None:
    for answer, expected in ((404, NotFound()), (done(9), Canceled()), (done(7), Held("T1"))):
        reply = (404, {"message": "?"}) if answer == 404 else (200, answer)
        assert await a_supplier(reply).query(REFERENCE, timeout_s=1) == expected


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(done(1), 500, id="a success in a 5xx"),
        pytest.param(done(1), 302, id="a redirect"),
        pytest.param(done(1), 418, id="a status that the mapping does not list"),
        pytest.param(done(1, trade_no="another"), 200, id="another reference"),
        pytest.param(done(1, trade_no=None), 200, id="no reference"),
        pytest.param({"code": "NO_STOCK", "data": {"trade_no": "another"}}, 200, id="a refusal of another reference"),
        pytest.param(done(1, voucher=None), 200, id="confirmed without a receipt"),
        pytest.param(done(1, voucher={"no": 1}), 200, id="a receipt that is no text"),
        pytest.param(done(1, order_id=""), 200, id="confirmed without the supplier's reference"),
        pytest.param(done(1) | {"code": "NO_STOCK"}, 200, id="code and status disagree"),
        pytest.param(done(1.0), 200, id="a number with a fraction"),
        pytest.param(done(True), 200, id="a truth value where a number is meant"),
        pytest.param(done([1]), 200, id="a list where a number is meant"),
        pytest.param(done(9), 200, id="an issue answered by canceled"),
        pytest.param(done(7), 200, id="an issue answered by held"),
        pytest.param({}, 404, id="an issue answered by not found"),
        pytest.param([], 200, id="not an object"),
    ],
)
async def test_what_does_not_prove_anything_about_an_issue_is_unknown(body: Any, status: int) -> None:
    assert isinstance(await issued(body, status), Unknown)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        b'{"code": 0, "data": ',
        b"\xff\xfe",
        b"[" * 100_000,
        b"9" * 5_000,
        # The last one would win in most parsers, the first in some.
        json.dumps(done(2)).replace('"status": 2', '"status": 1, "status": 2').encode(),
    ],
)
async def test_a_body_that_cannot_be_read_in_one_way_only_is_unknown(raw: bytes) -> None:
    supplier = a_supplier(lambda _: httpx2.Response(200, content=raw))
    assert isinstance(await supplier.issue(REQUEST, reserved=False, timeout_s=1), Unknown)


async def test_two_meanings_that_fit_at_once_are_no_evidence() -> None:
    also = {"means": "confirmed", "when": {"/data/status": ["2"]}}
    answers = [*ANSWERS, also]
    issue = a_mapping()["issue"] | {"answers": answers}
    assert isinstance(await issued(done(2), issue=issue), Unknown)


def _always(reply: httpx2.Response, request: httpx2.Request) -> httpx2.Response:
    return reply


async def test_being_turned_away_is_not_sent_whether_by_http_or_by_the_gateways_own_code() -> None:
    for reply, wait_s in (
        (httpx2.Response(429, headers={"Retry-After": "9"}), 9.0),
        (httpx2.Response(200, json={"code": "TOO_FAST", "data": {"wait": 4}}), 4.0),
    ):
        supplier = a_supplier(partial(_always, reply))
        with pytest.raises(NotSent) as refused:
            await supplier.issue(REQUEST, reserved=False, timeout_s=1)
        assert refused.value.retry_after_s == wait_s


async def test_a_cancel_is_canceled_refused_not_found_or_unknown_and_nothing_else() -> None:
    for body, expected in (
        (done(9), Canceled()),
        (done(2), Rejected("0")),
        ({"code": "NO_STOCK"}, Rejected("NO_STOCK")),
    ):
        assert await a_supplier((200, body)).cancel(REFERENCE, reason="changed", timeout_s=1) == expected
    for body in (done(1), done(0), done(7), {}):
        assert isinstance(await a_supplier((200, body)).cancel(REFERENCE, reason="changed", timeout_s=1), Unknown)
    assert await a_supplier((404, {})).cancel(REFERENCE, reason="changed", timeout_s=1) == NotFound()


async def test_what_the_mapping_does_not_have_is_refused_without_a_request() -> None:
    def never(request: httpx2.Request) -> httpx2.Response:
        raise AssertionError(request.url)

    supplier = a_supplier(never, cancel=None)
    assert await supplier.reserve(REQUEST, timeout_s=1) == Rejected("RESERVE_UNSUPPORTED", retry_elsewhere=True)
    assert await supplier.cancel(REFERENCE, reason="changed", timeout_s=1) == Rejected("CANCEL_UNSUPPORTED")
    assert await supplier.extend(REFERENCE, minutes=5, timeout_s=1) == Rejected("EXTEND_UNSUPPORTED")
    nobody = replace(REQUEST, account=None)
    assert await supplier.issue(nobody, reserved=False, timeout_s=1) == Rejected(
        "ACCOUNT_MISSING", retry_elsewhere=True
    )
    with pytest.raises(SupplierUnreadable):
        await supplier.read_products(timeout_s=1)
    with pytest.raises(SupplierUnreadable):
        await supplier.read_sessions("p", "o", first_day="2026-01-01", last_day="2026-01-02", timeout_s=1)


async def test_a_reserve_that_is_mapped_holds_until_something_else_is_proven() -> None:
    reserve = a_mapping()["issue"] | {"path": "/hold"}
    for body, expected in ((done(7), Confirmed("T1")), (done(0), Pending("T1")), ({"code": "NO_STOCK"}, None)):
        answer = await a_supplier((200, body), reserve=reserve).reserve(REQUEST, timeout_s=1)
        assert answer == (expected or Rejected("NO_STOCK", retry_elsewhere=True))
    assert isinstance(await a_supplier((200, done(9)), reserve=reserve).reserve(REQUEST, timeout_s=1), Unknown)


def per_unit(*cards: dict[str, Any], unit_reference: str | None = "/unit") -> dict[str, Any]:
    credential = {
        "each": "/data/cards",
        "receipt": "/no",
        "code": "/pin",
        "code_format": "PIN",
        "unit_reference": unit_reference,
    }
    return {"body": done(1, cards=list(cards)), "fields": a_mapping()["fields"] | {"credential": credential}}


async def test_credentials_of_units_follow_our_references_and_never_their_position() -> None:
    cards = ({"no": "2", "pin": "B", "unit": "UNIT-B"}, {"no": "1", "pin": "A", "unit": "unit-a"})
    answer = await issued(**per_unit(*cards))
    assert answer == Confirmed("T1", (IssuedTicket(0, "1", "A", "PIN"), IssuedTicket(1, "2", "B", "PIN")))
    by_position = await issued(**per_unit(*cards, unit_reference=None))
    assert isinstance(by_position, Confirmed)
    assert [ticket.code for ticket in by_position.tickets] == ["B", "A"]


@pytest.mark.parametrize(
    "cards",
    [
        pytest.param([], id="none"),
        pytest.param([{"no": "1", "pin": "A", "unit": "unit-a"}], id="too few"),
        pytest.param([{"no": str(n), "pin": "A", "unit": "unit-a"} for n in range(2)], id="the same unit twice"),
        pytest.param([{"no": "1", "pin": "A", "unit": f"unit-{n}"} for n in "ax"], id="a unit that is not ours"),
        pytest.param([{"no": "1", "unit": f"unit-{n}"} for n in "ab"], id="a code is missing"),
    ],
)
async def test_a_confirmation_without_the_credential_of_every_unit_is_unknown(cards: list[dict[str, Any]]) -> None:
    assert isinstance(await issued(**per_unit(*cards)), Unknown)


# --- requests ----------------------------------------------------------------------------------------------------


async def sent(operation: str, **changes: Any) -> httpx2.Request:
    """What goes out on an operation."""
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={})

    supplier = a_supplier(answer, **changes)
    if operation == "issue":
        await supplier.issue(REQUEST, reserved=False, timeout_s=1)
    elif operation == "query":
        await supplier.query(REFERENCE, timeout_s=1)
    else:
        await supplier.cancel(REFERENCE, reason="{reference} & co", timeout_s=1)
    return seen[0]


async def test_a_json_request_has_the_fields_filled_in_and_numbers_stay_numbers() -> None:
    request = await sent("issue")
    assert str(request.url) == "http://gateway.example/v2/recharge"
    assert json.loads(request.content) == {"trade_no": REFERENCE, "phone": PHONE, "count": 2, "n": "no. 2"}
    assert "authorization" not in request.headers


async def test_a_value_is_never_read_as_a_template() -> None:
    assert json.loads((await sent("cancel")).content) == {"no": REFERENCE, "why": "{reference} & co"}


async def test_nested_parameters_are_filled_in_where_nothing_signs_them() -> None:
    parameters = {"order": {"no": "{reference}", "units": ["{unit_references}", 1, True]}, "at": "{timestamp}"}
    issue = a_mapping()["issue"] | {"parameters": parameters}
    body = json.loads((await sent("issue", issue=issue)).content)
    assert body == {"order": {"no": REFERENCE, "units": ["unit-a,unit-b", 1, True]}, "at": 1_700_000_000}


async def test_a_form_is_signed_over_the_values_that_it_carries() -> None:
    signature = {"kind": "hmac-sha256", "name": "sign", "encoding": "hex"}
    request = await sent("issue", format="form", signature=signature)
    form = {name: values[0] for name, values in parse_qs(request.content.decode(), strict_parsing=True).items()}
    signed = form.pop("sign")
    assert form == {"trade_no": REFERENCE, "phone": PHONE, "count": "2", "n": "no. 2"}
    assert signed == digest(Digest.model_validate(signature), "s3cret", form)


async def test_a_get_has_its_parameters_and_their_signature_in_the_query() -> None:
    query = a_mapping()["query"] | {"parameters": {"t": "{timestamp_ms}", "nonce": "{nonce}"}}
    request = await sent("query", query=query, signature={"kind": "md5", "secret_suffix": "&key="})
    asked = parse_qs(urlsplit(str(request.url)).query)
    assert request.url.path == f"/v2/orders/{REFERENCE}"
    assert asked["t"] == ["1700000000250"]
    assert len(asked["nonce"][0]) == 32
    assert len(asked["sign"][0]) == 32
    assert request.content == b""


async def test_a_token_or_a_digest_may_stand_in_a_header() -> None:
    bearer = await sent("issue", signature={"kind": "bearer"})
    assert bearer.headers["authorization"] == "Bearer s3cret"
    signature = {"kind": "hmac-sha256", "place": "header", "name": "X-Signature", "encoding": "base64"}
    signed = await sent("issue", signature=signature)
    assert len(signed.headers["x-signature"]) == 44
    assert "sign" not in json.loads(signed.content)


PUBLISHED = {
    "appid": "wxd930ea5d5a258f4f",
    "mch_id": "10000100",
    "device_info": "1000",
    "body": "test",
    "nonce_str": "ibuaiVcKdpRxkhJA",
    "attach": "",
}
"""The example in a payment gateway's public guide to its signatures, with an empty parameter that must not count."""


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("md5", "9A0A8659F005D6984697E2CA0A9CF3B7"),
        ("hmac-sha256", "6A9AE1657590FD6257D693A078E1C3E4BB6BA4DC30B23E0EE2496E54170DACD6"),
    ],
)
def test_signatures_are_those_of_a_published_example(kind: str, expected: str) -> None:
    signature = Digest.model_validate({"kind": kind, "secret_suffix": "&key=", "encoding": "hex_upper"})
    assert digest(signature, "192006250b4c09247ec02edce69f6a2d", PUBLISHED) == expected
    assert digest(signature, "192006250b4c09247ec02edce69f6a2d", PUBLISHED | {"body": "tesu"}) != expected


def test_what_is_signed_is_sorted_by_name_and_leaves_out_what_is_empty() -> None:
    assert canonical({"b": "2", "a": "1&c=3", "A": "0", "c": ""}) == "A=0&a=1&c=3&b=2"


def test_the_secret_is_a_key_alone_where_no_suffix_is_given() -> None:
    text, key = "what=do ya want for nothing?", "Jefe"
    expected = hmac.new(key.encode(), text.encode(), "sha256").hexdigest()
    signature = Digest.model_validate({"kind": "hmac-sha256"})
    assert digest(signature, key, {"what": "do ya want for nothing?"}) == expected


# --- mappings ----------------------------------------------------------------------------------------------------


def broken(path: str, value: Any) -> dict[str, Any]:
    """A mapping with `value` at a dotted path."""
    document: dict[str, Any] = json.loads(json.dumps(a_mapping()))
    *parents, last = path.split(".")
    inner: Any = document
    for name in parents:
        inner = inner[int(name)] if isinstance(inner, list) else inner[name]
    inner[int(last) if isinstance(inner, list) else last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("issue.path", "recharge", "issue.path"),
        ("issue.path", "//elsewhere.example", "issue.path"),
        ("issue.path", "/a/../b", "issue.path"),
        ("issue.path", "/{phone}", "issue.path"),
        ("issue.path", "/{account}", "issue.path"),
        ("issue.path", "/{reference.__class__}", "issue.path"),
        ("issue.path", "/{reference", "issue.path"),
        ("issue.parameters", {"no": "{nothing}"}, "issue.parameters"),
        ("issue.parameters", {"no": "{reference!r}"}, "issue.parameters"),
        ("issue.parameters", {"no": "{reference}", "x": "\x00"}, "issue.parameters"),
        ("issue.parameters", {"no": "{reference}", "x": 1.5}, "issue.parameters"),
        ("issue.parameters", {"phone": "{account}"}, "issue"),
        ("query.path", "/orders/{account}", "query.path"),
        ("query.path", "/orders", "query"),
        ("query.parameters", {"why": "{reason}"}, "query.parameters"),
        ("query.method", "TRACE", "query.method"),
        ("issue.answers", [], "issue.answers"),
        ("issue.answers.0.means", "fine", "issue.answers.0.means"),
        ("issue.answers.0.echoes", False, "issue.answers.0"),
        ("issue.answers.0.when", {}, "issue.answers.0"),
        ("issue.answers.0.when", {"code": ["0"]}, "issue.answers.0.when.code"),
        ("issue.answers.4.http", [429], "issue.answers.4"),
        ("issue.answers.4.http", [500], "issue.answers.4.http.0"),
        ("issue.answers.4.http", [200], "issue.answers.4"),
        ("fields.echo", "data.no", "fields.echo"),
        ("fields.credential.unit_reference", "/u", "fields.credential"),
        ("signature", {"kind": "md5"}, "signature.md5"),
        ("signature", {"kind": "rot13"}, "signature"),
        ("colour", "red", "colour"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused_where_it_is_wrong(path: str, value: Any, where: str) -> None:
    document = broken(path, value) if "." in path else a_mapping(**{path: value})
    with pytest.raises(ValidationError) as refused:
        SupplierMapping.model_validate(document)
    locations = [".".join(map(str, error["loc"])) for error in refused.value.errors()]
    assert any(each == where or each.startswith(f"{where}.") for each in locations), locations


def test_forms_and_signed_parameters_are_flat_and_leave_the_signatures_place_free() -> None:
    nested = a_mapping()["issue"] | {"parameters": {"order": {"no": "{reference}"}}}
    SupplierMapping.model_validate(a_mapping(issue=nested))
    for more in ({"format": "form"}, {"signature": {"kind": "hmac-sha256"}}):
        with pytest.raises(ValidationError, match=r"issue\.parameters\.order"):
            SupplierMapping.model_validate(a_mapping(issue=nested, **more))
    taken = a_mapping()["issue"] | {"parameters": {"no": "{reference}", "sign": "x"}}
    with pytest.raises(ValidationError, match="where the signature goes"):
        SupplierMapping.model_validate(a_mapping(issue=taken, signature={"kind": "hmac-sha256"}))


def test_a_query_that_can_never_confirm_leaves_every_time_out_open() -> None:
    query = a_mapping()["query"] | {"answers": [{"means": "not_found", "http": [404], "echoes": False}]}
    with pytest.raises(ValidationError, match="nothing means confirmed"):
        SupplierMapping.model_validate(a_mapping(query=query))


def test_an_account_in_a_get_would_be_in_every_log() -> None:
    get = {"method": "GET", "path": "/r/{reference}", "parameters": {"phone": "{account}"}, "answers": ANSWERS}
    with pytest.raises(ValidationError, match="personal"):
        SupplierMapping.model_validate(a_mapping(issue=get))


# --- callbacks ---------------------------------------------------------------------------------------------------


def a_contract(**changes: Any) -> dict[str, Any]:
    return {"base_url": "http://gateway.example", "api_token": "t", "protocol_settings": a_mapping(**changes)}


def test_a_callback_is_read_by_the_mapping_and_names_its_booking() -> None:
    told = PROTOCOLS["mapped"].read_callback(a_contract(), done(1, trade_no=REFERENCE.upper()), ("unit-a", "unit-b"))
    assert told.reference == REFERENCE
    assert isinstance(told.answer, Confirmed)
    assert [ticket.unit for ticket in told.answer.tickets] == [0, 1]
    assert read_callback(a_contract(), done(2), ()).answer == Rejected("0", retry_elsewhere=True)
    assert isinstance(read_callback(a_contract(), done(5), ()).answer, Unknown)


def test_a_callback_may_have_its_fields_elsewhere() -> None:
    fields = {"echo": "/no", "supplier_reference": "/id", "credential": {"receipt": "/card"}}
    callback = {"fields": fields, "answers": [{"means": "confirmed", "when": {"/ok": ["true"]}}]}
    told = read_callback(a_contract(callback=callback), {"no": REFERENCE, "id": 7, "card": 99, "ok": True}, ())
    assert told.answer == Confirmed("7", (IssuedTicket(0, "99", "99", "TOPUP"),))


@pytest.mark.parametrize("body", [{}, {"data": []}, {"data": {"trade_no": None}}, {"data": {"trade_no": {"a": 1}}}])
def test_a_callback_about_nothing_is_unreadable(body: dict[str, Any]) -> None:
    with pytest.raises(CallbackUnreadable):
        read_callback(a_contract(), body, ())


def test_a_supplier_whose_mapping_has_no_callbacks_tells_nothing_unasked() -> None:
    with pytest.raises(CallbackUnreadable):
        read_callback(a_contract(callback=None), done(1), ())


# --- arbitrary answers -------------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 10), st.floats(), st.sampled_from(["0", "1", "2", REFERENCE, PHONE, "V1"])
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["code", "data", "status", "trade_no", "order_id", "voucher", "wait", "x"]),
            inner,
            max_size=7,
        )
    ),
    max_leaves=20,
)
NEARLY = st.builds(
    lambda code, data: {"code": code, "data": data},
    SCALARS,
    st.fixed_dictionaries({}, optional=dict.fromkeys(("status", "trade_no", "order_id", "voucher", "wait"), SCALARS)),
)
MAPPING = SupplierMapping.model_validate(a_mapping())


@given(document=DOCUMENTS | NEARLY, status=st.integers(100, 599))
@example(document=done(1), status=200)
@example(document=done(2), status=200)
def test_an_answer_is_definite_only_where_everything_proves_it(document: Any, status: int) -> None:
    answer = judge(document, status, MAPPING.issue.answers, MAPPING.fields, REFERENCE, ("unit-a", "unit-b"))
    if isinstance(answer, Confirmed):
        assert 200 <= status < 300
        assert document["code"] in (0, "0")
        assert document["data"]["status"] in (1, "1")
        assert document["data"]["trade_no"] == REFERENCE
        assert len(answer.tickets) == 2
    elif isinstance(answer, Rejected):
        assert 200 <= status < 300
        assert document["code"] == "NO_STOCK" or document["data"]["status"] in (2, "2")
        assert PHONE not in repr(answer)
    elif isinstance(answer, Unknown):
        assert PHONE not in answer.reason


@given(st.binary(max_size=200) | st.text().map(lambda text: json.dumps(text).encode()))
def test_arbitrary_bytes_are_never_a_definite_answer(body: bytes) -> None:
    answers, fields = MAPPING.query.answers, MAPPING.fields
    assert isinstance(judge(read_json(body), 200, answers, fields, REFERENCE), Unknown)


@given(st.text(max_size=60))
def test_a_refusals_code_never_carries_a_number_of_somebody(text: str) -> None:
    document = done(2) | {"code": "0", "why": f"{text}{PHONE}"}
    fields = MAPPING.fields.model_copy(update={"error_code": "/why"})
    answer = judge(document, 200, MAPPING.issue.answers, fields, REFERENCE)
    assert answer == Rejected("REJECTED", retry_elsewhere=True)


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [
        ("", None),
        ("/a~1b", "1"),
        ("/m~0n", "2"),
        ("/list/1", "y"),
        ("/list/9", None),
        ("/list/-1", None),
        ("/no", None),
    ],
)
def test_pointers_are_those_of_rfc_6901(pointer: str, expected: str | None) -> None:
    assert text_at({"a/b": 1, "m~n": 2, "list": ["x", "y"]}, pointer) == expected


def test_the_mappings_that_are_shown_to_people_work() -> None:
    page = (ROOT / "docs/adding-a-supplier.md").read_text()
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    seeds = [json.loads(path.read_text()) for path in (ROOT / "seeds/suppliers").glob("*.json")]
    assert shown
    assert seeds
    for mapping in (*shown, *seeds):
        SupplierMapping.model_validate(mapping)


def test_mapped_is_registered_by_name() -> None:
    assert isinstance(PROTOCOLS["mapped"].connect(httpx2.AsyncClient(), a_contract()), MappedSupplier)
