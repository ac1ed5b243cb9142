"""Errors of our own steps on their way to Temporal: weather is retried, a rule's *no* and a bug are not."""

from __future__ import annotations

from typing import Any

from psycopg import DataError, IntegrityError, ProgrammingError
from psycopg.errors import UniqueViolation
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from domain.errors import DomainError

BUGS = (
    DomainError, IntegrityError, DataError, ProgrammingError, AssertionError, AttributeError, LookupError, TypeError,
    ValueError,
)  # fmt: skip
"""What repeating cannot cure. A DomainError is among them: expected refusals come back as values."""


class FailFast(Interceptor):
    """A local activity that fails by a bug is not repeated: its workflow task fails, is seen, and heals by a release.

    As a normal activity the same failure stays retriable: it shows as a pending activity with its last error, and
    nothing is written into the history that a release could not undo.
    """

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(next)


class _Inbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await super().execute_activity(input)
        except UniqueViolation:
            raise  # the same step, timed out and repeated, may still be at work beside us: again, it finds itself done
        except BUGS as bug:
            if not activity.info().is_local:
                raise
            raise ApplicationError(str(bug), type=type(bug).__name__, non_retryable=True) from bug
