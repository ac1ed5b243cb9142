"""The channel's own page, where a payer pays or gives up: the same for every channel, whatever merchants speak."""

from __future__ import annotations

from html import escape
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from simulators.common.answering import bounded_body
from simulators.common.faults import Strike
from simulators.payment.book import Payment
from simulators.payment.channels import ChannelSettings
from simulators.payment.dealings import Refusal
from simulators.payment.faces import Office

GIVEN_UP = "canceled_by_payer"

_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "Cache-Control": "no-store"}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:1.1rem system-ui;max-width:24rem;margin:15vh auto;padding:0 1rem}}
button{{font:inherit;padding:.5em 1.5em}}</style>
</head><body><h1>{title}</h1>{content}</body></html>
"""
_FORM = """<p>{subject}</p><p><strong>{amount}</strong></p>
<form method="post"><button name="outcome" value="pay">Pay</button>
<button name="outcome" value="fail">Cancel</button></form>"""
_ENDED = "<p>{subject}</p><p>The payment is {status}.</p>"


def pay_url(request: Request, payment: Payment) -> str:
    """Where the payer pays, at the address under which we were asked."""
    return f"{request.base_url}{payment.supplier}/cashier/{quote(payment.reference, safe='')}"


class PayPage:
    def __init__(self, office: Office) -> None:
        self._office = office

    def routes(self) -> list[Route]:
        path = "/{channel}/cashier/{reference}"
        return [Route(path, self.show, methods=["GET"]), Route(path, self.act, methods=["POST"])]

    def error(self, status: int, code: str, message: str) -> Response:
        content = _PAGE.format(title=escape(code), content=f"<p>{escape(message)}</p>")
        return HTMLResponse(content, status, _HEADERS)

    def refusal(self, refusal: Refusal) -> Response:
        return self.error(404 if refusal.code == "unknown_reference" else 409, refusal.code, str(refusal))

    async def show(self, request: Request) -> Response:
        channel = self._office.channel(request)
        if channel is None:
            return self.error(404, "unknown_channel", "No such channel")
        try:
            payment = self._office.cashier.payment(channel, request.path_params["reference"])
        except Refusal as refusal:
            return self.refusal(refusal)
        return HTMLResponse(_page(channel, payment), headers=_HEADERS)

    async def act(self, request: Request) -> Response:
        """Pay, or with `outcome=fail` fail; then back to the merchant, where that said where."""
        channel, reference = self._office.channel(request), request.path_params["reference"]
        if channel is None:
            return self.error(404, "unknown_channel", "No such channel")
        form = parse_qs((await bounded_body(request) or b"").decode(errors="replace"))

        def work(struck: Strike[Any]) -> Response:
            cashier = self._office.cashier
            if form.get("outcome") == ["fail"]:
                outcome = cashier.fail(channel, reference, GIVEN_UP)
            else:
                outcome = cashier.pay(channel, reference, struck)
            self._office.messenger.follow(outcome)
            return RedirectResponse(outcome.payment.return_url or str(request.url), 303)

        return await self._office.attend(request, channel, "pay", reference, work, self)


def _page(channel: ChannelSettings, payment: Payment) -> str:
    subject = escape(payment.subject)
    if payment.status != "waiting":
        content = _ENDED.format(subject=subject, status=payment.status)
    else:
        amount = f"{payment.amount_minor:,} {escape(payment.currency)} (minor units)"
        content = _FORM.format(subject=subject, amount=amount)
    return _PAGE.format(title=escape(channel.title), content=content)
