"""`repair` mends what can be mended, keeps every byte, and leaves what needs a decision."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import pytest
from damages import BUSY, DAMAGES, FEED, HEADS, HISTORY, META, REST, Damage, flip, lines_of, write

from plainstate import CheckReport, StateStore, check_store, open_store
from plainstate.errors import DamagedError, LockTimeoutError, NotFoundError, PlainstateError
from plainstate.types import DocumentId

each_damage = pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.name)


def values(store: StateStore) -> dict[str, object]:
    """Every document that can be read, and its version."""
    found = {}
    for category in store.list_categories():
        for name in store.list_category(category):
            for kind in ("json", "markdown"):
                try:
                    document = store.read(category, name, kind=kind)
                except PlainstateError:
                    continue
                if document is not None:
                    found[f"{category}/{name} {kind}"] = document
    return found


def contents(base: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(base)): path.read_bytes()
        for path in sorted(base.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


USUAL = ("quarantined", "index-behind")
"""What a repair leaves, and what a list brings up to date."""


def codes(report: CheckReport) -> list[str]:
    """What was found, without what was set aside."""
    return sorted(one.code for one in report.findings if one.code not in USUAL)


def opened(base: Path) -> StateStore:
    return open_store(base, quiet_fold_s=3600)


@each_damage
def test_what_can_be_mended_is(damage: Damage, base):
    damage.harm(base)
    with opened(base) as store:
        before = values(store)
        report = store.repair()
        after = codes(store.check())
        left = [code for code in damage.left if code not in USUAL]
        assert after == sorted(left)
        worse = sorted(one.code for one in store.check().findings if one.severity != "note")
        assert sorted(one.code for one in report.left) == worse
        now = values(store)
        hurt = {path.rpartition(".")[0] for code, path, _ in damage.found if code != "edited"}
        fine = {name: value for name, value in before.items() if name.split()[0] not in hurt}
        assert {name: now.get(name) for name in fine} == fine


@each_damage
def test_a_dry_run_does_nothing_and_tells_what_would_be_done(damage: Damage, base):
    damage.harm(base)
    cut = damage.cut is not None
    with opened(base) as store:
        before = contents(base)
        planned = store.repair(cut=cut, dry_run=True)
        now = contents(base)
        own = (f"{META}/index-", f"{META}/writers/", f"{META}/feed/")
        assert {name for name in now if not name.startswith(own)} == {
            name for name in before if not name.startswith(own)
        }
        assert all(now[name] == before[name] for name in now if not name.startswith(own))
        done = store.repair(cut=cut)
        assert [(one.finding.code, one.action) for one in done.mended] == [
            (one.finding.code, one.action) for one in planned.mended
        ]
        assert done.left == planned.left
        assert (planned.dry_run, done.dry_run) == (True, False)


FOLDING = ("fold that was cut off", "dead writer")
"""What is mended by the fold that somebody did not finish, or did not do."""


@pytest.mark.parametrize(
    "damage", [one for one in DAMAGES if one.name not in FOLDING], ids=lambda one: one.name
)
def test_no_byte_is_lost(damage: Damage, base):
    """Every line of every file that is changed or gone is still in some file."""
    damage.harm(base)
    before = contents(base)
    with opened(base) as store:
        store.repair(cut=True)
        now = contents(base)
    lines = {line for data in now.values() for line in data.rstrip(b" ").splitlines()}
    derived = (f"{META}/index-", f"{META}/writers/")
    for name, data in before.items():
        if not name.startswith(derived) and now.get(name) != data:
            assert set(data.rstrip(b" ").splitlines()) <= lines, name


@pytest.mark.parametrize(
    "damage", [one for one in DAMAGES if one.cut is not None], ids=lambda one: one.name
)
def test_journals_are_cut_only_when_asked(damage: Damage, base):
    damage.harm(base)
    with opened(base) as store:
        assert store.repair().left
        assert store.repair(cut=True).mended
        assert codes(store.check()) == sorted(damage.cut)
        store.patch("plans", "busy", [{"op": "add", "path": "/steps/-", "value": "after"}])
        assert store.load_json("plans", "busy")["steps"][-1] == "after"
        store.append_user_message("s-2", "after", user_id="ada")


def test_a_cut_counts_lines_as_the_reader_does(base):
    """A carriage return, which a foreign hand left between two members, ends no line."""
    head, *rest = lines_of(base / BUSY)
    rest[-1]["patch"][0]["path"] = "/nowhere/-"
    data, check = b"", 0
    for line in (head, *rest):
        del line["sum"]
        body = json.dumps(line, separators=(",\r" if line is head else ",", ":")).encode()[:-1]
        check = crc32(body, check)
        data += b'%b,"sum":"%08x"}\n' % (body, check)
    write(base / BUSY, data)
    with opened(base) as store:
        assert store.repair(cut=True).mended
        assert store.load_json("plans", "busy") == {"steps": ["a", "b"]}


def test_a_cut_keeps_every_intact_transaction(base):
    flip(base / BUSY, 4)
    whole = (base / BUSY).read_bytes()
    with opened(base) as store:
        store.repair(cut=True)
        assert store.load_json("plans", "busy") == {"steps": ["a", "b"]}
        (kept,) = (base / META / "quarantine/plans").iterdir()
        assert kept.read_bytes() == whole
        assert store.list_category("plans") == ["busy", "rest"]
        assert store.stats().damaged == 0


def test_a_damaged_head_keeps_number_and_version(base):
    with open_store(base) as store:
        before = store.read("plans", "rest")
        gone = store.stats()
    assert gone.damaged == 0
    flip(base / HEADS / "plans/rest.jsonl", 1)
    flip(base / HEADS / "plans/gone.jsonl", 1)
    with open_store(base) as store:
        store.repair()
        assert store.read("plans", "rest") == before
        assert store.save_json("plans", "gone", 2).seq == 3


def test_a_lost_head_does_not_give_numbers_twice(base):
    """Where nothing tells that the file is the state of the newest number, it counts as an edit."""
    (base / HISTORY).unlink()
    write(base / HEADS / "plans/rest.jsonl", b"")
    with open_store(base) as store:
        store.repair()
        assert store.read("plans", "rest").version.startswith("3-")


def test_a_head_that_is_not_intact_says_what_mends_it(base):
    flip(base / HEADS / "plans/rest.jsonl", 1)
    with opened(base) as store:
        with pytest.raises(DamagedError) as caught:
            store.save_json("plans", "rest", {})
        assert "`plainstate repair` writes it anew" in caught.value.hint
        plan, done = store.repair(dry_run=True), store.repair()
        assert [one.action[:14] for one in plan.mended + done.mended] == ["write it anew;"] * 2
        store.save_json("plans", "rest", {})


def test_what_a_new_segment_leaves_behind_needs_nothing(base):
    flip(base / FEED, 13)
    with opened(base) as store:
        store.repair()
        (left,) = [one for one in store.check().findings if one.code == "feed-damaged"]
    assert (left.severity, left.remedy) == ("note", "Nothing needs to be done.")


def test_lost_heads_are_named_where_files_seem_older(base):
    shutil.rmtree(base / HEADS)
    found = [one for one in check_store(base).findings if one.code == "rolled-back"]
    assert found
    assert all("its journal or head is lost" in one.message for one in found)


def test_a_store_that_is_fine_is_not_touched(base):
    with opened(base) as store:
        before = contents(base)
        report = store.repair(cut=True)
        assert (report.mended, report.left) == ([], [])
        now = contents(base)
    own = (f"{META}/index-", f"{META}/writers/")
    assert {name: data for name, data in now.items() if not name.startswith(own)} == before


@contextmanager
def held(store: StateStore, document: DocumentId) -> Iterator[None]:
    """Holds a document's lock, whatever is wrong with it."""
    access = store._engine._access
    access.start()
    entry = access.entries.borrow(document)
    entry.lock.acquire(1)
    try:
        yield
    finally:
        entry.lock.release()
        access.entries.give_back(entry)


