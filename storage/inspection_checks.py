"""The invariants that are sums over tables: one statement each, whose rows (`subject`, `detail`) are the violations.

Parameters: `promise_s`, `waiting_s`, `grace_s` (domain/inspection.py), `gated`, the kinds whose units are tickets, and
`limit`, the most rows that are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import LiteralString

from storage.balance_checks import BALANCE_CHECKS
from storage.catalog_checks import CATALOGUE
from storage.gate_checks import GATE_CHECKS
from storage.payment_checks import PAYMENT_CHECKS
from storage.promotion_checks import PROMOTION_CHECKS

_MONEY: dict[str, LiteralString] = {
    "promise_kept": """
        SELECT o.order_no::text AS subject, o.status || ' since ' || o.confirmed_at AS detail FROM orders AS o
        WHERE o.status IN ('issuing', 'refunding') AND o.confirmed_at < now() - make_interval(secs => %(promise_s)s)
            AND NOT EXISTS (SELECT FROM order_exceptions AS e WHERE e.order_no = o.order_no AND e.state = 'open')""",
    "issued_xor_refunded": """
        SELECT order_no || '/' || line_no AS subject, 'issued, and refunded ' || refunded_minor AS detail
        FROM order_lines WHERE status = 'issued' AND refunded_minor > 0 AND refunded_minor = total_minor""",
    "refunded_whole": """
        SELECT l.order_no || '/' || l.line_no AS subject, 'refunded ' || l.refunded_minor || ' of ' || l.total_minor
            || ' although it was never issued' AS detail
        FROM order_lines AS l
        WHERE l.status = 'refunded' AND l.issued_at IS NULL AND l.refunded_minor <> l.total_minor""",
    "one_confirmed_booking": """
        SELECT order_no || '/' || line_no AS subject, count(*) || ' confirmed bookings' AS detail
        FROM bookings WHERE state = 'confirmed' GROUP BY order_no, line_no, attempt / 1000 HAVING count(*) > 1""",
    "units_as_issued": """
        SELECT l.order_no || '/' || l.line_no AS subject,
            format('%%s, %%s pieces, its units have %%s', l.status, l.quantity, coalesce(sum(u.quantity), 0)) AS detail
        FROM order_lines AS l LEFT JOIN fulfilment_units AS u USING (order_no, line_no)
        WHERE l.status = 'issued' AND l.issued_at > (
            SELECT min(issued_at) FROM fulfilment_units)
        GROUP BY l.order_no, l.line_no HAVING coalesce(sum(u.quantity), 0) <> l.quantity""",
    "codes_once": """
        SELECT l.sku_id || ' code of ' || min(u.order_no) AS subject, count(*) || ' units show the same code' AS detail
        FROM fulfilment_units AS u JOIN order_lines AS l USING (order_no, line_no)
        WHERE u.code_format = 'CODE' AND u.code <> '' GROUP BY l.sku_id, u.code HAVING count(*) > 1""",
    "codes_as_handed_out": """
        SELECT l.order_no || '/' || l.line_no AS subject,
            format('%%s codes have left the pool for %%s units', c.handed_out, l.quantity) AS detail
        FROM order_lines AS l CROSS JOIN LATERAL (
            SELECT count(*) AS handed_out FROM codes AS c
            WHERE (c.order_no, c.line_no) = (l.order_no, l.line_no) AND c.state = 'handed_out') AS c
        WHERE l.status = 'issued' AND c.handed_out <> l.quantity AND EXISTS (
            SELECT FROM fulfilment_units AS u
            WHERE (u.order_no, u.line_no) = (l.order_no, l.line_no) AND u.code_format = 'CODE' AND u.attempt = 0)""",
    "code_hold_ends": """
        SELECT c.order_no || '/' || c.line_no AS subject, 'a code is held, and the line is ' || l.status AS detail
        FROM codes AS c JOIN order_lines AS l USING (order_no, line_no) JOIN orders AS o USING (order_no)
        WHERE c.state = 'held' AND l.status NOT IN ('pending', 'locked', 'issuing')
            AND o.updated_at < now() - make_interval(secs => %(grace_s)s)""",
    "tickets_as_issued": """
        SELECT l.order_no || '/' || l.line_no AS subject,
            l.status || ', ' || l.quantity || ' units, ' || count(t.unit) || ' tickets' AS detail
        FROM order_lines AS l
        LEFT JOIN tickets AS t ON t.order_no = l.order_no AND t.line_no = l.line_no
            AND (t.status = 'valid' OR (l.status = 'issued' AND (t.status = 'redeemed' OR t.voided_by IS NOT NULL)))
        WHERE l.status NOT IN ('refunding', 'refund_failed')
        GROUP BY l.order_no, l.line_no
        HAVING count(t.unit) <> CASE
            WHEN l.status <> 'issued' THEN 0 WHEN l.kind = ANY(%(gated)s) THEN l.quantity ELSE count(t.unit) END""",
}

_ANSWERS: dict[str, LiteralString] = {
    "accepted_claim_has_order": """
        SELECT c.order_no::text AS subject, 'claim with an accepted answer, and no order' AS detail
        FROM order_claims AS c WHERE c.answer IS NOT NULL AND NOT c.refused
            AND NOT EXISTS (SELECT FROM orders AS o WHERE o.order_no = c.order_no)""",
    "claim_answered": """
        SELECT order_no::text AS subject, 'claim without an answer since ' || created_at AS detail
        FROM order_claims WHERE answer IS NULL
            AND greatest(sent_until, created_at) < now() - make_interval(secs => %(waiting_s)s)""",
    "callback_handed_over": """
        SELECT supplier_id || ' ' || message_id AS subject, 'waiting since ' || received_at AS detail
        FROM supplier_callbacks
        WHERE state = 'waiting' AND received_at < now() - make_interval(secs => %(waiting_s)s)""",
    "callback_matched": """
        SELECT c.supplier_id || ' ' || c.message_id AS subject, 'unmatched, and ' || b.order_no || '/' || b.line_no
            || ' has its reference' AS detail
        FROM supplier_callbacks AS c JOIN bookings AS b
            ON b.reference = c.reference AND b.supplier_id = c.supplier_id
        WHERE c.state = 'unmatched'""",
}

_STOCK: dict[str, LiteralString] = {
    "stock_not_negative": """
        SELECT sku_id || ' ' || warehouse_id AS subject, 'on hand ' || on_hand || ', held ' || held AS detail
        FROM stock WHERE held < 0 OR held > on_hand OR sold < 0""",
    "stock_as_moved": """
        WITH moved AS (
            SELECT sku_id, warehouse_id,
                sum(CASE WHEN kind IN ('sold', 'transferred_out') THEN -quantity ELSE quantity END) AS on_hand,
                sum(CASE kind WHEN 'sold' THEN quantity WHEN 'returned' THEN -quantity ELSE 0 END) AS sold
            FROM stock_movements GROUP BY sku_id, warehouse_id)
        SELECT sku_id || ' ' || warehouse_id AS subject, format('on hand %%s, sold %%s; by its movements %%s and %%s',
            s.on_hand, s.sold, coalesce(m.on_hand, 0), coalesce(m.sold, 0)) AS detail
        FROM stock AS s FULL JOIN moved AS m USING (sku_id, warehouse_id)
        WHERE (coalesce(s.on_hand, 0), coalesce(s.sold, 0)) <> (coalesce(m.on_hand, 0), coalesce(m.sold, 0))""",
    "stock_held_as_holds": """
        WITH holds AS (
            SELECT sku_id, warehouse_id, sum(quantity) AS held FROM stock_holds WHERE state = 'held' GROUP BY 1, 2)
        SELECT sku_id || ' ' || warehouse_id AS subject,
            format('held %%s, by its open holds %%s', s.held, coalesce(h.held, 0)) AS detail
        FROM stock AS s FULL JOIN holds AS h USING (sku_id, warehouse_id)
        WHERE coalesce(s.held, 0) <> coalesce(h.held, 0)""",
    "stock_hold_ends": """
        SELECT h.order_no || '/' || h.line_no AS subject,
            h.state || ' while the order is ' || coalesce(o.status, 'missing') AS detail
        FROM stock_holds AS h LEFT JOIN orders AS o USING (order_no)
        WHERE h.state IN ('held', 'taken', 'checked') AND (o.status IS NULL OR (o.status NOT IN ('pending', 'locked')
            AND o.updated_at < now() - make_interval(secs => %(grace_s)s)))""",
    "stock_hold_whole": """
        SELECT h.order_no || '/' || h.line_no AS subject,
            format('holds of %%s in all warehouses, for a line of %%s', sum(h.quantity), l.quantity) AS detail
        FROM stock_holds AS h JOIN order_lines AS l USING (order_no, line_no)
        GROUP BY h.order_no, h.line_no, l.quantity HAVING sum(h.quantity) <> l.quantity""",
    "stock_transfer_balanced": """
        SELECT regexp_replace(key, '/(out|in)$', '') || ' ' || sku_id AS subject,
            'out and in differ by ' || sum(CASE kind WHEN 'transferred_in' THEN quantity ELSE -quantity END) AS detail
        FROM stock_movements WHERE kind IN ('transferred_out', 'transferred_in')
        GROUP BY regexp_replace(key, '/(out|in)$', ''), sku_id
        HAVING sum(CASE kind WHEN 'transferred_in' THEN quantity ELSE -quantity END) <> 0""",
    "stock_alert_as_level": """
        SELECT s.sku_id || ' ' || s.warehouse_id AS subject,
            format('%%s available, alert below %%s, and %%s open alert', s.on_hand - s.held, s.alert_below,
                CASE WHEN a.id IS NULL THEN 'no' ELSE 'an' END) AS detail
        FROM stock AS s LEFT JOIN stock_alerts AS a
            ON a.sku_id = s.sku_id AND a.warehouse_id = s.warehouse_id AND a.cleared_at IS NULL
        WHERE coalesce(s.on_hand - s.held < s.alert_below, false) <> (a.id IS NOT NULL)""",
    "credit_as_flows": """
        SELECT c.distributor_id AS subject,
            format('outstanding %%s, by its flows %%s', c.outstanding_minor, f.amount_minor) AS detail
        FROM credit_lines AS c CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount_minor), 0) AS amount_minor FROM receivable_flows AS r
            WHERE r.distributor_id = c.distributor_id AND NOT EXISTS (
                SELECT FROM orders AS o WHERE o.order_no = r.order_no AND o.pays = 'by_channel')) AS f
        WHERE c.outstanding_minor <> f.amount_minor""",
    "placed_as_shown": """
        SELECT k.id AS subject, format('shown %%s to %%s, placed for %%s by %%s of %%s', k.total_minor, k.user_id,
            o.total_minor, coalesce(o.buyer_ref, 'nobody'), o.distributor_id) AS detail
        FROM checkouts AS k JOIN orders AS o USING (order_no)
        WHERE o.status <> 'rejected' AND (o.distributor_id, o.buyer_ref, o.currency, o.total_minor)
            IS DISTINCT FROM ('house', k.user_id, k.currency, k.total_minor)""",
    "paid_by_buyer_holds_no_credit": """
        SELECT h.order_no::text AS subject, 'its buyer pays it, and credit is ' || h.state AS detail
        FROM credit_holds AS h JOIN orders AS o USING (order_no) WHERE o.pays = 'by_channel'""",
    "credit_held_as_holds": """
        SELECT c.distributor_id AS subject,
            format('held %%s, by its open holds %%s', c.held_minor, h.amount_minor) AS detail
        FROM credit_lines AS c CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount_minor), 0) AS amount_minor FROM credit_holds
            WHERE distributor_id = c.distributor_id AND state = 'held') AS h
        WHERE c.held_minor <> h.amount_minor""",
    "credit_hold_ends": """
        SELECT h.order_no::text AS subject, 'held while the order is ' || coalesce(o.status, 'missing') AS detail
        FROM credit_holds AS h LEFT JOIN orders AS o USING (order_no)
        WHERE h.state = 'held' AND (o.status IS NULL OR (o.status <> 'pending'
            AND o.updated_at < now() - make_interval(secs => %(grace_s)s)))""",
}

_LEDGER: dict[str, LiteralString] = {
    "balances_as_transfers": """
        WITH moved AS (
            SELECT account, currency, sum(debit) AS debits, sum(credit) AS credits FROM (
                SELECT debit_account AS account, currency, amount_minor AS debit, 0 AS credit FROM ledger_transfers
                UNION ALL SELECT credit_account, currency, 0, amount_minor FROM ledger_transfers) AS entries
            GROUP BY account, currency), kept AS (
            SELECT account, currency, sum(debits_minor) AS debits, sum(credits_minor) AS credits
            FROM ledger_balances GROUP BY account, currency)
        SELECT account || ' ' || currency AS subject, format('kept %%s and %%s, by its transfers %%s and %%s',
            k.debits, k.credits, m.debits, m.credits) AS detail
        FROM moved AS m FULL JOIN kept AS k USING (account, currency)
        WHERE (m.debits, m.credits) IS DISTINCT FROM (k.debits, k.credits)""",
    "flow_has_transfer": """
        WITH flows AS (
            SELECT key, 'distributor:' || distributor_id || ':receivable' AS account, amount_minor AS debit, currency,
                business_at FROM receivable_flows
            UNION ALL SELECT key, 'supplier:' || supplier_id || ':payable', -amount_minor, currency, business_at
            FROM payable_flows)
        SELECT f.key AS subject, CASE WHEN t.key IS NULL THEN 'a flow without its transfer'
            ELSE 'the transfer says otherwise than its flow' END AS detail
        FROM flows AS f LEFT JOIN ledger_transfers AS t USING (key)
        WHERE t.key IS NULL OR (t.debit_account, t.credit_account, t.amount_minor, t.currency, t.business_at)
            IS DISTINCT FROM (CASE WHEN f.debit > 0 THEN f.account ELSE 'revenue:margin' END,
                CASE WHEN f.debit > 0 THEN 'revenue:margin' ELSE f.account END,
                abs(f.debit), f.currency, f.business_at)""",
    "transfer_has_flow": """
        SELECT t.key AS subject, 'a transfer of a party without its flow' AS detail FROM ledger_transfers AS t
        WHERE (t.debit_account ~ ':(receivable|payable)$' OR t.credit_account ~ ':(receivable|payable)$')
            AND 'revenue:margin' IN (t.debit_account, t.credit_account) AND t.corrects IS NULL
            AND NOT EXISTS (SELECT FROM receivable_flows AS r WHERE r.key = t.key)
            AND NOT EXISTS (SELECT FROM payable_flows AS p WHERE p.key = t.key)""",
    "refunded_within_paid": """
        SELECT order_no || '/' || line_no AS subject, 'receivable flows add up to ' || sum(amount_minor) AS detail
        FROM receivable_flows WHERE kind <> 'goodwill' GROUP BY order_no, line_no HAVING sum(amount_minor) < 0""",
    "flow_of_known_line": """
        SELECT f.key AS subject, 'a flow of a line that does not exist' AS detail
        FROM (SELECT key, order_no, line_no FROM receivable_flows
            UNION ALL SELECT key, order_no, line_no FROM payable_flows) AS f
        LEFT JOIN order_lines AS l USING (order_no, line_no) WHERE l.order_no IS NULL""",
    "funds_ahead": """
        WITH losses AS (
            SELECT split_part(key, '/', 1) AS order_no, sum(amount_minor) AS amount_minor FROM ledger_transfers
            WHERE debit_account LIKE 'loss:%%' GROUP BY 1),
        flows AS (
            SELECT order_no, amount_minor, business_at FROM receivable_flows
            UNION ALL SELECT order_no, -amount_minor, business_at FROM payable_flows
            UNION ALL SELECT split_part(key, '/', 1)::bigint,
                CASE WHEN debit_account LIKE 'subsidy:%%' THEN amount_minor ELSE -amount_minor END, business_at
            FROM ledger_transfers WHERE key ~ '^[0-9]+/'  -- a grant's subsidy belongs to no order
                AND (debit_account LIKE 'subsidy:%%' OR credit_account LIKE 'subsidy:%%')),
        instants AS (
            SELECT order_no, sum(amount_minor) OVER (PARTITION BY order_no ORDER BY business_at) AS ahead FROM flows)
        SELECT i.order_no::text AS subject, 'we owe ' || -min(i.ahead) || ' more than we may claim' AS detail
        FROM instants AS i LEFT JOIN losses AS l ON l.order_no = i.order_no::text
        WHERE i.ahead + coalesce(l.amount_minor, 0) < 0 GROUP BY i.order_no""",
}

CHECKS: Mapping[str, LiteralString] = {
    **_MONEY,
    **_ANSWERS,
    **_STOCK,
    **_LEDGER,
    **GATE_CHECKS,
    **PROMOTION_CHECKS,
    **PAYMENT_CHECKS,
    **BALANCE_CHECKS,
    **CATALOGUE,
}
"""By the invariant's name."""
