"""What happens to the store as a whole: lists, followers, pruning, archives, hands, upkeep."""

from __future__ import annotations

import io
import json
import tempfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from plainstate.errors import AlreadyExistsError, DamagedError, EditConflictError, NotFoundError
from plainstate.types import Change, DocumentId

from .machine import (
    CUT,
    documents,
    handles,
    seq_of,
    sessions,
    users,
    words,
)
from .model import GONE, SESSIONS, Doc, Model, moment, seen, session_id
from .rules import SessionRules, anything

if TYPE_CHECKING:
    from .machine import Stage

has_files = precondition(lambda self: self.world.has_files)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
FAR_OFF = datetime(2100, 1, 1, tzinfo=UTC)


class ListRules(SessionRules):
    """Lists, pages, search, numbers."""

    @rule(on=handles)
    def lists(self, on: str) -> None:
        store = self.store(on)
        if self.run(store, store.list_categories, []) is not CUT:
            self.check_lists(on)

    @rule(on=handles, user=st.none() | users, limit=st.integers(1, 2), newest_first=st.booleans())
    def pages_of_sessions(
        self, *, on: str, user: str | None, limit: int, newest_first: bool
    ) -> None:
        store = self.fresh(on)
        found: list[Any] = []
        after = None
        while True:
            page = store.list_sessions(
                user_id=user,
                limit=limit,
                after=after,
                newest_first=newest_first,
                include_damaged=newest_first,
            )
            if not page:
                break
            found += page
            after = page[-1].cursor
        owned = [
            one.name
            for one, value in self.model.living(SESSIONS).items()
            if user in (None, value["user"])
        ]
        assert sorted(one.id for one in found) == owned
        assert len(owned) == store.count_sessions(user_id=user)
        times = [one.updated_at for one in found]
        assert times == sorted(times, reverse=newest_first)

    @rule(
        on=handles,
        document=anything,
        prefix=st.sampled_from(("", "a", "s-", "x")),
        limit=st.integers(1, 2),
        by_kind=st.booleans(),
    )
    def pages_of_names(
        self, *, on: str, document: DocumentId, prefix: str, limit: int, by_kind: bool
    ) -> None:
        store = self.fresh(on)
        category, kind = document.category, document.kind if by_kind else None
        found: list[str] = []
        after = None
        while page := store.list_category(
            category, kind=kind, prefix=prefix, limit=limit, after=after
        ):
            found += page
            after = page[-1]
        living = self.model.living(category)
        names = {one.name for one in living if kind in (None, one.kind)}
        assert found == sorted(name for name in names if name.startswith(prefix))

    @rule(
        on=handles,
        word=words,
        category=st.none() | anything.map(lambda one: one.category),
        user=st.none() | users,
    )
    def search(self, on: str, word: str, category: str | None, user: str | None) -> None:
        self.check_search(on, word, category, user)

    @rule(on=handles)
    def reindex(self, on: str) -> None:
        store = self.store(on)
        reply = self.run(store, store.reindex, [])
        if reply is not CUT:
            self.behind.discard(on)
            assert reply == len(self.model.living())

    @rule(on=handles)
    def stats(self, on: str) -> None:
        store = self.fresh(on)
        stats = store.stats()
        owned = self.model.living(SESSIONS).values()
        assert stats.documents == len(self.model.living())
        assert stats.damaged == 0
        assert stats.sessions == len(owned)
        assert stats.users == len({value["user"] for value in owned})
        assert stats.messages == sum(len(value["turns"]) for value in owned)
        assert stats.trashed == len(self.model.trash)
        assert (stats.files is not None) == self.world.has_files


