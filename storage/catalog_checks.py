"""The catalogue's invariants for the inspection: an import accounts for each of its lines, and search for products."""

from __future__ import annotations

from typing import LiteralString

CATALOGUE: dict[str, LiteralString] = {
    "import_accounts_for_lines": """
        SELECT i.id AS subject, i.state || ': ' || i.created || ' created and ' || i.refused || ' refused of '
            || i.lines || '; its report has ' || count(l.product_id) || ' and ' || count(l.faults) || ' of '
            || count(l.line_no) AS detail
        FROM catalog_imports AS i LEFT JOIN catalog_import_lines AS l ON l.import_id = i.id
        WHERE i.state IN ('received', 'done') GROUP BY i.id
        HAVING (i.created, i.refused, i.lines) <> (count(l.product_id), count(l.faults), count(l.line_no))
            OR (i.state = 'done' AND i.created + i.refused < i.lines)""",
    "imported_product_exists": """
        SELECT l.import_id || '/' || l.line_no AS subject, 'its product is not there: ' || l.product_id AS detail
        FROM catalog_import_lines AS l
        WHERE l.state = 'created' AND NOT EXISTS (SELECT FROM products AS p WHERE p.id = l.product_id)""",
    "import_ends": """
        SELECT id AS subject, 'received, and nothing came of it since ' || touched_at AS detail FROM catalog_imports
        WHERE state = 'received' AND touched_at < now() - make_interval(secs => 300 + %(waiting_s)s)""",
}
"""`waiting_s`: how long the API's upkeep may take; five minutes more for a worker that is down."""
