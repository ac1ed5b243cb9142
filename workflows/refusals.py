"""A rule's *no* on its way out of a workflow: the update fails with the fact's code, its sentence and its facts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from temporalio.exceptions import ApplicationError

from domain.errors import DomainError


@contextmanager
def refusals() -> Iterator[None]:
    """Inside it a DomainError becomes the update's failure: type = code, details = the facts. Never retried."""
    try:
        yield
    except DomainError as error:
        raise ApplicationError(str(error), dict(error.facts), type=error.code, non_retryable=True) from error
