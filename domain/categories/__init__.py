"""The registry of categories: what can be ordered, by the kind of its product.

A category is one class in one file. The order's process asks the category and knows none by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from domain.categories.category import (
    EVERY_TERMS,
    UNKNOWN_KIND,
    Category,
    LineTerms,
    OrderedLine,
    Preview,
)
from domain.categories.physical import Physical
from domain.categories.ticket import Ticket
from domain.categories.virtual import Virtual
from domain.operations import StepsUnfit, checked, delivering
from domain.placing import CategoryNotSold


class KindMissing(ValueError):
    """A place of the setting `kinds` that leads to no class."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__(f"There is no kind at {place!r}: {why}. Name it `package.module:Class`.")


class Registry:
    """Categories by name. Registering a name twice is a mistake and refused; so are steps that can't be carried out."""

    def __init__(self, categories: Iterable[Category]) -> None:
        self._by_name: dict[str, Category] = {}
        for category in categories:
            self.register(category)

    def register(self, category: Category) -> None:
        """Admit a category under its own name. Raises ValueError (StepsUnfit) for one that could not be fulfilled."""
        if category.name in self._by_name:
            raise ValueError(f"category {category.name!r} is registered already")
        for terms in EVERY_TERMS:
            try:
                checked(category.steps(terms), gated=category.gated, carried=category.carried)
            except StepsUnfit as error:
                raise StepsUnfit(f"kind {category.name!r}, stock policy {terms.stock_policy!r}: {error}") from None
        self._by_name[category.name] = category

    def load(self, places: Iterable[str]) -> None:
        """Admit categories of other packages, each named as `package.module:Class`. One that is here already stays.

        Raises KindMissing where nothing is at the place, and as `register` does.
        """
        for place in places:
            category = _made(place)
            if type(self._by_name.get(category.name)) is not type(category):
                self.register(category)

    def of(self, kind: str) -> Category:
        """The category of products of that kind. Raises CategoryNotSold."""
        try:
            return self._by_name[kind]
        except KeyError:
            raise CategoryNotSold(kind) from None

    def preview(self, kind: str, terms: LineTerms) -> Preview:
        """What a buyer of such a product will get; a vague word for kinds that nobody has registered."""
        category = self._by_name.get(kind)
        return category.preview(terms) if category is not None else UNKNOWN_KIND

    def gated(self) -> list[str]:
        """The kinds whose units are tickets, one each; sorted."""
        return [name for name in self.names() if self._by_name[name].gated]

    def lasting(self) -> list[str]:
        """The kinds that go on after issue without being carried, on some terms at least; sorted."""
        return [name for name in self.names() if _lasts(self._by_name[name])]

    def names(self) -> list[str]:
        """The kinds that can be ordered, sorted."""
        return sorted(self._by_name)


def _lasts(category: Category) -> bool:
    return not category.carried and any(delivering(category.steps(terms)) for terms in EVERY_TERMS)


def _made(place: str) -> Category:
    """One of the class that is there. What its own module raises is its author's and passes."""
    module, _, name = place.partition(":")
    try:
        found = importlib.import_module(module)
    except (ModuleNotFoundError, ValueError) as error:
        raise KindMissing(place, str(error)) from error
    if not name or not hasattr(found, name):
        raise KindMissing(place, f"{module} has no {name!r}")
    category: Category = getattr(found, name)()
    return category


CATEGORIES = Registry([Ticket(), Physical(), Virtual()])

__all__ = ["CATEGORIES", "Category", "KindMissing", "LineTerms", "OrderedLine", "Preview", "Registry"]
