"""A platform per module; the long runs only where they are asked for with `-m long`."""

from __future__ import annotations

import pytest

from tests.platform_fixtures import platform, quiet

__all__ = ["platform", "quiet"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes minutes is left out, and counted as such, unless `-m` says what is wanted."""
    if config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