class FollowerRules(ListRules):
    """The change feed."""

    def __init__(self) -> None:
        super().__init__()
        self.followed: dict[str, tuple[int, list[Change]]] = {}

    @rule(on=handles)
    def changes(self, on: str) -> None:
        store = self.store(on)
        if self.run(store, lambda: store.changes("latest"), []) is not CUT:
            self.check_feed(on)

    @rule(on=handles, category=st.sampled_from(("plans", SESSIONS)))
    def changes_of_a_category(self, on: str, category: str) -> None:
        store = self.fresh(on)
        everything = store.changes(limit=10_000)
        page = store.changes(category=category, limit=10_000)
        wanted = [one for one in everything if one.document.category == category]
        assert [one.cursor for one in page] == [one.cursor for one in wanted]

    @rule(on=handles, name=st.sampled_from(("f-1", "f-2")), count=st.integers(0, 30))
    def follow(self, on: str, name: str, count: int) -> None:
        """A follower looks at some changes, and stops."""
        store = self.store(on)
        trouble, self.trouble = self.trouble, None
        self.followed.setdefault(name, (len(self.model.commits), []))
        told = self.followed[name][1]
        with store.watch(follower=name) as watch:
            for _ in range(count):
                change = watch.next(timeout_s=0)
                if change is None:
                    break
                told.append(change)
        self.trouble = trouble
        assert [one.name for one in store.followers()] == sorted(self.followed)

    @rule(on=handles, name=st.sampled_from(("f-1", "f-2")))
    def remove_follower(self, on: str, name: str) -> None:
        store = self.store(on)
        trouble, self.trouble = self.trouble, None
        self.check_followed(name, on)
        assert store.remove_follower(name) == (name in self.followed)
        self.followed.pop(name, None)
        self.trouble = trouble

    @rule(on=handles, document=anything)
    def watch_a_category(self, on: str, document: DocumentId) -> None:
        """A watch without a name begins with what comes."""
        store = self.store(on)
        trouble, self.trouble = self.trouble, None
        since = store.changes("latest").cursor
        with store.watch(since, category=document.category) as watch:
            assert watch.next(timeout_s=0) is None
        self.trouble = trouble

    def check_followed(self, name: str, on: str) -> None:
        """A follower that goes on to the end has seen everything since it began."""
        if name not in self.followed:
            return
        self.read_feed(on)
        store = self.store(on)
        since, told = self.followed[name]
        with store.watch(follower=name) as watch:
            while change := watch.next(timeout_s=0):
                told.append(change)
        self.check_told(told, since)

    def check_all(self, on: str) -> None:
        super().check_all(on)
        self.check_feed(on)
        for name in self.followed:
            self.check_followed(name, on)


