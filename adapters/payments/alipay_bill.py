"""Alipay's bill of a day: CSV in GB 18030, zipped or not, with remarks that begin with `#` around the table.

The last remark says that the table is complete: without it the bill was cut off.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from typing import IO

from adapters.payments import BillUnreadable
from adapters.payments.alipay_bodies import CURRENCY, beijing_time, fen
from domain.channels import BillLine

ENCODING = "gb18030"
END_REMARK = "业务明细列表结束"
TABLE_FILE, SUMMARY_MARK = "业务明细", "汇总"
PAYMENT, REFUND = "交易", "退款"
TRADE_NO, OUT_TRADE_NO, KIND, AT = "支付宝交易号", "商户订单号", "业务类型", "完成时间"
AMOUNT, REQUEST_NO, FEE = "订单金额（元）", "退款批次号/请求号", "服务费（元）"
_NEEDED = (TRADE_NO, OUT_TRADE_NO, KIND, AT, AMOUNT, REQUEST_NO, FEE)


def read_bill(file: IO[bytes]) -> Iterator[BillLine]:
    """The lines of a bill, read as they are taken. Raises BillUnreadable, also after lines that were good."""
    try:
        with _table(file) as table:
            yield from _lines(table)
    # NotImplementedError is what zipfile raises for a compression that it does not know
    except (ValueError, KeyError, csv.Error, zipfile.BadZipFile, EOFError, NotImplementedError) as unreadable:
        raise BillUnreadable(f"the bill can't be read: {type(unreadable).__name__}") from unreadable


def _table(file: IO[bytes]) -> io.TextIOWrapper:
    zipped = file.read(2) == b"PK"
    file.seek(0)
    if not zipped:
        return io.TextIOWrapper(file, ENCODING, newline="")
    archive = zipfile.ZipFile(file)
    names = [name for name in archive.namelist() if name.endswith(".csv") and SUMMARY_MARK not in name]
    if len(names) != 1:
        raise BillUnreadable(f"the archive has {len(names)} tables instead of one")
    return io.TextIOWrapper(archive.open(names[0]), ENCODING, newline="")


def _lines(table: io.TextIOWrapper) -> Iterator[BillLine]:
    columns: list[str] | None = None
    complete = False
    for row in csv.reader(table):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if cells[0].startswith("#"):
            complete = complete or END_REMARK in cells[0]
        elif columns is None:
            columns = cells
            if missing := [name for name in _NEEDED if name not in columns]:
                raise BillUnreadable(f"the bill has no column {missing[0]}")
        else:
            line = _line(dict(zip(columns, cells, strict=True)))
            if line is not None:
                yield line
    if not complete:
        raise BillUnreadable("the bill has no end: it was cut off")


def _line(cells: dict[str, str]) -> BillLine | None:
    """None for what is neither payment nor refund. A fee stands there as what it takes away: below zero."""
    if cells[KIND] not in (PAYMENT, REFUND):
        return None
    payment = cells[KIND] == PAYMENT
    return BillLine(
        kind="payment" if payment else "refund",
        reference=cells[OUT_TRADE_NO] if payment else cells[REQUEST_NO],
        channel_reference=cells[TRADE_NO],
        amount_minor=fen(cells[AMOUNT]),
        fee_minor=-fen(cells[FEE]),
        currency=CURRENCY,
        at=beijing_time(cells[AT]),
    )
