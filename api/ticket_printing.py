"""Tickets on paper and on screens: a QR code as PNG, and a PDF with a page per ticket.

Chinese (and other CJK) text is set in STSong-Light, which every viewer of PDF has or replaces: nothing is embedded.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from zoneinfo import ZoneInfo

import segno
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A5
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph
from segno.encoder import DataOverflowError

from domain.gate import TicketHasNoCode, TicketStatus
from storage.tickets import StoredTicket

LINK_FORMAT = "PDF_URL"
"""The supplier's credential is a document of its own, at this address."""

_CJK = "STSong-Light"
_WIDTH, _HEIGHT = A5
_MARGIN, _QR = 36, 200
_INK, _QUIET, _ACCENT = HexColor("#1d2733"), HexColor("#5b6875"), HexColor("#0b5cad")
_PNG_SCALE, _QUIET_MODULES = 8, 4


@dataclass(frozen=True, slots=True)
class PrintedTicket:
    """A ticket and the code that its bearer shows; no code once it is void."""

    ticket: StoredTicket
    code: str

    @property
    def link(self) -> str | None:
        """The supplier's own document, where that is the credential."""
        return self.code if self.ticket.code_format == LINK_FORMAT else None


def qr_of(printed: PrintedTicket) -> segno.QRCode:
    """The QR code of what the bearer shows. Raises TicketHasNoCode where there is nothing that a QR code can hold."""
    if printed.link is not None or not printed.code:
        raise TicketHasNoCode(printed.ticket.code_format, printed.link)
    try:
        return segno.make_qr(printed.code, error="m")
    except DataOverflowError:
        raise TicketHasNoCode(printed.ticket.code_format, None) from None


def png_of(printed: PrintedTicket) -> bytes:
    """The QR code as PNG. Raises TicketHasNoCode."""
    file = io.BytesIO()
    qr_of(printed).save(file, kind="png", scale=_PNG_SCALE, border=_QUIET_MODULES)
    return file.getvalue()


def pdf_of(printed: Sequence[PrintedTicket], *, first: int, total: int) -> bytes:
    """A page per ticket, number `first` (from 1) and on of `total`. The same tickets make the same bytes."""
    if _CJK not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(UnicodeCIDFont(_CJK))
    file = io.BytesIO()
    canvas = Canvas(file, pagesize=A5, invariant=1)
    canvas.setTitle(f"Tickets of order {printed[0].ticket.ref.order_no:019d}")
    for number, each in enumerate(printed, start=first):
        _page(canvas, each, f"{number} / {total}")
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def _page(canvas: Canvas, printed: PrintedTicket, number: str) -> None:
    ticket = printed.ticket
    canvas.setFillColor(_ACCENT)
    canvas.rect(0, _HEIGHT - 10, _WIDTH, 10, stroke=0, fill=1)
    y = _text(canvas, ticket.product_title, _HEIGHT - 30, size=19, height=76)
    y = _text(canvas, _type_of(ticket), y - 4, size=12, height=48, color=_QUIET)
    void = ticket.standing.status is TicketStatus.VOID
    y = _void(canvas, ticket, y - 16) if void else _code(canvas, printed, y - 16)
    _facts(canvas, ticket, y - 18)
    canvas.setFont("Helvetica", 8)
    canvas.setFillColor(_QUIET)
    canvas.drawRightString(_WIDTH - _MARGIN, 22, number)


def _type_of(ticket: StoredTicket) -> str:
    """The variant, and its seat or whatever else its attributes say."""
    told = [
        f"{attribute['attributeName']} {attribute['value']}"
        for attribute in ticket.variant
        if isinstance(attribute, dict) and {"attributeName", "value"} <= attribute.keys()
    ]
    return ", ".join([ticket.variant_title, *told])


