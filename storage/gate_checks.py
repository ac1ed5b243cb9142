"""What the inspection asks of gates: each ticket's status, its scans and the events about it agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import LiteralString

GATE_CHECKS: Mapping[str, LiteralString] = {
    "redeemed_once": """
        SELECT t.order_no || '/' || t.line_no || '/' || t.unit AS subject,
            t.status || ', and ' || count(s.id) || ' admitted at gates' AS detail
        FROM tickets AS t LEFT JOIN ticket_scans AS s ON s.order_no = t.order_no AND s.line_no = t.line_no
            AND s.unit = t.unit AND s.outcome = 'admitted'
        GROUP BY t.order_no, t.line_no, t.unit HAVING count(s.id) <> CASE t.status WHEN 'redeemed' THEN 1 ELSE 0 END""",
    "used_is_paid_or_a_case": """
        SELECT t.order_no || '/' || t.line_no || '/' || t.unit AS subject,
            'it was used, its line is refunded, and nobody was told' AS detail
        FROM tickets AS t JOIN order_lines AS l USING (order_no, line_no)
        WHERE t.status = 'redeemed' AND l.status = 'refunded' AND NOT EXISTS (
            SELECT FROM order_exceptions AS e WHERE e.order_no = t.order_no AND e.line_no = t.line_no
                AND e.kind = 'used_and_refunded')""",
    "redeemed_is_told": """
        SELECT s.order_no || '/' || s.line_no || '/' || s.unit AS subject, 'its distributor was not told' AS detail
        FROM ticket_scans AS s WHERE s.outcome = 'admitted' AND NOT EXISTS (
            SELECT FROM outbox_events AS e WHERE e.subject_id = lpad(s.order_no::text, 19, '0')
                AND e.kind = 'ticket.redeemed' AND (e.body ->> 'line_no')::int = s.line_no
                AND (e.body ->> 'unit')::int = s.unit)""",
}
