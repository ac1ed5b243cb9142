"""The invariants of money that buyers pay: one statement each, as in inspection_checks, whose rows are violations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import LiteralString

_TOLD: dict[str, LiteralString] = {
    "channel_callback_handed_over": """
        SELECT channel_id || ' ' || event_id AS subject, 'waiting since ' || received_at AS detail
        FROM channel_callbacks
        WHERE state = 'waiting' AND received_at < now() - make_interval(secs => %(waiting_s)s)""",
    "payment_decided": """
        SELECT p.id AS subject, p.status || ', to be decided by ' || coalesce(p.expires_at, p.created_at) AS detail
        FROM pay_orders AS p
        WHERE p.status IN ('created', 'pending')
            AND coalesce(p.expires_at, p.created_at) < now() - make_interval(secs => %(promise_s)s)
            AND NOT EXISTS (SELECT FROM order_exceptions AS x WHERE x.pay_id = p.id AND x.state = 'open')""",
    "payment_used": """
        SELECT t.pay_id || ' ' || t.order_no AS subject, 'paid ' || p.paid_at || ', and its order still waits' AS detail
        FROM pay_order_parts AS t JOIN pay_orders AS p ON p.id = t.pay_id
        WHERE t.state = 'open' AND p.paid_minor > 0 AND p.updated_at < now() - make_interval(secs => %(promise_s)s)""",
}

_SUMS: dict[str, LiteralString] = {
    "payment_parts_add_up": """
        SELECT p.id AS subject, format('cash %%s, coins %%s, vouchers %%s; its parts have %%s, %%s and %%s',
            p.cash_minor, p.coins_minor, p.voucher_minor, t.cash, t.coins, t.voucher) AS detail
        FROM pay_orders AS p CROSS JOIN LATERAL (
            SELECT coalesce(sum(cash_minor), 0) AS cash, coalesce(sum(coins_minor), 0) AS coins,
                coalesce(sum(voucher_minor), 0) AS voucher FROM pay_order_parts WHERE pay_id = p.id) AS t
        WHERE (p.cash_minor, p.coins_minor, p.voucher_minor) <> (t.cash, t.coins, t.voucher)""",
    "payment_refunds_add_up": """
        SELECT p.id AS subject, format('refunding %%s, refunded %%s; by its refunds %%s and %%s',
            p.refunding_minor, p.refunded_minor, r.going, r.gone) AS detail
        FROM pay_orders AS p CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount_minor) FILTER (WHERE state <> 'refunded'), 0) AS going,
                coalesce(sum(amount_minor) FILTER (WHERE state = 'refunded'), 0) AS gone
            FROM refunds WHERE pay_id = p.id AND order_no IS NOT NULL) AS r
        WHERE (p.refunding_minor, p.refunded_minor) <> (r.going, r.gone)""",
    "part_refunds_add_up": """
        SELECT t.pay_id || ' ' || t.order_no AS subject,
            format('refunding %%s, refunded %%s; by its refunds %%s and %%s',
                t.refunding_minor, t.refunded_minor, r.going, r.gone) AS detail
        FROM pay_order_parts AS t CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount_minor) FILTER (WHERE state <> 'refunded'), 0) AS going,
                coalesce(sum(amount_minor) FILTER (WHERE state = 'refunded'), 0) AS gone
            FROM refunds WHERE pay_id = t.pay_id AND order_no IN (t.order_no, t.successor_no)) AS r
        WHERE (t.refunding_minor, t.refunded_minor) <> (r.going, r.gone)""",
    "charge_refunds_add_up": """
        SELECT c.channel_id || ' ' || c.payment_id AS subject,
            format('refunding %%s, refunded %%s; by its refunds %%s and %%s',
                c.refunding_minor, c.refunded_minor, coalesce(r.going, 0), coalesce(r.gone, 0)) AS detail
        FROM charges AS c LEFT JOIN (
            SELECT channel_id, payment_id, coalesce(sum(cash_minor) FILTER (WHERE state <> 'refunded'), 0) AS going,
                coalesce(sum(cash_minor) FILTER (WHERE state = 'refunded'), 0) AS gone
            FROM refunds WHERE payment_id IS NOT NULL GROUP BY 1, 2) AS r USING (channel_id, payment_id)
        WHERE (c.refunding_minor, c.refunded_minor) <> (coalesce(r.going, 0), coalesce(r.gone, 0))""",
    "payment_as_charged": """
        SELECT p.id AS subject, format('%%s, %%s in cash; accepted charges: %%s', p.status, p.cash_minor,
            coalesce(c.told, 'none')) AS detail
        FROM pay_orders AS p CROSS JOIN LATERAL (
            SELECT string_agg(amount_minor || ' ' || currency, ', ') AS told FROM charges
            WHERE pay_id = p.id AND verdict = 'accepted') AS c
        WHERE c.told IS DISTINCT FROM
            CASE WHEN p.paid_minor > 0 AND p.cash_minor > 0 THEN p.cash_minor || ' ' || p.currency END""",
    "buyer_owed_as_unused": """
        WITH unused AS (
            SELECT p.buyer_id, p.currency, t.amount_minor - t.refunded_minor AS minor
            FROM pay_orders AS p JOIN pay_order_parts AS t ON t.pay_id = p.id
            WHERE p.paid_minor > 0 AND t.state <> 'served'
            UNION ALL SELECT p.buyer_id, c.currency, c.amount_minor - c.refunded_minor
            FROM charges AS c JOIN pay_orders AS p ON p.id = c.pay_id JOIN payment_channels AS h ON h.id = c.channel_id
            WHERE c.verdict IN ('surplus', 'wrong_amount') AND c.currency = h.currency AND NOT c.settled_otherwise),
        expected AS (
            SELECT 'buyer:' || buyer_id || ':unapplied' AS account, currency, sum(minor) AS minor FROM unused
            GROUP BY 1, 2),
        kept AS (
            SELECT account, currency, sum(credits_minor - debits_minor) AS minor FROM ledger_balances
            WHERE account LIKE 'buyer:%%:unapplied' GROUP BY 1, 2)
        SELECT account || ' ' || currency AS subject,
            format('owed %%s, and %%s of what was paid is neither used nor back',
                coalesce(k.minor, 0), coalesce(e.minor, 0)) AS detail
        FROM expected AS e FULL JOIN kept AS k USING (account, currency)
        WHERE coalesce(e.minor, 0) <> coalesce(k.minor, 0)""",
}

_ORDERS: dict[str, LiteralString] = {
    "order_paid_once": """
        SELECT o.order_no::text AS subject, format('%%s, of %%s; parts that paid it: %%s',
            o.payment_status, o.total_minor, coalesce(t.told, 'none')) AS detail
        FROM orders AS o CROSS JOIN LATERAL (
            SELECT string_agg(amount_minor::text, ', ') AS told FROM pay_order_parts
            WHERE state = 'served'
                AND (order_no = o.order_no AND successor_no IS NULL OR successor_no = o.order_no)) AS t
        WHERE (o.pays = 'by_channel' OR t.told IS NOT NULL) AND o.total_minor > 0
            AND t.told IS DISTINCT FROM CASE WHEN o.pays = 'by_channel'
                AND o.payment_status IN ('paid', 'partially_refunded', 'refunded') THEN o.total_minor::text END""",
    "order_not_issued_unpaid": """
        SELECT order_no::text AS subject, status || ', and ' || payment_status AS detail FROM orders
        WHERE pays = 'by_channel' AND status NOT IN ('pending', 'locked', 'canceled', 'rejected') AND total_minor > 0
            AND payment_status NOT IN ('paid', 'partially_refunded', 'refunded')""",
}

_PEOPLE: dict[str, LiteralString] = {
    "surplus_goes_back": """
        SELECT channel_id || ' ' || payment_id AS subject, format('%%s too much, of which %%s goes back', amount_minor,
            refunding_minor + refunded_minor) AS detail
        FROM charges
        WHERE verdict = 'surplus' AND NOT settled_otherwise AND refunding_minor + refunded_minor <> amount_minor""",
    "odd_charge_has_case": """
        SELECT c.channel_id || ' ' || c.payment_id AS subject, c.verdict || ', and nobody was told' AS detail
        FROM charges AS c
        WHERE c.verdict IN ('wrong_amount', 'unknown') AND NOT EXISTS (
            SELECT FROM order_exceptions AS x WHERE x.kind IN ('payment_wrong_amount', 'payment_unknown')
                AND x.evidence ->> 'channel_id' = c.channel_id AND x.evidence ->> 'payment_id' = c.payment_id)""",
    "odd_charge_decided": """
        SELECT c.channel_id || ' ' || c.payment_id AS subject,
            'its case is resolved, and it neither goes back nor was it settled otherwise' AS detail
        FROM charges AS c JOIN order_exceptions AS x ON x.kind IN ('payment_wrong_amount', 'payment_unknown')
            AND x.evidence ->> 'channel_id' = c.channel_id AND x.evidence ->> 'payment_id' = c.payment_id
        WHERE x.state = 'resolved' AND NOT c.settled_otherwise
            AND c.refunding_minor + c.refunded_minor <> c.amount_minor""",
    "failed_refund_has_case": """
        SELECT r.id AS subject, 'refused by its channel (' || r.failure || '), and nobody is asked' AS detail
        FROM refunds AS r
        WHERE r.state = 'refund_failed' AND NOT EXISTS (
            SELECT FROM order_exceptions AS x WHERE x.refund_id = r.id AND x.state = 'open')""",
    "hand_paid_has_evidence": """
        SELECT id AS subject, 'paid by hand, and nothing shows it' AS detail FROM refunds
        WHERE state = 'refunded' AND route = 'by_hand' AND coalesce(evidence - 'reason', '{}') = '{}'""",
}

PAYMENT_CHECKS: Mapping[str, LiteralString] = {**_TOLD, **_SUMS, **_ORDERS, **_PEOPLE}
