"""What the business refuses, as facts: each refusal is a class named for what is so, and the class writes the sentence."""

from __future__ import annotations

from typing import ClassVar


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
