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
from domain.operations import checked
from domain.placing import CategoryNotSold


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
            checked(category.steps(terms))
        self._by_name[category.name] = category

    def load(self, places: Iterable[str]) -> None:
        """Admit categories of other packages, each named as `package.module:Class`. One that is here already stays."""
        for place in places:
            module, _, name = place.partition(":")
            category: Category = getattr(importlib.import_module(module), name)()
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

    def names(self) -> list[str]:
        """The kinds that can be ordered, sorted."""
        return sorted(self._by_name)


CATEGORIES = Registry([Ticket(), Physical(), Virtual()])

__all__ = ["CATEGORIES", "Category", "LineTerms", "OrderedLine", "Preview", "Registry"]
