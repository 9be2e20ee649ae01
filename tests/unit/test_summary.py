"""A session's summary, carried from commit to commit, is the one that the session has."""

import copy

from hypothesis import given
from hypothesis import strategies as st

from plainstate import merging
from plainstate.core import patch
from plainstate.core.summary import advance, summarize
from plainstate.session import AGENTS, USERS, Session

TIMES = st.integers(0, 9).map(lambda number: f"2026-11-22T12:00:0{number}.000000Z")
TURNS = st.lists(
    st.tuples(
        st.sampled_from([USERS, AGENTS]),
        st.fixed_dictionaries({"content": st.text(max_size=100), "timestamp": TIMES}),
    ),
    min_size=1,
    max_size=4,
)


class Seen:
    """A head that keeps what a change foresees."""

    version = "1-0"

    def __init__(self, stored):
        self._stored = stored
        self.foreseen = None

    def value(self):
        return self._stored

    def summary(self):
        return summarize(self._stored)

    def foresee(self, summary):
        self.foreseen = summary


@given(st.lists(TURNS, min_size=1, max_size=3), TIMES)
def test_appending_foresees_the_summary_that_the_session_has_then(batches, updated):
    stored = {**Session.with_id("ada", "s").to_tree(), "updated_at": updated}
    for turns in batches:
        head = Seen(stored)
        operations = merging.appending("s", turns, None)(head)
        advanced = advance(head.summary(), operations)
        stored = patch.apply(copy.deepcopy(stored), copy.deepcopy(operations))
        assert head.foreseen == advanced == summarize(stored)
