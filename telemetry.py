"""Logs of a process: one structlog configuration, called once by each root. Log events are `noun.past_tense`."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from temporalio import workflow

from settings import Settings

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=30)
)
"""Without local variables: those hold secrets and persons, and take seconds to render."""


def _in_workflow(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Inside a workflow: say which one, and say nothing while its history is replayed, since it was said before."""
    if workflow.in_workflow():
        if workflow.unsafe.is_replaying():
            raise structlog.DropEvent
        info = workflow.info()
        event.update(workflow_id=info.workflow_id, run_id=info.run_id, attempt=info.attempt)
    return event


def configure(settings: Settings) -> None:
    """Configure structlog, and give the standard library's loggers the same form. Times are ISO 8601 in UTC.

    Call it once per process, before a worker is built: its module has to be passed through a workflow sandbox.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if settings.log_format == "pretty":
        console = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        rendering: list[Any] = [console]
    else:
        rendering = [_TRACEBACKS, structlog.processors.JSONRenderer()]
    level = _LEVELS[settings.log_level]
    structlog.configure(
        processors=[_in_workflow, *shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.INFO))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # each request of ours to a supplier would be a line; what became of it is in supplier_calls
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    # our own middleware writes one line per request, with what uvicorn's cannot know
    logging.getLogger("uvicorn.access").disabled = True
