"""An order's process by its id, and what it is started with: for those that start it without knowing its story."""

from __future__ import annotations

from dataclasses import dataclass


def order_workflow_id(order_no: int) -> str:
    """The id of the workflow that hosts one order by default."""
    return f"order/{order_no:019d}"


@dataclass(frozen=True, slots=True)
class HostOrder:
    """The order to be hosted, by number: everything else is in the database."""

    order_no: int
