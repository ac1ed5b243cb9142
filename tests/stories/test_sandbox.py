"""What the sandbox loads anew for each workflow is the workflows' own code, and nothing else."""

from __future__ import annotations

import warnings

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import SandboxImportNotificationPolicy, _Definition

from worker import WORKFLOWS, workflow_runner


async def test_nothing_slips_into_the_sandbox_but_the_workflows_themselves() -> None:
    """The SDK can raise on it, but then for each module of `workflows` too, which are to be checked by the sandbox."""
    runner = workflow_runner(sandboxed=True)
    assert isinstance(runner, SandboxedWorkflowRunner)
    watched = runner.restrictions.with_import_notification_policy(
        SandboxImportNotificationPolicy.WARN_ON_UNINTENTIONAL_PASSTHROUGH
    )
    strict = SandboxedWorkflowRunner(watched)
    strict.set_worker_level_failure_exception_types([])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for workflow in WORKFLOWS:
            strict.prepare_workflow(_Definition.must_from_class(workflow))
    loaded = {str(warning.message).split()[1] for warning in told if "passed through" in str(warning.message)}
    assert loaded
    assert {name for name in loaded if name.split(".")[0] != "workflows"} == set()
