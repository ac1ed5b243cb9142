"""A platform per module, and after each story every invariant."""

from __future__ import annotations

from tests.platform_fixtures import every_invariant_holds, platform, quiet

__all__ = ["every_invariant_holds", "platform", "quiet"]