def _code(canvas: Canvas, printed: PrintedTicket, y: float) -> float:
    """The QR code, with a supplier's code as text below; or the link to the supplier's document."""
    if printed.link is not None:
        y = _text(canvas, "Open the ticket of the organiser:", y, size=11, height=20)
        bottom = _text(canvas, printed.link, y - 4, size=10, height=150, color=_ACCENT)
        canvas.linkURL(printed.link, (_MARGIN, bottom, _WIDTH - _MARGIN, y))
        return bottom
    try:
        _draw_qr(canvas, qr_of(printed), y)
    except TicketHasNoCode:
        return _text(canvas, printed.code, y, size=8, height=_QR)
    if printed.ticket.is_own:
        return y - _QR
    return _text(canvas, printed.code, y - _QR - 4, size=10, height=36)


def _draw_qr(canvas: Canvas, code: segno.QRCode, top: float) -> None:
    """Dark modules as rectangles, neighbours in a row as one."""
    rows = list(code.matrix)
    module = _QR / (len(rows) + 2 * _QUIET_MODULES)
    left, top = (_WIDTH - _QR) / 2 + _QUIET_MODULES * module, top - _QUIET_MODULES * module
    canvas.setFillColor(Color(0, 0, 0))
    for y, row in enumerate(rows):
        x = 0
        while x < len(row):
            run = x
            while run < len(row) and row[run]:
                run += 1
            if run > x:
                canvas.rect(left + x * module, top - (y + 1) * module, (run - x) * module, module, stroke=0, fill=1)
            x = run + 1


def _void(canvas: Canvas, ticket: StoredTicket, y: float) -> float:
    """No code: nobody gets in on this."""
    canvas.setFillColor(HexColor("#b3261e"))
    canvas.setFont("Helvetica-Bold", 54)
    canvas.drawCentredString(_WIDTH / 2, y - 70, "VOID")
    canvas.setFont(_CJK, 26)
    canvas.drawCentredString(_WIDTH / 2, y - 106, "已作废")
    y = _text(canvas, f"since {_local(ticket.standing.voided_at, ticket.time_zone)}", y - 120, size=10, height=16)
    return _text(canvas, ticket.standing.void_reason or "", y, size=10, height=32)


def _facts(canvas: Canvas, ticket: StoredTicket, y: float) -> None:
    window, standing = ticket.window, ticket.standing
    until = _local(window.closes_at, ticket.time_zone) if window.closes_at else "open"
    facts = [
        ("Serial", ticket.ref.serial),
        ("Order", f"{ticket.ref.order_no:019d}"),
        ("Valid from", _local(window.opens_at, ticket.time_zone)),
        ("Valid until", until),
    ]
    if ticket.starts_at:
        facts.insert(0, ("Starts", _local(ticket.starts_at, ticket.time_zone)))
    if standing.redeemed_at:
        facts.append(("Redeemed", f"{_local(standing.redeemed_at, ticket.time_zone)}, gate {standing.redeemed_gate}"))
    for name, value in facts:
        canvas.setFont("Helvetica", 8)
        canvas.setFillColor(_QUIET)
        canvas.drawString(_MARGIN, y, name)
        canvas.setFont("Helvetica-Bold", 10)
        canvas.setFillColor(_INK)
        canvas.drawString(_MARGIN + 64, y, value)
        y -= 17


def _text(canvas: Canvas, text: str, top: float, *, size: float, height: float, color: Color = _INK) -> float:
    """Text between the margins in a box of this height, set smaller until it fits; where it ends."""
    cjk = _needs_cjk(text)
    while True:
        style = ParagraphStyle(
            "text", fontName=_CJK if cjk else "Helvetica", fontSize=size, leading=size * 1.3, textColor=color,
            wordWrap="CJK", alignment=0,
        )  # fmt: skip
        if not cjk and " " in text:
            style.wordWrap = None
        paragraph = Paragraph(escape(text), style)
        _, needed = paragraph.wrap(_WIDTH - 2 * _MARGIN, height)
        if needed <= height or size <= 3:
            paragraph.drawOn(canvas, _MARGIN, top - needed)
            return float(top - needed)
        size -= 1


def _needs_cjk(text: str) -> bool:
    """Whether Helvetica, which has Latin-1, can't set it."""
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return True
    return False


def _local(moment: datetime | None, time_zone: str) -> str:
    """As clocks at the venue show it."""
    return f"{moment.astimezone(ZoneInfo(time_zone)):%Y-%m-%d %H:%M} ({time_zone})" if moment else "-"
