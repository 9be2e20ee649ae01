"""Archives: what is exported comes back, and rubbish changes nothing."""

from __future__ import annotations

import io

from plainstate.errors import (
    AlreadyExistsError,
    ArchiveError,
    InvalidNameError,
    NotFoundError,
    UsageError,
)
from plainstate.testing.conformance.kit import Kit, case, equal, refused, that


async def _exported(kit: Kit, **chosen: str) -> io.BytesIO:
    file = io.BytesIO()
    report = await kit.store.export_archive(file, **chosen)
    equal(report.left_out, [])
    file.seek(0)
    return file


async def _fill(kit: Kit) -> None:
    await kit.store.append_user_message("s-1", "Hello", user_id="ada")
    await kit.store.append_agent_response("s-1", "Hi \u2713")
    await kit.store.save_json("a/b", "n", {"n": 10**30, "f": 1.0, "z": None})
    await kit.store.save_markdown("a/b", "n", "two\r\nlines\ufeff")


@case()
async def an_archive_comes_back(kit: Kit) -> None:
    """What was exported and deleted is there again after an import, exactly."""
    await _fill(kit)
    session = await kit.store.load_session("s-1")
    file = await _exported(kit)
    await kit.store.delete_session("s-1")
    await kit.store.delete_file("a/b", "n", kind="json")
    await kit.store.delete_file("a/b", "n", kind="markdown")
    report = await kit.store.import_archive(file)
    equal((report.created, report.replaced, report.unchanged), (3, 0, 0))
    that(await kit.store.load_session("s-1") == session, "the session is the same")
    equal(await kit.store.load_json("a/b", "n"), {"n": 10**30, "f": 1.0, "z": None})
    equal(await kit.store.load_markdown("a/b", "n"), "two\r\nlines\ufeff")
    await kit.store.append_user_message("s-1", "Go on")
    equal(len((await kit.store.load_session("s-1")).turns()), 3)


@case()
async def an_import_again_changes_nothing(kit: Kit) -> None:
    """A second import finds everything unchanged, and commits nothing."""
    await _fill(kit)
    file = await _exported(kit)
    version = (await kit.store.read("sessions", "s-1")).version
    report = await kit.store.import_archive(file)
    equal((report.created, report.replaced, report.unchanged), (0, 0, 3))
    equal((await kit.store.read("sessions", "s-1")).version, version)


@case()
async def an_import_asks_before_it_overwrites(kit: Kit) -> None:
    """Documents with other content stop an import, are skipped, or are replaced."""
    await _fill(kit)
    file = await _exported(kit)
    await kit.store.save_json("a/b", "n", "other")
    await kit.store.delete_session("s-1")
    await refused(AlreadyExistsError, kit.store.import_archive(file))
    equal(await kit.store.load_session("s-1"), None)
    file.seek(0)
    report = await kit.store.import_archive(file, on_existing="skip")
    equal((report.created, report.skipped), (1, ["a/b/n.json"]))
    equal(await kit.store.load_json("a/b", "n"), "other")
    file.seek(0)
    report = await kit.store.import_archive(file, on_existing="replace")
    equal((report.replaced, report.unchanged), (1, 2))
    equal((await kit.store.load_json("a/b", "n"))["n"], 10**30)
    await refused(UsageError, kit.store.import_archive(file, on_existing="merge"))


@case()
async def a_part_can_be_exported(kit: Kit) -> None:
    """One session or one category is exported; what is not there is refused."""
    await _fill(kit)
    one, other = await _exported(kit, session_id="s-1"), await _exported(kit, category="a/b")
    equal((await kit.store.import_archive(one)).unchanged, 1)
    equal((await kit.store.import_archive(other)).unchanged, 2)
    nowhere = io.BytesIO()
    export = kit.store.export_archive
    await refused(NotFoundError, export(nowhere, session_id="s-2"))
    await refused(NotFoundError, export(nowhere, category="a"))
    await refused(InvalidNameError, export(nowhere, category="../a"))
    await refused(UsageError, export(nowhere, category="a", session_id="s-1"))
    await refused(NotFoundError, kit.store.export_markdown("unused", session_id="s-2"))


@case()
async def a_cut_archive_changes_nothing(kit: Kit) -> None:
    """An archive that is not whole is refused, and none of it is stored."""
    await _fill(kit)
    whole = (await _exported(kit)).getvalue()
    await kit.store.delete_session("s-1")
    for data in (b"", whole[:-1], whole[: len(whole) // 2], whole + b"x", b"no archive"):
        await refused(ArchiveError, kit.store.import_archive(io.BytesIO(data)))
    equal(await kit.store.load_session("s-1"), None)
