"""Column kinds that every table uses: 64-bit integers, times with a zone, text closed by a CHECK, JSON documents."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field


def big(**extra: Any) -> Any:
    """BIGINT: ids and amounts (SQLModel's own choice for `int` is 32 bits)."""
    return Field(sa_type=BigInteger, **extra)


def at(**extra: Any) -> Any:
    """TIMESTAMPTZ: no naive time is ever stored."""
    return Field(sa_type=DateTime(timezone=True), **extra)


def document(**extra: Any) -> Any:
    """JSONB."""
    return Field(sa_type=JSONB(none_as_null=True), **extra)


def one_of(column: str, values: type[StrEnum] | tuple[str, ...]) -> CheckConstraint:
    """A CHECK that closes a text column to the values of an enumeration of the domain."""
    names = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({names})", name=f"{column}_known")
