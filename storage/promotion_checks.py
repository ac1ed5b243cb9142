"""The invariants of promotions and coupons: one statement each, as in inspection_checks, whose rows are violations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import LiteralString

PROMOTION_CHECKS: Mapping[str, LiteralString] = {
    "promotion_counted": """
        WITH uses AS (
            SELECT promotion_id, count(*) FILTER (WHERE state = 'held') AS held,
                count(*) FILTER (WHERE state = 'confirmed') AS used
            FROM promotion_uses GROUP BY 1)
        SELECT p.id AS subject, format('held %%s, used %%s; by its uses %%s and %%s',
            p.held, p.used, coalesce(u.held, 0), coalesce(u.used, 0)) AS detail
        FROM promotions AS p LEFT JOIN uses AS u ON u.promotion_id = p.id
        WHERE (p.held, p.used) <> (coalesce(u.held, 0), coalesce(u.used, 0))""",
    "promotion_buyer_counted": """
        WITH uses AS (
            SELECT promotion_id, distributor_id, buyer_ref, count(*) AS taken FROM promotion_uses
            WHERE buyer_ref IS NOT NULL AND state IN ('held', 'confirmed') GROUP BY 1, 2, 3)
        SELECT promotion_id || ' ' || distributor_id || ' ' || buyer_ref AS subject,
            format('taken %%s, by its uses %%s', coalesce(b.taken, 0), coalesce(u.taken, 0)) AS detail
        FROM promotion_buyers AS b FULL JOIN uses AS u USING (promotion_id, distributor_id, buyer_ref)
        WHERE coalesce(b.taken, 0) <> coalesce(u.taken, 0)""",
    "promotion_use_ends": """
        SELECT u.order_no || ' ' || u.promotion_id AS subject, u.state || ' while the order is ' || o.status AS detail
        FROM promotion_uses AS u JOIN orders AS o USING (order_no)
        WHERE o.updated_at < now() - make_interval(secs => %(grace_s)s)
            AND CASE WHEN o.status = 'pending' THEN u.state NOT IN ('wanted', 'held')
                WHEN o.status = 'locked' THEN u.state <> 'held'
                WHEN o.status IN ('canceled', 'rejected') THEN u.state <> 'released'
                WHEN o.status = 'refunded' THEN u.state NOT IN ('confirmed', 'returned')
                ELSE u.state <> 'confirmed' END""",
    "coupon_counted": """
        WITH uses AS (
            SELECT coupon_id, count(*) FILTER (WHERE state = 'held') AS held,
                count(*) FILTER (WHERE state = 'confirmed') AS used
            FROM promotion_uses WHERE coupon_id IS NOT NULL GROUP BY 1)
        SELECT c.id AS subject, format('held %%s, used %%s; by its uses %%s and %%s',
            c.held, c.used, coalesce(u.held, 0), coalesce(u.used, 0)) AS detail
        FROM coupons AS c LEFT JOIN uses AS u ON u.coupon_id = c.id
        WHERE (c.held, c.used) <> (coalesce(u.held, 0), coalesce(u.used, 0))""",
    "coupon_state_fits": """
        SELECT id AS subject, format('%%s with %%s held and %%s used of %%s', state, held, used, most_uses) AS detail
        FROM coupons
        WHERE (state = 'used') <> (used = most_uses)
            OR (state = 'held') <> (held > 0 AND held + used = most_uses)
            OR (state = 'claimed' AND buyer_ref IS NULL)""",
    "discounts_explained": """
        WITH told AS (SELECT order_no, line_no, sum(amount_minor) AS amount_minor FROM order_discounts GROUP BY 1, 2),
        lines AS (SELECT order_no, line_no, discount_minor FROM order_lines WHERE discount_minor <> 0)
        SELECT order_no || '/' || line_no AS subject, format('discount %%s, explained %%s',
            coalesce(l.discount_minor, 0), coalesce(t.amount_minor, 0)) AS detail
        FROM lines AS l FULL JOIN told AS t USING (order_no, line_no)
        WHERE coalesce(l.discount_minor, 0) <> coalesce(t.amount_minor, 0)""",
    "uses_as_discounts": """
        WITH told AS (
            SELECT order_no, promotion_id, sum(amount_minor) AS amount_minor FROM order_discounts GROUP BY 1, 2)
        SELECT u.order_no || ' ' || u.promotion_id AS subject,
            format('use of %%s, discounts of %%s', u.discount_minor, coalesce(t.amount_minor, 0)) AS detail
        FROM promotion_uses AS u LEFT JOIN told AS t USING (order_no, promotion_id)
        WHERE u.discount_minor <> coalesce(t.amount_minor, 0)""",
    "subsidies_as_discounts": """
        WITH owed AS (
            SELECT d.order_no || '/' || d.line_no || '/subsidy/' || d.promotion_id AS key, d.amount_minor
            FROM order_discounts AS d JOIN order_lines AS l USING (order_no, line_no)
            WHERE l.locked_at IS NOT NULL AND l.status NOT IN ('canceled', 'refunded')),
        booked AS (
            SELECT regexp_replace(key, '/back$', '') AS key,
                sum(CASE WHEN debit_account LIKE 'subsidy:%%' THEN amount_minor ELSE -amount_minor END) AS amount_minor
            FROM ledger_transfers WHERE key ~ '^[0-9]+/'  -- a grant's subsidy belongs to no order
                AND (debit_account LIKE 'subsidy:%%' OR credit_account LIKE 'subsidy:%%') GROUP BY 1)
        SELECT key AS subject,
            format('owed %%s, booked %%s', coalesce(o.amount_minor, 0), coalesce(b.amount_minor, 0)) AS detail
        FROM owed AS o FULL JOIN booked AS b USING (key)
        WHERE coalesce(o.amount_minor, 0) <> coalesce(b.amount_minor, 0)""",
}
"""By the invariant's name."""
