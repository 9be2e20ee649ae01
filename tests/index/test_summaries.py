"""Sessions in lists: cheap to make, and complete when they are looked at."""

from __future__ import annotations

import pytest

from plainstate import open_store
from plainstate.core import times


def test_a_list_makes_no_times_before_they_are_asked_for(monkeypatch):
    with open_store("memory:") as store:
        store.append_user_message("s-1", "Hello", user_id="ada")
        monkeypatch.setattr(times, "to_datetime", lambda _: pytest.fail("a time was made"))
        (summary,) = store.list_sessions()
        monkeypatch.undo()
        session = store.load_session("s-1")
    assert (summary.created_at, summary.updated_at) == (session.created_at, session.updated_at)


def test_a_summary_shows_its_times():
    with open_store("memory:") as store:
        store.append_user_message("s-1", "Hello", user_id="ada")
        (summary,) = store.list_sessions()
    assert repr(summary) == (
        "SessionSummary(id='s-1', user_id='ada', message_count=1,"
        f" created_at={summary.created_at!r}, updated_at={summary.updated_at!r},"
        " title=None, preview='Hello', active_seed_id=None, damaged=None)"
    )
