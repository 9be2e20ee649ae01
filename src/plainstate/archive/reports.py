"""What an export and an import report."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

__all__ = ["ExportReport", "ImportReport", "LeftOut", "OnExisting"]

OnExisting: TypeAlias = Literal["fail", "skip", "replace"]
"""What to do with a document that is there with other content."""


class LeftOut(Struct, frozen=True):
    """A document that an export could not read.

    Attributes:
        file: its plain file, relative to the store.
        reason: why.
    """

    file: str
    reason: str


class ExportReport(Struct, frozen=True):
    """What an export has written.

    Attributes:
        documents: how many are in it.
        size_bytes: of these documents, before they are compressed.
        left_out: what could not be read, and so is missing.
    """

    documents: int
    size_bytes: int
    left_out: list[LeftOut]


class ImportReport(Struct, frozen=True):
    """What an import has done.

    Attributes:
        created: documents that are new.
        replaced: documents that had other content.
        unchanged: documents that were there with the same content.
        skipped: files of documents that have other content and were left as they are.
        left_out: what already the export could not read.
    """

    created: int
    replaced: int
    unchanged: int
    skipped: list[str]
    left_out: list[LeftOut]
