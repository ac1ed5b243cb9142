"""The registry of categories: what can be ordered, by the kind of its product.

A category is one class in one file. The order's process asks the category and knows none by name.
"""

from __future__ import annotations

from collections.abc import Iterable

from domain.categories.category import Category, Fulfilment, OrderedLine
from domain.categories.ticket import Ticket
from domain.placing import CategoryNotSold


class Registry:
    """Categories by name. Registering a name twice is a mistake and refused."""

    def __init__(self, categories: Iterable[Category]) -> None:
        self._by_name: dict[str, Category] = {}
        for category in categories:
            self.register(category)

    def register(self, category: Category) -> None:
        """Admit a category under its own name."""
        if category.name in self._by_name:
            raise ValueError(f"category {category.name!r} is registered already")
        self._by_name[category.name] = category

    def of(self, kind: str) -> Category:
        """The category of products of that kind. Raises CategoryNotSold."""
        try:
            return self._by_name[kind]
        except KeyError:
            raise CategoryNotSold(kind) from None

    def names(self) -> list[str]:
        """The kinds that can be ordered, sorted."""
        return sorted(self._by_name)


CATEGORIES = Registry([Ticket()])

__all__ = ["CATEGORIES", "Category", "Fulfilment", "OrderedLine", "Registry"]
