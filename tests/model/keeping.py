"""What callers keep and let go: pruning, the trash, archives."""

from __future__ import annotations

import io
import tempfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from plainstate.errors import AlreadyExistsError, NotFoundError
from plainstate.types import DocumentId

from .documents import anything
from .finding import FollowerRules
from .machine import (
    CUT,
    handles,
    observer,
    sessions,
    users,
)
from .model import SESSIONS, Model, moment, seen, session_id

if TYPE_CHECKING:
    from .machine import Stage

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
FAR_OFF = datetime(2100, 1, 1, tzinfo=UTC)


class RetentionRules(FollowerRules):
    """Pruning, the trash, the way back."""

    @rule(
        on=handles,
        keep_last=st.none() | st.integers(0, 2),
        older_than=st.sampled_from((None, None, FAR_OFF, LONG_AGO)),
        max_bytes=st.sampled_from((None, None, 0, 10**9)),
        user=st.none() | users,
        dry_run=st.sampled_from((False, False, False, True)),
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

    @observer()
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

    @rule(on=handles, now=st.booleans(), dry_run=st.sampled_from((False, False, True)))
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

    @observer(overwrites=st.booleans())
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

    @observer(part=st.none() | anything)
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
