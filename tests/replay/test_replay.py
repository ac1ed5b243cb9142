"""Histories that were recorded replay against today's code: what is running survives a release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from worker import WORKFLOWS, workflow_runner

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path) -> None:
    recorded = read(path)
    replayer = Replayer(
        workflows=list(WORKFLOWS),
        data_converter=pydantic_data_converter,
        workflow_runner=workflow_runner(sandboxed=True),
    )
    history = WorkflowHistory.from_json(recorded["workflow_id"], recorded["history"])
    await replayer.replay_workflow(history)


def test_every_workflow_has_a_recorded_history() -> None:
    """A new workflow is recorded by `python -m tests.replay.record`."""
    recorded = {
        read(path)["history"]["events"][0]["workflowExecutionStartedEventAttributes"]["workflowType"]["name"]
        for path in HISTORIES
    }
    assert {workflow.__name__ for workflow in WORKFLOWS} <= recorded


async def test_a_history_that_does_not_fit_is_noticed() -> None:
    """The replays above would fail: this one has a question where ours issues."""
    path = next(path for path in HISTORIES if path.stem == "issued")
    text = path.read_text()
    assert "issue_at_supplier" in text
    recorded = json.loads(text.replace("issue_at_supplier", "query_supplier"))
    replayer = Replayer(
        workflows=list(WORKFLOWS),
        data_converter=pydantic_data_converter,
        workflow_runner=workflow_runner(sandboxed=True),
    )
    history = WorkflowHistory.from_json(recorded["workflow_id"], recorded["history"])
    with pytest.raises(Exception, match=r"TMPRL1100|[Nn]ondeterminism"):
        await replayer.replay_workflow(history)
