"""The catalogue of error codes: for each the HTTP status, a title, and whether sending the same again may succeed.

A code that is not here is a business refusal: 409, or 404 where it ends in `_not_found`.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class Kind:
    """What a code means to a client. `retryable`: the same request with the same Idempotency-Key may yet succeed."""

    status: int
    title: str
    help: str
    retryable: bool = False


CATALOGUE: dict[str, Kind] = {
    "malformed_json": Kind(400, "Malformed body", "The body is not JSON in UTF-8, or is nested too deeply."),
    "bad_request": Kind(400, "Bad request", "The request cannot be understood as HTTP for this address."),
    "idempotency_key_missing": Kind(
        400, "Idempotency-Key missing", "Send a fresh `Idempotency-Key` per wish, and the same one when you repeat it."
    ),
    "idempotency_key_invalid": Kind(
        400, "Idempotency-Key invalid", "One header of 1 to 255 characters of A-Z a-z 0-9 _ - : . , quoted or bare."
    ),
    "cursor_invalid": Kind(
        400, "Cursor invalid", "Use `next_cursor` unchanged, with the same filters and the same caller; or start anew."
    ),
    "feed_scope_changed": Kind(
        410, "Permissions changed", "Read the feed anew without a cursor, and drop whatever that reading does not list."
    ),
    "unauthenticated": Kind(401, "Not authenticated", "Send a valid key; the reason of a refusal is never told."),
    "not_permitted": Kind(403, "Not permitted", "The caller is known and has no grant for this action or resource."),
    "not_found": Kind(404, "Not found", "No such address, or nothing of yours under this id."),
    "method_not_allowed": Kind(405, "Method not allowed", "The `Allow` header names the methods of this address."),
    "not_acceptable": Kind(406, "Not acceptable", "The address cannot answer in the media type asked for."),
    "request_in_flight": Kind(
        409, "Still running", "The first request with this key has no answer yet: repeat it after `Retry-After`.", True
    ),
    "precondition_failed": Kind(412, "Changed meanwhile", "`If-Match` names another version: read again."),
    "body_too_large": Kind(413, "Body too large", "At most 1 MiB per request; bulk imports 256 MiB."),
    "too_many_lines": Kind(413, "Too many lines", "At most 200,000 lines per bulk import."),
    "uri_too_long": Kind(414, "Address too long", "Path and query are at most 8 KiB."),
    "unsupported_media_type": Kind(
        415, "Unsupported media type", "Send `Content-Type: application/json`; bulk imports are `application/x-ndjson`."
    ),
    "validation_failed": Kind(422, "Invalid input", "`errors` names each field by a JSON pointer."),
    "idempotency_key_reused": Kind(
        422, "Idempotency-Key reused", "This key belongs to another body: use a fresh key for another wish."
    ),
    "rate_limited": Kind(429, "Too many requests", "Wait for `Retry-After`.", True),
    "internal_error": Kind(
        500, "Internal error", "Our fault: repeat it with the same Idempotency-Key, or report it.", True
    ),
    "database_unavailable": Kind(503, "Unavailable", "The database cannot be asked now: try again.", True),
    "temporal_unavailable": Kind(503, "Unavailable", "The workflow service cannot be asked now: try again.", True),
    "overloaded": Kind(503, "Overloaded", "Too much at once: try again after `Retry-After`.", True),
    "not_ready": Kind(503, "Not ready", "`missing` names what this process cannot reach.", True),
    "currency_mismatch": Kind(409, "Currency mismatch", "One currency per order; nothing is converted."),
    "unknown_kind": Kind(422, "Unknown kind", "`known` names the kinds of things that are sold."),
    "not_grantable": Kind(422, "Not grantable", "Only an operator's role gives this action."),
    "promotion_invalid": Kind(422, "Invalid promotion", "Terms, window or coupons that nobody can have meant."),
    "login_refused": Kind(
        401, "Login refused", "E-mail and password, and whether the account may log in now: which is wrong is not told."
    ),
    "password_weak": Kind(422, "Weak password", "It is among those that are tried first: choose another."),
    "checkout_required": Kind(422, "Checkout required", "Shoppers place what a checkout has shown them."),
    "voucher_invalid": Kind(422, "Invalid voucher", "A voucher that nobody can have meant; `detail` says why."),
    "order_state_conflict": Kind(409, "State conflict", "`state` is the order's, `allowed_from` names the legal ones."),
    "illegal_transition": Kind(409, "State conflict", "`state` is the present one, `allowed_from` the legal ones."),
    "ticket_unknown": Kind(404, "Ticket unknown", "No ticket has this code: do not admit; look up the order."),
    "ticket_forged": Kind(422, "Ticket forged", "No key of ours has signed this code: do not admit; scan once more."),
    "ticket_redeemed": Kind(409, "Ticket redeemed", "`redeemed_at` and `gate_id` say when and where: do not admit."),
    "ticket_void": Kind(409, "Ticket void", "It was taken back; `reason` says why: do not admit."),
    "ticket_not_valid_now": Kind(409, "Too early or too late", "`valid_from` and `valid_until` are its window."),
    "issuance_undecided": Kind(409, "Issuance undecided", "The supplier may have issued: wait until that is known."),
}

_STATUS_CODES: dict[int, str] = {
    400: "bad_request",
    401: "unauthenticated",
    403: "not_permitted",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    412: "precondition_failed",
    413: "body_too_large",
    414: "uri_too_long",
    415: "unsupported_media_type",
    422: "validation_failed",
    429: "rate_limited",
    503: "overloaded",
}


def kind_of(code: str) -> Kind:
    """The catalogue's entry, or what an unlisted business refusal is."""
    if known := CATALOGUE.get(code):
        return known
    title = code.replace("_", " ").capitalize()
    if code.endswith("_not_found"):
        return Kind(404, title, "Nothing of yours has this id.")
    return Kind(409, title, "A rule of the business refuses this; `detail` says which and what would help.")


def code_of(status: int) -> str:
    """The code of a framework's error that has only a status."""
    if status in _STATUS_CODES:
        return _STATUS_CODES[status]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "internal_error"
    return "bad_request"


def is_final(status: int) -> bool:
    """Whether a refusal is the business's last word, which an Idempotency-Key remembers.

    Not so: who the caller is (401, 403), what it may be asked (400, 413, 415, 422), how often (429) and our own
    weather (5xx), so that a repetition can still finish the work.
    """
    return status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.GONE)
