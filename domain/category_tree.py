"""The category tree and brands: what may hang below what, and the facts of a refusal."""

from __future__ import annotations

from collections.abc import Sequence

from domain.errors import DomainError

MAX_DEPTH = 32
"""Levels below a root: more than any shop shows, and a bound on every walk up the tree."""


class CategoryNotFound(DomainError):
    """No such category."""

    code = "category_not_found"

    def __init__(self, category_id: str) -> None:
        super().__init__(f"There is no category {category_id!r}: GET /v1/categories lists what there is.")


class CategoryExists(DomainError):
    """The id is taken."""

    code = "category_exists"

    def __init__(self, category_id: str) -> None:
        super().__init__(f"The category {category_id!r} exists already: choose another id, or edit that one.")


class CategoryCycle(DomainError):
    """A category cannot hang below itself."""

    code = "category_cycle"

    def __init__(self, category_id: str, parent_id: str) -> None:
        super().__init__(
            f"{category_id!r} cannot move below {parent_id!r}, which is itself or lies below it: choose another parent."
        )


class CategoryTooDeep(DomainError):
    """The tree would have more levels than MAX_DEPTH."""

    code = "category_too_deep"

    def __init__(self) -> None:
        super().__init__(f"The tree has at most {MAX_DEPTH} levels: choose a parent higher up.")


class CategoryKindDiffers(DomainError):
    """A child is of its parent's kind, since the kind says how its products are fulfilled."""

    code = "category_kind_differs"

    def __init__(self, kind: str, parent_kind: str) -> None:
        super().__init__(
            f"A category of kind {kind!r} cannot hang below one of kind {parent_kind!r}: choose a parent of its kind."
        )


class UnknownKind(DomainError):
    """No registered kind has this name."""

    code = "unknown_kind"

    def __init__(self, kind: str, known: Sequence[str]) -> None:
        super().__init__(f"Nothing is sold as {kind!r}: the kinds are {', '.join(known)}.")
        self.known = tuple(known)

    @property
    def facts(self) -> dict[str, object]:
        return {"known": list(self.known)}


class TreeStale(DomainError):
    """The category or brand has changed since the caller read it (`If-Match`)."""

    code = "precondition_failed"

    def __init__(self, subject_id: str, version: int) -> None:
        super().__init__(f"{subject_id} is at version {version} by now: read it again, then decide again.")
        self.version = version

    @property
    def facts(self) -> dict[str, object]:
        return {"version": self.version}


class BrandNotFound(DomainError):
    """No such brand."""

    code = "brand_not_found"

    def __init__(self, brand_id: str) -> None:
        super().__init__(f"There is no brand {brand_id!r}: GET /v1/brands lists what there is.")


class BrandExists(DomainError):
    """The id is taken."""

    code = "brand_exists"

    def __init__(self, brand_id: str) -> None:
        super().__init__(f"The brand {brand_id!r} exists already: choose another id, or edit that one.")


def check_place(category_id: str, kind: str, height: int, above: Sequence[tuple[str, str]]) -> None:
    """Whether the category, with `height` levels below it, may hang below `above`: (id, kind) from parent to root.

    Raises CategoryCycle, CategoryKindDiffers, CategoryTooDeep.
    """
    if not above:
        return
    parent_id, parent_kind = above[0]
    if any(each == category_id for each, _ in above):
        raise CategoryCycle(category_id, parent_id)
    if kind != parent_kind:
        raise CategoryKindDiffers(kind, parent_kind)
    if len(above) + 1 + height > MAX_DEPTH:
        raise CategoryTooDeep
