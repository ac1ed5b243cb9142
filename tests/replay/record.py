"""`python -m tests.replay.record [branch ...]`: walks these branches, or all, and writes each one's history.

They are kept in tests/replay/histories/. Run it for a release, and after a change that `patched` makes visible; keep
what older releases recorded.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from embedded import temporal
from embedded.ports import any_free_port
from embedded.postgres import running
from tests.platform import Platform, running_platform
from tests.replay.branches import BRANCHES

HISTORIES = Path(__file__).parent / "histories"


async def record(platform: Platform, wanted: Sequence[str]) -> None:
    """One file per branch: the workflow's id and its history as Temporal's own JSON."""
    HISTORIES.mkdir(exist_ok=True)
    for branch in BRANCHES:
        if wanted and branch.__name__ not in wanted:
            continue
        workflow_id = await branch(platform)
        history = await platform.env.client.get_workflow_handle(workflow_id).fetch_history()
        document = {"workflow_id": workflow_id, "history": without_machine(json.loads(history.to_json()))}
        path = HISTORIES / f"{branch.__name__}.json"
        await asyncio.to_thread(path.write_text, json.dumps(document, separators=(",", ":")) + "\n")
        print(f"{branch.__name__}: {len(history.events)} events of {workflow_id}")


def without_machine(document: Any) -> Any:
    """The same without what names the machine that recorded it; no replay looks at that."""
    if isinstance(document, list):
        return [without_machine(each) for each in document]
    if isinstance(document, str):
        return re.sub(r"^\d+@.*", "worker", document)  # sticky queues are named after process and host
    if not isinstance(document, dict):
        return document
    return {key: without_machine(value) for key, value in document.items() if key not in ("identity", "stackTrace")}


async def main() -> None:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with TemporaryDirectory() as scratch, running(Path(scratch) / "postgres", durable=False) as postgres:
        environment = await WorkflowEnvironment.start_time_skipping_v2(
            data_converter=pydantic_data_converter,
            dev_server_existing_path=str(temporal.binary()),
            port=any_free_port(),
            dev_server_log_level="error",
            dev_server_startup_timeout=timedelta(seconds=60),
            dev_server_extra_args=temporal.time_skipping_arguments(),
        )
        async with environment as env:
            await temporal.prepare_namespace(
                env.client, retention_days=90, search_attributes=temporal.SEARCH_ATTRIBUTES
            )
            async with running_platform(postgres, env, Path(scratch) / "suppliers", "recording") as platform:
                await record(platform, sys.argv[1:])


if __name__ == "__main__":
    asyncio.run(main())
