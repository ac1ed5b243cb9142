"""Pages for people: the interactive contract at /docs, which needs no internet, and what an error code means.

Swagger UI's files come with the package `fastapi-swagger`; of that package only these files are used, since its own
routes declare no permission.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from importlib import resources
from typing import Literal

from fastapi import Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, Response

from api.codes import Kind
from api.deps import capability, public

router = capability("Documentation")

Asset = Literal["swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"]
_MEDIA_TYPES: Mapping[Asset, str] = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
_ASSETS = "/docs/assets"

TITLE = "Tessera"
DESCRIPTION = """
Workflow-orchestrated ticket fulfilment: every order is a durable process that ends issued or refunded.

**Start here**, on the sample data that `tessera up` makes:

1. **Key**: open `keys.json` in the data directory (`.tessera`), copy the token of the distributor `meridian`, press
   **Authorize** and paste it. `GET /v1/me` then says who you are and what you may do.
2. **Look**: `GET /v1/products?kind=ticket` lists what is on the shelf, with your prices and the ids of the variants.
3. **Place**: `POST /v1/orders` with the example body as it is. Stock, credit and seats are held until
   `hold_expires_at`.
4. **Confirm**: `POST /v1/orders/{order_no}/confirm`. The tickets are issued; `202` means that the supplier is still
   being asked.
5. **Watch**: `GET /v1/orders/{order_no}` shows tickets, money and timeline; `GET /v1/events` is the feed of changes.

The operators of the same file see the other side: cases at `GET /v1/exceptions`, suppliers, accounts.

**In general**

- Every POST that makes or moves something takes an `Idempotency-Key`: a fresh one per wish, the same one to repeat it.
- Errors are RFC 9457 problem documents; their `code` is stable and explained at [/errors](/errors), `retryable` says
  whether the same request may succeed later.
- Lists are read with `limit` and `cursor`: pass `next_cursor` on unchanged.
- Money is minor units with its currency, times are RFC 3339 in UTC, order numbers are strings of digits.
- The contract as OpenAPI 3.1: [/openapi.json](/openapi.json). How it works inside: `docs/` in the repository.
"""

TAGS = [
    {"name": "Orders", "description": "Place, confirm, watch; before confirming, cancel or extend."},
    {"name": "Tickets", "description": "What buyers show: QR codes and PDF, serials, voiding."},
    {"name": "Gate", "description": "Redeeming tickets, with and without a line to us."},
    {"name": "Events", "description": "What changed, in order, for those who pull."},
    {"name": "Catalogue", "description": "What can be sold: products, variants, prices, sessions."},
    {"name": "Promotions", "description": "What is taken off prices, and the coupons that open it."},
    {"name": "Balances", "description": "Coins and vouchers: what shoppers have with us, granted by operators."},
    {"name": "Inventory", "description": "Our own stock: warehouses, levels, receipts, transfers, stocktakes, alerts."},
    {"name": "Cases", "description": "What a person has to decide or to know."},
    {"name": "Suppliers", "description": "Contracts, scorecards, breakers, and the synchronisation of catalogues."},
    {"name": "Suppliers' callbacks", "description": "What suppliers send to us, signed."},
    {"name": "Payments", "description": "What shoppers pay, for one or many orders, and what goes back to them."},
    {"name": "Payment channels", "description": "What can be paid by, and the contracts behind it."},
    {"name": "Payment channels' callbacks", "description": "What payment channels send to us, signed."},
    {"name": "Checkouts", "description": "What a shopper will be charged, before it is placed."},
    {"name": "Shoppers", "description": "Accounts of our own storefront: register, log in, log out."},
    {"name": "Accounts", "description": "Distributors, operators, keys, grants, credit lines."},
    {"name": "Operations", "description": "Life, readiness, metrics, and the catalogue of error codes."},
]

_STYLE = """body{font:16px/1.6 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;color:#1d2733}
code{background:#eef1f4;padding:.1em .35em;border-radius:.25em}table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #dde3e8;vertical-align:top}a{color:#0b5cad}"""


@router.get("/docs", dependencies=[public()], include_in_schema=False)
async def read_docs() -> HTMLResponse:
    """Swagger UI over /openapi.json; a key that was entered stays in the browser."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=f"{TITLE} API",
        swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{_ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{_ASSETS}/favicon-32x32.png",
        swagger_ui_parameters={
            "persistAuthorization": True,
            "displayRequestDuration": True,
            "docExpansion": "list",
            "defaultModelsExpandDepth": 0,
            "filter": True,
        },
    )


@router.get(f"{_ASSETS}/{{name}}", dependencies=[public()], include_in_schema=False)
async def read_asset(name: Asset) -> Response:
    """One of Swagger UI's files."""
    return Response(_asset(name), media_type=_MEDIA_TYPES[name], headers={"Cache-Control": "public, max-age=86400"})


@cache
def _asset(name: Asset) -> bytes:
    return resources.files("fastapi_swagger").joinpath("resources", name).read_bytes()


def wants_page(request: Request) -> bool:
    """Whether a browser asks: it names HTML, which programs don't."""
    return "text/html" in request.headers.get("accept", "")


def code_page(code: str, kind: Kind) -> HTMLResponse:
    """What one error code means, for the person who followed a problem's `type`."""
    again = (
        "Yes: send the same request with the same <code>Idempotency-Key</code> after <code>Retry-After</code>."
        if kind.retryable
        else "No: the same request will be refused again."
    )
    return _page(
        kind.title,
        f"<p><code>{escape(code)}</code>, HTTP status {kind.status}</p><p>{_marked(kind.help)}</p>"
        f"<h2>Does repeating help?</h2><p>{again}</p>"
        "<p><a href='/errors'>All codes</a> · <a href='/docs'>The API</a></p>",
    )


def codes_page(catalogue: Iterable[tuple[str, Kind]]) -> HTMLResponse:
    """All listed codes as a table."""
    rows = "".join(
        f"<tr><td><a href='/errors/{code}'><code>{code}</code></a></td><td>{kind.status}</td>"
        f"<td>{_marked(kind.help)}</td></tr>"
        for code, kind in catalogue
    )
    note = (
        "<p>A code that is not listed is a refusal of the business: 409, or 404 where it ends in "
        "<code>_not_found</code>; its <code>detail</code> says what would help.</p>"
    )
    head = "<tr><th>Code</th><th>Status</th><th>What to do</th></tr>"
    return _page("Error codes", f"{note}<table>{head}{rows}</table><p><a href='/docs'>The API</a></p>")


def _marked(text: str) -> str:
    """Escaped, with `words` in backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def _page(title: str, body: str) -> HTMLResponse:
    return HTMLResponse(
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)} · {TITLE}</title>"
        f"<meta name='viewport' content='width=device-width'><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{body}</body></html>"
    )
