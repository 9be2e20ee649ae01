"""The store's methods for archives: export, import, Markdown for reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from plainstate.archive.reports import ExportReport, ImportReport, OnExisting
    from plainstate.engines.base import Engine

__all__ = ["ArchiveMethods"]


class ArchiveMethods:
    """Archives: a store or a part of it as one file, and back."""

    _engine: Engine
    url: str

    def export_archive(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        category: str | None = None,
        session_id: str | None = None,
        overwrite: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> ExportReport:
        """Writes documents to an archive: a `.tar.gz` with their plain files and digests.

        Writers may go on: each document is in it in one consistent state.  There is no common
        moment for all of them.  History, trash and version numbers are not in it.

        Args:
            target: a path, or a file that is open for writing bytes.  At a path, the archive
                has its name only when it is complete and durable.
            category: only the documents right in it.
            session_id: only this session.
            overwrite: replace a file of that name.
            progress: called with how many documents are done, and how many there are; in the
                async face from another thread.

        Returns:
            How much was written, and what could not be read: look at `left_out`.

        Raises:
            AlreadyExistsError: there is a file of that name.
            UsageError: it would lie in the store's own folder.
            NotFoundError: there is no such session, or nothing in the category.
            StorageError: the archive cannot be written; nothing of it is left.

        Cost: a read of each document; memory for one of them, and about 400 bytes for each.

        Example:
            >>> import io
            >>> from plainstate import open_store
            >>> with open_store("memory:") as store:
            ...     _ = store.save_json("plans", "today", {"steps": ["read"]})
            ...     archive = io.BytesIO()
            ...     store.export_archive(archive).documents
            1
        """
        from plainstate.archive.choosing import Choice
        from plainstate.archive.exporting import export_archive
        from plainstate.archive.target import refuse_inside

        refuse_inside(self.url, target)
        choice = Choice(category, session_id)
        return export_archive(self._engine, target, choice, overwrite=overwrite, progress=progress)

    def import_archive(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        *,
        on_existing: OnExisting = "fail",
        progress: Callable[[int, int], None] | None = None,
    ) -> ImportReport:
        """Stores every document of an archive.

        The whole archive is verified first: names, sizes, digests.  Whatever is wrong with it,
        nothing is changed.  An import that was interrupted can simply be run again.

        Args:
            source: a path, or a file that is open for reading bytes.  What cannot seek is
                copied into a temporary file.
            on_existing: of documents that are there with other content: "fail" before
                anything is changed, "skip" them, or "replace" them.
            progress: called with how much is done, and how much there is.

        Raises:
            ArchiveError: it is no archive, or not whole and intact.
            FormatVersionError: a newer plainstate wrote it.
            ValueTooLargeError: a document is over the store's `max_write_bytes`.
            AlreadyExistsError: a document is there with other content, and `on_existing="fail"`.

        Cost: the archive is read twice, and each document of the store that it names; what is
        stored costs what `save_json` costs, eight at once.  Memory for 32 documents, and about
        330 bytes for each.

        Example:
            >>> import io
            >>> from plainstate import open_store
            >>> archive = io.BytesIO()
            >>> with open_store("memory:") as store:
            ...     _ = store.save_json("plans", "today", {"steps": ["read"]})
            ...     _ = store.export_archive(archive)
            >>> _ = archive.seek(0)
            >>> with open_store("memory:") as store:
            ...     _ = store.import_archive(archive)
            ...     store.load_json("plans", "today")
            {'steps': ['read']}
        """
        from plainstate.archive.importing import import_archive

        return import_archive(self._engine, source, on_existing=on_existing, progress=progress)

    def export_markdown(
        self,
        folder: str | os.PathLike[str],
        *,
        category: str | None = None,
        session_id: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> ExportReport:
        """Writes sessions as Markdown for reading, and the other documents as they are.

        A session becomes `sessions/<id>.md`.  It cannot be imported again: use
        `export_archive` for a backup.

        Args:
            folder: new or empty; it has its name only when it is complete.
            category: only the documents right in it.
            session_id: only this session.
            progress: as in `export_archive`.

        Returns:
            How much was written, and what could not be: look at `left_out`.

        Raises:
            AlreadyExistsError: the folder is not empty.
            UsageError: it would lie in the store's own folder.
            NotFoundError: there is no such session, or nothing in the category.
            StorageError: the folder cannot be written; nothing of it is left.
        """
        from plainstate.archive.choosing import Choice
        from plainstate.archive.markdown import export_markdown
        from plainstate.archive.target import refuse_inside

        refuse_inside(self.url, folder)
        choice = Choice(category, session_id)
        return export_markdown(self._engine, folder, choice, progress=progress)
