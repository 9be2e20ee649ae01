"""What callers find: lists, search, the change feed."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from plainstate.types import Change, DocumentId

from .documents import anything
from .machine import (
    CUT,
    handles,
    observer,
    users,
    words,
)
from .model import SESSIONS
from .sessions import SessionRules


class ListRules(SessionRules):
    """Lists, pages, search, numbers."""

    @rule(on=handles)
    def lists(self, on: str) -> None:
        store = self.store(on)
        if self.run(store, store.list_categories, []) is not CUT:
            self.check_lists(on)

    @observer(user=st.none() | users, limit=st.integers(1, 2), newest_first=st.booleans())
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

    @observer(
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

    @observer()
    def reindex(self, on: str) -> None:
        store = self.store(on)
        reply = self.run(store, store.reindex, [])
        if reply is not CUT:
            self.behind.discard(on)
            assert reply == len(self.model.living())

    @observer()
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

    @observer()
    def changes(self, on: str) -> None:
        store = self.store(on)
        if self.run(store, lambda: store.changes("latest"), []) is not CUT:
            self.check_feed(on)

    @observer(category=st.sampled_from(("plans", SESSIONS)))
    def changes_of_a_category(self, on: str, category: str) -> None:
        store = self.fresh(on)
        everything = store.changes(limit=10_000)
        page = store.changes(category=category, limit=10_000)
        wanted = [one for one in everything if one.document.category == category]
        assert [one.cursor for one in page] == [one.cursor for one in wanted]

    @observer(name=st.sampled_from(("f-1", "f-2")), count=st.integers(0, 30))
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

    @observer(name=st.sampled_from(("f-1", "f-2")))
    def remove_follower(self, on: str, name: str) -> None:
        store = self.store(on)
        trouble, self.trouble = self.trouble, None
        self.check_followed(name, on)
        assert store.remove_follower(name) == (name in self.followed)
        self.followed.pop(name, None)
        self.trouble = trouble

    @observer(document=anything)
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
