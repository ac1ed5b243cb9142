"""The invariants of coins and vouchers: one statement each, as in inspection_checks, whose rows are violations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import LiteralString

BALANCE_CHECKS: Mapping[str, LiteralString] = {
    "balance_as_booked": """
        WITH booked AS (
            SELECT account, sum(credits_minor - debits_minor) AS amount_minor FROM ledger_balances
            WHERE account ~ '^(buyer:[^:]+:coins|voucher:[^:]+:balance)$' GROUP BY 1),
        kept AS (
            SELECT 'buyer:' || buyer_id || ':coins' AS account, balance_minor FROM coin_accounts
            UNION ALL SELECT 'voucher:' || id || ':balance', balance_minor FROM vouchers)
        SELECT account AS subject, format('balance %%s, in the ledger %%s',
            coalesce(k.balance_minor, 0), coalesce(b.amount_minor, 0)) AS detail
        FROM kept AS k FULL JOIN booked AS b USING (account)
        WHERE coalesce(k.balance_minor, 0) <> coalesce(b.amount_minor, 0)""",
    "balance_held_as_holds": """
        WITH holds AS (
            SELECT kind, ref, sum(amount_minor) AS held_minor FROM balance_holds WHERE state = 'held' GROUP BY 1, 2),
        kept AS (
            SELECT 'coins' AS kind, buyer_id AS ref, held_minor FROM coin_accounts
            UNION ALL SELECT 'voucher', id, held_minor FROM vouchers)
        SELECT kind || ' ' || ref AS subject, format('held %%s, by its open holds %%s',
            coalesce(k.held_minor, 0), coalesce(h.held_minor, 0)) AS detail
        FROM kept AS k FULL JOIN holds AS h USING (kind, ref)
        WHERE coalesce(k.held_minor, 0) <> coalesce(h.held_minor, 0)""",
    "balance_hold_ends": """
        SELECT h.pay_id || ' ' || h.kind || ' ' || h.ref AS subject,
            h.state || ' while the pay order is ' || coalesce(p.status, 'missing') AS detail
        FROM balance_holds AS h LEFT JOIN pay_orders AS p ON p.id = h.pay_id
        WHERE CASE h.state WHEN 'held' THEN p.status IN ('created', 'pending')
                WHEN 'redeemed' THEN p.status IN ('paid', 'partially_refunded', 'refunded') ELSE true END IS NOT TRUE
            AND coalesce(p.updated_at, '-infinity') < now() - make_interval(secs => %(grace_s)s)""",
    "balance_parts_as_held": """
        WITH holds AS (
            SELECT pay_id, coalesce(sum(amount_minor) FILTER (WHERE kind = 'coins'), 0) AS coins_minor,
                coalesce(sum(amount_minor) FILTER (WHERE kind = 'voucher'), 0) AS voucher_minor
            FROM balance_holds GROUP BY 1)
        SELECT p.id AS subject, format('%%s with %%s of coins and %%s of vouchers, holds of %%s and %%s', p.status,
            p.coins_minor, p.voucher_minor, coalesce(h.coins_minor, 0), coalesce(h.voucher_minor, 0)) AS detail
        FROM pay_orders AS p LEFT JOIN holds AS h ON h.pay_id = p.id
        WHERE p.status NOT IN ('created', 'failed', 'closed')
            AND (p.coins_minor, p.voucher_minor) <> (coalesce(h.coins_minor, 0), coalesce(h.voucher_minor, 0))
            AND p.updated_at < now() - make_interval(secs => %(grace_s)s)""",
    "balance_refunded_as_given": """
        WITH given AS (
            SELECT pay_id, kind, ref, sum(amount_minor) AS amount_minor FROM balance_refunds GROUP BY 1, 2, 3)
        SELECT pay_id || ' ' || kind || ' ' || ref AS subject, format('refunded %%s, by its refunds %%s',
            coalesce(h.refunded_minor, 0), coalesce(g.amount_minor, 0)) AS detail
        FROM balance_holds AS h FULL JOIN given AS g USING (pay_id, kind, ref)
        WHERE coalesce(h.refunded_minor, 0) <> coalesce(g.amount_minor, 0)""",
}
"""By the invariant's name."""
