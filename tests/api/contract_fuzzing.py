"""Schemathesis for one role: every operation of the contract with examples, boundaries, and made-up and broken input.

Ids and bodies are replaced by existing ones part of the time, chosen by a hash of what was generated: so generated
input gets past the first 404, and a seed still reproduces a run.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from tests.api.contract_world import SHOPPER, World

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
    "negative_data_rejection",
)
REFUSALS = ["400", "401", "403", "404", "405", "409", "412", "413", "414", "415", "422"]
EXAMPLE_KEY = "7d1f3c1e-5a0b-4a53-9d4f-0c9b8f6f2a11"
KNOWN_SHARE, SHARES = 3, 4
"""Three of four ids are existing ones."""


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> bytes:
    """A text is sent as it is; whatever else is made up, as a line of JSON."""
    return value.encode("utf-8", "replace") if isinstance(value, str) else json.dumps(value, default=str).encode()


Pools = Mapping[str, Sequence[str]]


@dataclass
class Findings:
    """What one role's run met. `statuses`: how often which operation answered what."""

    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    cases: int = 0

    @property
    def reached(self) -> set[str]:
        """Operations that answered 2xx."""
        return {label for label, found in self.statuses.items() if any(200 <= status < 300 for status in found)}

    def add(self, recorder: Any) -> None:
        """Takes over what a scenario recorded."""
        for case_id, interaction in recorder.interactions.items():
            label = recorder.cases[case_id].value.operation.label
            self.cases += 1
            if interaction.response is not None:
                self.statuses.setdefault(label, Counter())[interaction.response.status_code] += 1
        for case_id, checks in recorder.checks.items():
            for check in checks:
                if check.status is Status.FAILURE:
                    label = recorder.cases[case_id].value.operation.label
                    failure, sample = check.failure_info.failure, check.failure_info.code_sample
                    self.failures.setdefault((label, failure.title), f"{failure.message}\n{sample}"[:1200])

    def text(self) -> str:
        """For a person."""
        failures = [f"{label}: {title}\n{text}" for (label, title), text in sorted(self.failures.items())]
        return "\n\n".join([*self.errors, *failures])


def _dice(value: object, sides: int) -> int:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).digest()[0] % sides


def fuzz(
    world: World,
    role: str,
    pools: Pools,
    *,
    examples: int,
    boundaries: bool,
    stateful: bool,
    seed: int = 1,
    only: str | None = None,
) -> Findings:
    """Runs schemathesis as this role and returns what it met. `examples`: generated cases per operation."""
    generation = {"max-examples": examples, "no-shrink": True, "database": "none", "mode": "all"}
    token = world.tokens.get(role)
    config = SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "workers": 2,
            "base-url": world.base_url,
            "headers": {"Authorization": f"Bearer {token}"} if token else {},
            "request-timeout": 30,
            "continue-on-failure": True,
            "generation": {**generation, "with-security-parameters": False},
            "checks": {
                "enabled": False,
                **{name: {"enabled": True} for name in CHECKS},
                "negative_data_rejection": {"expected-statuses": REFUSALS},
            },
            "phases": {
                "coverage": {"enabled": boundaries},
                "fuzzing": {"enabled": examples > 0},
                "stateful": {"enabled": stateful, "max-steps": 4},
            },
            "suppress-health-check": ["all"],
        }
    )
    schema: Any = schemathesis.openapi.from_dict(world.document, config=config)
    if role == SHOPPER:
        schema = schema.exclude(path="/v1/users/logout")  # the role would end with it
    if only is not None:
        schema = schema.include(path_regex=only)
    _hook(schema, world, pools, role=role, salt=f"{role}-{seed}-{world.fresh('run')}")
    findings = Findings()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            findings.add(event.recorder)
        elif isinstance(event, events.NonFatalError) and "AST constructor recursion" not in str(event.value):
            # the exception is Python 3.11's own, met while test code is compiled: it says nothing of the API
            findings.errors.append(f"{event.label}: {event.value}")
        elif isinstance(event, events.FatalError):
            raise event.exception
    return findings


def _hook(schema: Any, world: World, pools: Pools, *, role: str, salt: str) -> None:
    def map_path_parameters(context: Any, path_parameters: dict[str, Any]) -> dict[str, Any]:
        if not path_parameters or _dice(path_parameters, SHARES) >= KNOWN_SHARE:
            return path_parameters
        operation = context.operation
        known = dict(path_parameters)
        for name in path_parameters:
            pool = pools.get(f"{operation.method.upper()} {operation.path} {name}") or pools.get(name)
            if pool:
                known[name] = pool[_dice(path_parameters, len(pool))]
        return known

    def map_body(context: Any, body: Any) -> Any:
        if context.operation.label == "POST /v1/orders" and isinstance(body, dict) and _dice(body, 2):
            if role == SHOPPER:
                return {"checkout_id": world.checkout()}
            good = world.order_body(1 + _dice(body, 3))
            return {**good, **{name: body[name] for name in ("buyer_ref", "all_or_nothing") if name in body}}
        return body

    def map_case(context: Any, case: Any) -> Any:
        """A key of its own for every different case: the example's would only be replayed."""
        if case.headers and case.headers.get("Idempotency-Key") == EXAMPLE_KEY:
            asked = [case.path_parameters, case.query, repr(case.body), salt]
            digest = hashlib.sha256(json.dumps(asked, default=str, sort_keys=True).encode()).hexdigest()
            case.headers["Idempotency-Key"] = digest[:32]
        return case

    for hook in (map_path_parameters, map_body, map_case):
        schema.hooks.hook(hook)
