"""Comparing a store with the model: lists, search, the change feed, and everything at the end."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import rule

from .machine import OBSERVERS, WORDS, Machine, handles
from .model import (
    KINDS,
    SESSIONS,
    check_complete,
    check_order,
    moment,
    says,
    seen,
    session_id,
)

if TYPE_CHECKING:
    from plainstate.types import Change, Finding


class Checks(Machine):
    """The machine with all that it compares."""

    @rule(data=st.data(), on=handles, what=st.sampled_from(range(100)))
    def observe(self, data: Any, on: str, what: int) -> None:
        name, arguments = sorted(OBSERVERS.items())[what % len(OBSERVERS)]
        drawn = {key: data.draw(strategy, key) for key, strategy in arguments.items()}
        note(f"    {name}({drawn})")
        getattr(self, name)(on=on, **drawn)

    observe_again = observe  # as likely as two rules

    def fresh(self, name: str) -> Any:
        """A handle whose lists know what was changed by hand."""
        store = self.store(name)
        if name in self.behind:
            store.reindex()
            self.behind.discard(name)
        return store

    def check_lists(self, name: str) -> None:
        store = self.fresh(name)
        living = self.model.living()
        counts: dict[str, int] = {}
        for document in living:
            counts[document.category] = counts.get(document.category, 0) + 1
        assert store.count_documents() == counts
        assert store.list_categories() == sorted(counts)
        for category in counts:
            for kind in KINDS:
                names = [one.name for one in living if (one.category, one.kind) == (category, kind)]
                assert store.list_category(category, kind=kind) == sorted(names)
        users = {
            one.name: value["user"] for one, value in living.items() if one.category == SESSIONS
        }
        listed = store.list_sessions()
        assert {one.id: one.user_id for one in listed} == users
        assert len(listed) == len(users) == store.count_sessions()
        for one in listed:
            value = living[session_id(one.id)]
            raw = self.raw_value(session_id(one.id))
            assert one.damaged is None
            assert one.message_count == len(value["turns"])
            assert one.title == value["metadata"].get("title")
            said = [text for role, text in value["turns"] if role == "user"]
            assert one.preview == "".join(said[:1])
            assert one.updated_at == moment(raw["updated_at"])
        changed = [one.updated_at for one in listed]
        assert changed == sorted(changed, reverse=True)

    def check_search(self, name: str, word: str, category: str | None, user: str | None) -> None:
        store = self.fresh(name)
        expected = {
            document
            for document, value in self.model.living(category).items()
            if says(value, word)
            and (user is None or (document.category == SESSIONS and value["user"] == user))
        }
        hits = store.search(word, category=category, user_id=user, limit=1000)
        assert {hit.document for hit in hits} == expected
        assert all("«" in hit.snippet for hit in hits)

    def check_feed(self, name: str) -> None:
        """Goes on where it stopped: every commit is told, and the last change is what is."""
        self.read_feed(name)
        self.check_told(self.told, 0)

    def read_feed(self, name: str) -> None:
        """Reads on; what only a look at the documents tells is told first."""
        store = self.fresh(name)
        if self.feed_lost or self.edited:
            self.told += (page := store.changes(self.cursor, limit=10_000)).changes
            self.cursor = page.cursor
            last = {change.document: change.version or "absent" for change in self.told}
            for document in self.model.docs:
                store.raw._engine.notice(document, last.get(document, "absent"))
            self.feed_lost = False
        while page := store.changes(self.cursor, limit=7):
            self.told += page.changes
            self.cursor = page.cursor

    def check_told(self, told: list[Change], since: int) -> None:
        told = [change for change in told if change.document not in self.edited]
        if not self.crashed:
            check_order(told)
        commits = self.model.commits[max(since, self.told_from) :]
        check_complete(told, [one for one in commits if one[0] not in self.edited])
        if not self.crashed and not since:
            moved = {(one.document, one.seq, one.moved) for one in told}
            assert {one for one in self.moves if one[0] not in self.edited} <= moved
        last = {change.document: (change.seq, change.version) for change in told}
        for document, found in last.items():
            doc = self.model.doc(document)
            assert found[1] == (doc.version if doc.exists else None), (
                f"{document}: the feed ends with {found}, not {doc.log[-1]}"
            )

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if sys.exc_info()[0] is None:
                self._check_end()
        finally:
            for store in self.store_of.values():
                store.abandon()
            self.world.close()

    def _check_end(self) -> None:
        self.trouble = None
        for name in [*self.store_of]:
            self.check_all(name)
        for name in [*self.store_of]:
            self.store_of[name].close()
            del self.store_of[name]
        self.check_all("a")
        self.check_feed("a")
        store = self.store("a")
        self.check_sound(store.check().findings)
        store.close()
        del self.store_of["a"]
        if self.world.has_files:
            self._check_files()

    def check_all(self, name: str) -> None:
        store = self.store(name)
        for document in list(self.model.docs):
            self.look(document, store)
            self.check_past(document, store)
        assert {(one.run, one.id) for one in store.trash()} == set(self.model.trash)
        self.check_lists(name)
        for word in WORDS:
            self.check_search(name, word, None, None)

    def check_sound(self, findings: list[Finding]) -> None:
        """There is nothing worse than a note, but what a power cut or a person explains."""
        for one in findings:
            explained = one.code == "feed-damaged" and self.lost_power
            if one.code in ("rolled-back", "document-gone"):  # the feed had told of more
                explained = self.lost_power or one.document in self.edited
            assert one.severity == "note" or explained, one

    def _check_files(self) -> None:
        """At rest, every document is its plain file, and nothing lies about."""
        for document, doc in self.model.docs.items():
            data = self.world.plain(document)
            assert (data is not None) == doc.exists, f"{document}: {data!r}"
            if data is not None:
                value = data.decode() if document.kind == "markdown" else json.loads(data)
                assert seen(document, value) == doc.value
        files = [path for path in self.world.files() if "/quarantine/" not in path]
        journals = [path for path in files if path.endswith((".jsonl", ".mdl")) and path[0] != "."]
        left = [path for path in files if ".tmp-" in path or "/writers/" in path]
        assert not left + journals, f"left behind: {left + journals}"
