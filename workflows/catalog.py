"""A supplier's catalogue comes in: products first, what vanished then, and at last the sessions of the coming days."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.catalog import CatalogActivities
    from activities.catalog_messages import (
        CatalogSync,
        CatalogSyncReport,
        ProductsRead,
        ReadSessions,
        RetireVanished,
        SessionsRead,
    )
    from workflows.policies import DATABASE, SUPPLIER_READ

CATALOG_TASK_QUEUE = "tessera"
"""Syncs run beside the orders, where every worker is."""

PRODUCTS_PER_READ = 5
"""Sessions are read for so many products at a time: one failure or restart repeats no more than that."""


def catalog_workflow_id(supplier_id: str) -> str:
    """One sync per supplier at a time."""
    return f"catalog/{supplier_id}"


@workflow.defn
class CatalogSyncWorkflow:
    """Takes in one supplier's catalogue once. What cannot be read changes nothing and takes nothing off the shelf."""

    @workflow.run
    async def run(self, sync: CatalogSync) -> CatalogSyncReport:
        read = await self._products(sync)
        if read is None:
            return CatalogSyncReport(sync.supplier_id, complete=False)
        vanished = await self._retire(sync, read)
        sessions = await self._sessions(sync, read)
        return CatalogSyncReport(
            sync.supplier_id,
            complete=True,
            created=read.created,
            changed=read.changed,
            unchanged=read.unchanged,
            refused=read.refused,
            vanished=vanished,
            sessions=sum(each.sessions for each in sessions),
            unreadable=tuple(name for each in sessions for name in each.unreadable),
        )

    async def _products(self, sync: CatalogSync) -> ProductsRead | None:
        """None where the catalogue could not be read within the policy's patience: the next sync tries again."""
        try:
            return await workflow.execute_activity_method(CatalogActivities.read_products, sync, **SUPPLIER_READ)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.warning("catalogue of %s could not be read: %s", sync.supplier_id, error.cause)
            return None

    async def _retire(self, sync: CatalogSync, read: ProductsRead) -> tuple[str, ...]:
        """An empty catalogue is taken for a fault of the supplier's: nobody closes shop by listing nothing."""
        if not read.seen:
            return ()
        message = RetireVanished(sync.supplier_id, read.seen)
        return await workflow.execute_activity_method(CatalogActivities.retire_vanished, message, **DATABASE)

    async def _sessions(self, sync: CatalogSync, read: ProductsRead) -> list[SessionsRead]:
        results = []
        for start in range(0, len(read.sessions_of), PRODUCTS_PER_READ):
            products = read.sessions_of[start : start + PRODUCTS_PER_READ]
            message = ReadSessions(sync.supplier_id, products, sync.days)
            try:
                results.append(
                    await workflow.execute_activity_method(CatalogActivities.read_sessions, message, **SUPPLIER_READ)
                )
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                results.append(SessionsRead(0, tuple(product.product_id for product in products)))
        return results