def test_a_document_that_is_held_is_waited_for(base):
    flip(base / BUSY, 3)
    with opened(base) as holder, open_store(base, lock_timeout_s=0.05) as store:
        with held(holder, DocumentId("plans", "busy")), pytest.raises(LockTimeoutError):
            store.repair(cut=True)
        assert store.repair(cut=True).mended


def test_the_index_learns_what_was_mended(base):
    flip(base / HEADS / "plans/rest.jsonl", 1)
    with opened(base) as store:
        assert store.stats().damaged == 1
        store.repair()
        assert store.stats().damaged == 0


def test_followers_are_told_of_mended_documents(base):
    flip(base / BUSY, 4)
    with opened(base) as store:
        cursor = store.changes(since="latest").cursor
        store.repair(cut=True)
        assert [str(one.document) for one in store.changes(cursor)] == ["plans/busy"]


def test_history_that_was_cut_still_tells_what_is_intact(base):
    flip(base / HISTORY, 2)
    with opened(base) as store:
        store.repair()
        assert store.read("plans", "rest", at=1).value == {"steps": ["a"]}
        with pytest.raises(NotFoundError):
            store.read("plans", "busy", at=7)
        assert store.load_json("plans", "rest") == {"steps": ["a", "b"]}


def test_a_restored_file_is_the_one_that_was(base):
    whole = (base / REST).read_bytes()
    write(base / REST, whole[:9])
    with opened(base) as store:
        store.repair()
    assert (base / REST).read_bytes() == whole
    assert check_store(base).is_sound
