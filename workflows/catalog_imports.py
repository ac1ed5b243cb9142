"""A bulk import that was received becomes products, chunk by chunk; whatever dies, the next chunk goes on."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.catalog_import_messages import CatalogImport, CatalogImportReport, ImportChunk
    from activities.catalog_imports import CatalogImportActivities
    from workflows.policies import IMPORT_CHUNK

LINES_PER_CHUNK = 500
"""One transaction's worth: some hundred milliseconds, and what a kill in the middle has to do again."""


def catalog_import_workflow_id(import_id: str) -> str:
    """One workflow per import, for ever."""
    return f"catalog-import/{import_id}"


@workflow.defn
class CatalogImportWorkflow:
    """Works the lines of one import until none waits. A line that is refused stops no other."""

    @workflow.run
    async def run(self, asked: CatalogImport) -> CatalogImportReport:
        while True:
            worked = await workflow.execute_activity_method(
                CatalogImportActivities.work_import_lines, ImportChunk(asked.import_id, LINES_PER_CHUNK), **IMPORT_CHUNK
            )
            if worked.done:
                return CatalogImportReport(asked.import_id, worked.created, worked.refused)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(asked)
