"""Tickets of our own, which nobody outside issues: minted where their line is issued."""

from __future__ import annotations

from datetime import datetime

from storage.database import Connection


async def mint_tickets(cx: Connection, order_no: int, line_no: int, *, at: datetime) -> int:
    """One ticket per unit of the line; how many it has now. A repeat changes nothing."""
    await cx.execute(
        """
        INSERT INTO tickets (order_no, line_no, unit, supplier_ticket_id, code, code_format, issued_at)
        SELECT order_no, line_no, unit - 1, '', '', 'TESSERA', %s
        FROM order_lines, generate_series(1, quantity) AS unit WHERE order_no = %s AND line_no = %s
        ON CONFLICT DO NOTHING
        """,
        (at, order_no, line_no),
    )
    count = "SELECT count(*) AS n FROM tickets WHERE order_no = %s AND line_no = %s"
    cursor = await cx.execute(count, (order_no, line_no))
    row = await cursor.fetchone()
    return int(row["n"]) if row else 0
