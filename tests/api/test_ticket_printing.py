"""What buyers get in hand: QR codes that scanners read back, and pages that say VOID where a ticket is."""

from __future__ import annotations

import base64
import io
import re
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import zxingcpp
from PIL import Image

from adapters.gate.tokens import TicketClaim, TicketKeys
from api.ticket_printing import PrintedTicket, pdf_of, png_of, qr_of
from domain.gate import TicketHasNoCode, TicketRef, TicketStanding, TicketStatus, Window
from storage.tickets import StoredTicket

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
KEYS = TicketKeys.read("printing")
OWN = StoredTicket(
    ref=TicketRef(1039000000000000001, 1, 0),
    distributor_id="north",
    buyer_ref=None,
    product_id="prd",
    product_title="故宫博物院《千里江山图》特展 Imperial Palace",
    variant_title="成人票 Adult",
    variant=[{"attributeId": 7, "attributeName": "座位", "value": "A 区 12 排 3 座"}],
    starts_at=NOON,
    time_zone="Asia/Shanghai",
    window=Window(NOON - timedelta(hours=3), NOON + timedelta(hours=4)),
    code="",
    code_format="TESSERA",
    supplier_ticket_id="",
    issued_at=NOON,
    standing=TicketStanding(TicketStatus.VALID),
    position=1,
)


def own(ticket: StoredTicket = OWN) -> PrintedTicket:
    return PrintedTicket(ticket, KEYS.token_of(TicketClaim(ticket.ref, ticket.window)))


def of_supplier(code: str, code_format: str = "QRCODE") -> PrintedTicket:
    return PrintedTicket(replace(OWN, code=code, code_format=code_format), code)


def void() -> PrintedTicket:
    standing = TicketStanding(TicketStatus.VOID, voided_at=NOON, void_reason="演出取消")
    return PrintedTicket(replace(OWN, standing=standing), "")


def read_back(png: bytes) -> str:
    (found,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(png)).convert("L"))
    return str(found.text)


@pytest.mark.parametrize("printed", [own(), of_supplier("NG-4711/a b"), of_supplier("12345678", "CODE128")])
def test_a_scanner_reads_from_the_png_what_the_gate_expects(printed: PrintedTicket) -> None:
    assert read_back(png_of(printed)) == printed.code


def test_our_tokens_make_small_qr_codes() -> None:
    assert int(qr_of(own()).version) <= 7


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        (of_supplier("https://tickets.example/7.pdf", "PDF_URL"), "https://tickets.example/7.pdf"),
        (of_supplier("x" * 4000), "QRCODE"),
        (void(), "TESSERA"),
    ],
    ids=["a document", "more than a QR code holds", "void"],
)
def test_what_is_no_qr_code_is_refused_with_where_to_look(printed: PrintedTicket, told: str) -> None:
    with pytest.raises(TicketHasNoCode, match=told):
        png_of(printed)


def test_the_pdf_has_a_page_per_ticket_and_the_same_tickets_make_the_same_bytes() -> None:
    tickets = [own(), void(), of_supplier("https://tickets.example/7.pdf", "PDF_URL"), of_supplier("x" * 4000)]
    pdf = pdf_of(tickets, first=1, total=4)
    assert pdf.startswith(b"%PDF")
    assert b"/Count 4" in pdf
    assert b"STSong-Light" in pdf
    assert b"https://tickets.example/7.pdf" in pdf
    assert pdf == pdf_of(tickets, first=1, total=4)


def test_a_void_page_says_so_and_draws_no_code() -> None:
    assert "(VOID)" in drawing_of(void())
    assert drawing_of(void()).count(" re f") == 1  # the band on top
    assert "(VOID)" not in drawing_of(own())
    assert drawing_of(own()).count(" re f") > 300  # the code's modules


def drawing_of(printed: PrintedTicket) -> str:
    """The page's drawing operators."""
    pdf = pdf_of([printed], first=1, total=1)
    pages = re.findall(rb"stream\r?\n(.*?)~>", pdf, re.DOTALL)
    return "".join(zlib.decompress(base64.a85decode(page.strip())).decode("latin-1") for page in pages)


@pytest.mark.parametrize("title", ["W" * 200, "字" * 200, "a <b>&amp; c", "Ω Ελλάδα", ""])
def test_any_title_can_be_set(title: str) -> None:
    assert pdf_of([own(replace(OWN, product_title=title, variant_title=title))], first=1, total=1)
