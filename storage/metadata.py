"""All tables in one MetaData: what migrations compare the database with."""

from __future__ import annotations

from sqlalchemy import DefaultClause, MetaData, text
from sqlalchemy.sql.schema import ScalarElementColumnDefault
from sqlmodel import SQLModel

from storage import (
    accounts,
    balance_tables,
    catalog,
    catalog_search,
    category_attributes,
    checkouts,
    events,
    fulfilment,
    gate,
    idempotency,
    import_staging,
    inventory,
    orders,
    payments,
    promotions,
    risk,
    settlement,
    suppliers,
    users,
)

TABLE_MODULES = (
    accounts,
    balance_tables,
    catalog,
    catalog_search,
    category_attributes,
    checkouts,
    events,
    fulfilment,
    gate,
    idempotency,
    import_staging,
    inventory,
    orders,
    payments,
    promotions,
    risk,
    settlement,
    suppliers,
    users,
)
"""Named so that importing them, which registers their tables, is plainly on purpose."""


def _with_server_defaults(metadata: MetaData) -> MetaData:
    """A model's plain default is the table's too: SQL text and SQLModel write the same rows."""
    for table in metadata.tables.values():
        for column in table.columns:
            default = column.default
            if isinstance(default, ScalarElementColumnDefault) and default.arg is not None:
                literal = str(default.arg).replace("'", "''")
                column.server_default = DefaultClause(text(f"'{literal}'"))
    return metadata


metadata = _with_server_defaults(SQLModel.metadata)
