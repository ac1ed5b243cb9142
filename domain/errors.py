"""What the business refuses, as facts: a refusal is a class named for what is so, and the class writes the sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar


class DomainError(Exception):
    """A rule's *no*. Never retried: the same question gets the same answer.

    `code` is stable and public (the `code` of a problem document); `str(error)` is a sentence that the caller can act
    on; `facts` are machine-readable extras of the answer (plain JSON values).
    """

    code: ClassVar[str] = "refused"

    @property
    def facts(self) -> dict[str, object]:
        """Machine-readable extras of this refusal, plain JSON values."""
        return {}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A DomainError as a value: what an activity returns and a workflow hands on, since a *no* is an answer."""

    code: str
    detail: str
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, error: DomainError) -> Refusal:
        """The same fact as a value."""
        return cls(error.code, str(error), dict(error.facts))


class Refused(DomainError):
    """A refusal that came back as a value, raised again where its caller is told."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail)
        self.code = refusal.code  # type: ignore[misc]  # the fact decides the code, not this class
        self._facts = refusal.facts

    @property
    def facts(self) -> dict[str, object]:
        return self._facts