class RetentionRules(FollowerRules):
    """Pruning, the trash, the way back."""

    @rule(
        on=handles,
        keep_last=st.none() | st.integers(0, 2),
        older_than=st.sampled_from((None, LONG_AGO, FAR_OFF)),
        max_bytes=st.sampled_from((None, 0, 10**9)),
        user=st.none() | users,
        dry_run=st.booleans(),
    )
    def prune_sessions(
        self,
        *,
        on: str,
        keep_last: Any,
        older_than: Any,
        max_bytes: Any,
        user: str | None,
        dry_run: bool,
    ) -> None:
        store = self.store(on)
        if (keep_last, older_than, max_bytes) == (None, None, None):
            keep_last = 1
        going = self._going(keep_last, older_than, max_bytes, user)
        run = self.world.next_run = f"run-{len(self.model.commits):05}-{self._texts:05}"
        self._texts += 1
        stages: list[Stage] = [] if dry_run else [_discarding(name, run) for name in going]
        report = self.run(
            store,
            lambda: store.prune_sessions(
                keep_last=keep_last,
                older_than=older_than,
                max_bytes=max_bytes,
                user_id=user,
                dry_run=dry_run,
            ),
            stages,
        )
        if report is CUT:
            return
        assert [one.id for one in report.sessions] == going
        assert (report.busy, report.damaged) == ([], {})
        assert report.run == (run if going and not dry_run else None)
        for name in going:
            self.look(session_id(name), store)
            self.acknowledged(session_id(name))

    def _going(
        self, keep_last: Any, older_than: Any, max_bytes: Any, user: str | None
    ) -> list[str]:
        """The sessions that go, oldest first."""
        owned = [
            (moment(self.raw_value(one)["updated_at"]), one.name)
            for one, value in self.model.living(SESSIONS).items()
            if user in (None, value["user"])
        ]
        rest = sorted(owned, reverse=True)[keep_last or 0 :][::-1]
        alone = older_than is None and max_bytes is None
        all_go = alone or older_than == FAR_OFF or max_bytes == 0
        return [name for _, name in rest] if all_go else []

    @rule(on=handles)
    def trash(self, on: str) -> None:
        store = self.store(on)
        found = store.trash()
        assert {(one.run, one.id) for one in found} == set(self.model.trash)
        for one in found:
            assert one.user_id == self.model.trash[one.run, one.id].value["user"]

    @rule(on=handles, session=sessions, which=st.none() | st.integers(0, 5))
    def restore_session(self, on: str, session: str, which: int | None) -> None:
        names = sorted({name for _, name in self.model.trash})
        if names and which != 0:  # mostly one that is there
            session = names[(which or 1) % len(names)]
        store, document = self.store(on), session_id(session)
        runs = sorted(run for run, name in self.model.trash if name == session)
        asked = runs[which % len(runs)] if runs and which is not None else None

        def call() -> Any:
            return store.restore_session(session, run=asked)

        if not runs or self.model.doc(document).exists:
            self.refused(store, AlreadyExistsError if runs else NotFoundError, call)
            return
        run = asked or runs[-1]
        if self.run(store, call, [lambda model: model.restore(session, run)]) is not CUT:
            self.look(document, store)
            self.acknowledged(document)

    @rule(on=handles, now=st.booleans(), dry_run=st.booleans())
    def empty_trash(self, *, on: str, now: bool, dry_run: bool) -> None:
        store = self.store(on)
        older_than = FAR_OFF if now else timedelta(days=3)
        going = sorted(self.model.trash) if now else []
        stages = [] if dry_run else [_forgetting(run, name) for run, name in going]
        report = self.run(
            store, lambda: store.empty_trash(older_than=older_than, dry_run=dry_run), stages
        )
        if report is not CUT:
            assert [(one.run, one.id) for one in report.sessions] == going
            assert not report.damaged


class ArchiveRules(RetentionRules):
    """Archives, and Markdown for reading."""

    def __init__(self) -> None:
        super().__init__()
        self.archives: list[tuple[bytes, dict[DocumentId, Any]]] = []

    def part(self, part: DocumentId | None) -> tuple[dict[str, Any], dict[DocumentId, Any]]:
        """Arguments that export a part of the store, and what there is in it."""
        if part is None:
            return {}, self.model.living()
        if part.category == SESSIONS:
            held = self.model.living(SESSIONS)
            return {"session_id": part.name}, {one: held[one] for one in held if one == part}
        return {"category": part.category}, self.model.living(part.category)

    @rule(on=handles, part=st.none() | anything)
    def export_archive(self, on: str, part: DocumentId | None) -> None:
        store, target = self.store(on), io.BytesIO()
        arguments, held = self.part(part)

        def call() -> Any:
            return store.export_archive(
                target,
                category=arguments.get("category"),
                session_id=arguments.get("session_id"),
            )

        if part is not None and not held:
            self.refused(store, NotFoundError, call)
            return
        report = self.run(store, call, [])
        if report is not CUT:
            assert (report.documents, report.left_out) == (len(held), [])
            self.archives.append((target.getvalue(), {one: self.raw_value(one) for one in held}))

    @rule(on=handles, overwrites=st.booleans())
    def export_to_a_file(self, *, on: str, overwrites: bool) -> None:
        store = self.store(on)
        with tempfile.TemporaryDirectory(prefix="model-") as folder:
            place = f"{folder}/archive.tar.gz"
            store.export_archive(place)

            def call() -> Any:
                return store.export_archive(place, overwrite=overwrites)

            if overwrites:
                self.run(store, call, [])
            else:
                self.refused(store, AlreadyExistsError, call)

    @rule(
        on=handles,
        which=st.integers(0, 3),
        on_existing=st.sampled_from(("fail", "skip", "replace")),
    )
    def import_archive(self, on: str, which: int, on_existing: Any) -> None:
        store = self.store(on)
        if not self.archives:
            return
        data, held = self.archives[which % len(self.archives)]
        living = self.model.living()
        differing = [one for one in held if one in living and self.raw_value(one) != held[one]]

        def call() -> Any:
            return store.import_archive(io.BytesIO(data), on_existing=on_existing)

        if differing and on_existing == "fail":
            self.refused(store, AlreadyExistsError, call)
            return
        stored = [one for one in held if one not in living]
        stored += differing if on_existing == "replace" else []
        order = sorted(stored, key=_file)
        report = self.run(store, call, [_saving(one, seen(one, held[one])) for one in order])
        if report is not CUT:
            replaced = len(differing) if on_existing == "replace" else 0
            assert (report.created, report.replaced) == (len(stored) - replaced, replaced)
            assert len(report.skipped) == (len(differing) if on_existing == "skip" else 0)
            for one in stored:
                self.look(one, store)
                self.acknowledged(one)

    @rule(on=handles, part=st.none() | anything)
    def export_markdown(self, on: str, part: DocumentId | None) -> None:
        store = self.store(on)
        arguments, held = self.part(part)
        with tempfile.TemporaryDirectory(prefix="model-") as folder:

            def call() -> Any:
                return store.export_markdown(
                    folder,
                    category=arguments.get("category"),
                    session_id=arguments.get("session_id"),
                )

            if part is not None and not held:
                self.refused(store, NotFoundError, call)
                return
            report = self.run(store, call, [])
        if report is not CUT:
            assert (report.documents, report.left_out) == (len(held), [])


