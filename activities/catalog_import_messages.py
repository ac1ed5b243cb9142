"""What the bulk import's workflow and its activity say to each other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CatalogImport:
    """Which import to work. All else is in the database, so that a run goes on where another ended."""

    import_id: str


@dataclass(frozen=True, slots=True)
class ImportChunk:
    """Work the next `lines` lines that wait."""

    import_id: str
    lines: int


@dataclass(frozen=True, slots=True)
class ChunkWorked:
    """What has come of the import so far. `done`: no line waits any more."""

    done: bool
    created: int
    refused: int


@dataclass(frozen=True, slots=True)
class CatalogImportReport:
    """What a whole import came to. The report of each line is in the database."""

    import_id: str
    created: int
    refused: int
