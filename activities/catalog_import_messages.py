"""What the bulk import's workflow and its activity say to each other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CatalogImport:
    """Which import to work. `created` and `refused`: what earlier runs of the workflow have come to."""

    import_id: str
    created: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class ImportChunk:
    """Work the next `lines` lines that wait."""

    import_id: str
    lines: int


@dataclass(frozen=True, slots=True)
class ChunkWorked:
    """What came of a chunk; nothing of either: no line waited any more, and the import is done."""

    created: int
    refused: int


@dataclass(frozen=True, slots=True)
class CatalogImportReport:
    """What a whole import came to. The report of each line is in the database."""

    import_id: str
    created: int
    refused: int