class UpkeepRules(ArchiveRules):
    """Folds, checks and repairs; what a person does to the files."""

    @rule(on=handles)
    def checkpoint(self, on: str) -> None:
        store = self.store(on)
        if self.run(store, store.checkpoint, []) is CUT:
            return
        for document, doc in self.model.docs.items():
            doc.durable = doc.seq
            if self.world.has_files:
                assert self.world.journal(document) is None, f"{document} is not folded"

    @precondition(lambda self: self.world.can_crash)
    @rule(on=handles)
    def housekeeping(self, on: str) -> None:
        """The thread in the background runs now."""
        store = self.store(on)
        self.run(store, store.raw._engine._housekeeping.run, [])

    @rule(on=handles)
    def check(self, on: str) -> None:
        store = self.store(on)
        self.check_sound(store.check().findings)

    @rule(on=handles, cut=st.booleans(), dry_run=st.booleans())
    def repair(self, *, on: str, cut: bool, dry_run: bool) -> None:
        """There is nothing to decide, and no document changes."""
        store = self.store(on)
        report = self.run(store, lambda: store.repair(cut=cut, dry_run=dry_run), [])
        if report is not CUT:
            self.check_sound(report.left)
            for document in list(self.model.docs):
                self.look(document, store)

    @has_files
    @rule(
        on=handles,
        document=anything,
        word=words,
        take=st.sampled_from(("file", "journal")),
        folds=st.booleans(),
    )
    def edit(self, *, on: str, document: DocumentId, word: str, take: Any, folds: bool) -> None:
        """A person adds something to a plain file, perhaps while transactions wait."""
        store, doc = self.store(on), self.model.doc(document)
        trouble, self.trouble = self.trouble, None
        if folds:
            store.checkpoint()
        self.world.quiet(list(self.store_of.values()))
        data = self.world.plain(document)
        if not doc.exists or data is None:
            self.trouble = trouble
            return
        text = self.text(word)
        edited = _edited(document, data, text)
        if edited is None:
            return
        self.world.edit(document, edited)
        expected = seen(
            document,
            _value(document, _edited(document, _bytes(document, self.raw_value(document)), text)),
        )
        try:
            store.read(document.category, document.name, kind=document.kind)
        except EditConflictError:
            assert not folds
            store.resolve(document.category, document.name, take=take, kind=document.kind)
            if take == "file":
                expected = seen(document, _value(document, edited))
        self._edited_by_hand(document, expected, store)

    @has_files
    @rule(on=handles, document=documents, word=words)
    def create_by_hand(self, on: str, document: DocumentId, word: str) -> None:
        store = self.store(on)
        if self.model.doc(document).exists:
            return
        store.checkpoint()
        self.world.quiet(list(self.store_of.values()))
        value = f"{self.text(word)}\n" if document.kind == "markdown" else {"by": [self.text(word)]}
        self.world.edit(document, _bytes(document, value))
        self._edited_by_hand(document, value, store)

    @has_files
    @rule(on=handles, document=anything)
    def remove_by_hand(self, on: str, document: DocumentId) -> None:
        store, doc = self.store(on), self.model.doc(document)
        if not doc.exists:
            return
        store.checkpoint()
        self.world.quiet(list(self.store_of.values()))
        self.world.remove(document)
        past = store.history(document.category, document.name, kind=document.kind, limit=1)
        if past:
            doc.edit(GONE, past[0].seq)
        else:
            self.model.docs[document] = Doc()  # it was never more than its file
        self._seen_edit(document)
        self.look(document, store)

    def _edited_by_hand(self, document: DocumentId, value: Any, store: Any) -> None:
        state = store.read(document.category, document.name, kind=document.kind)
        doc = self.model.doc(document)
        seq = seq_of(state.version)
        # of a document that was only saved once, the file is all there is
        assert seq >= doc.seq, f"{document}: {seq} behind {doc.seq}"
        assert state.version != doc.version
        doc.edit(value, seq)
        self._seen_edit(document)
        self.look(document, store)

    def _seen_edit(self, document: DocumentId) -> None:
        self.edited.add(document)
        self.behind = {"a", "b", "c"}

    @precondition(lambda self: self.world.can_crash)
    @rule(on=handles, document=anything)
    def damage(self, on: str, document: DocumentId) -> None:
        """A journal's last line is damaged: what is before it can be salvaged."""
        store, doc = self.store(on), self.model.doc(document)
        data = self.world.journal(document)
        if data is None or not doc.exists or data.count(b"\n") < 3 or doc.by_hand:
            return
        lines = data.splitlines(keepends=True)
        lines[-2] = lines[-2].replace(b'"time":"2', b'"time":"3')
        category, name, kind = document.category, document.name, document.kind
        with self.world.damaged(document, b"".join(lines)):
            with pytest.raises(DamagedError) as caught:
                store.read(category, name, kind=kind)
            assert caught.value.line == len(lines) - 1
            salvaged = store.salvage(category, name, kind=kind)
            before = None if salvaged is None else seen(document, salvaged)
            if all(b'"patch":' in line for line in lines[-2:]):
                left = doc.at(doc.seq - 2)
                assert left is None or before == (None if left.value is GONE else left.value)
            assert store.exists(category, name, kind=kind)
            assert "journal-damaged" in {one.code for one in store.check().findings}
        self.look(document, store)


def _discarding(name: str, run: str) -> Stage:
    return lambda model: model.discard(name, run)


def _forgetting(run: str, name: str) -> Stage:
    def forget(model: Model) -> None:
        del model.trash[run, name]

    return forget


def _saving(document: DocumentId, value: Any) -> Stage:
    return lambda model: model.doc(document).commit(value)


def _file(document: DocumentId) -> str:
    return f"{document}.{'json' if document.kind == 'json' else 'md'}"


def _bytes(document: DocumentId, value: Any) -> bytes:
    return value.encode() if document.kind == "markdown" else json.dumps(value).encode()


def _value(document: DocumentId, data: bytes) -> Any:
    return data.decode() if document.kind == "markdown" else json.loads(data)


def _edited(document: DocumentId, data: bytes, text: str) -> bytes | None:
    """What a person's editor saves."""
    if document.kind == "markdown":
        return f"{text}\n".encode() + data
    value = _value(document, data)
    if not isinstance(value, dict):
        return None
    if document.category == SESSIONS:
        value["metadata"][f"by hand {text[-12:]}"] = text
    else:
        value[f"by hand {text[-12:]}"] = text
    return _bytes(document, value)
