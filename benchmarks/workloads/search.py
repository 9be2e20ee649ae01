"""W6: full-text search in 1,000, 10,000 and 100,000 sessions of six short messages.  Bar 6.

Timed is the call for the 50 best hits with snippets, of a word that is in 20 sessions and of
one that is in most, in a process that has the store open.  Beside it SQLite's FTS5 on the
same texts, by hand, ranked by bm25 and with snippets.  plainstate finds sessions, the table
by hand messages: it has more hits to rank.

*after an append*: the first search after a new message, which has to be found by it.
*new process* as in the listing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.bench import timed
from benchmarks.many import COMMON, PAGE, RARE, Many, many
from benchmarks.workloads.listing import (
    BY_HAND,
    BY_HAND_COLD,
    COUNTS,
    QUICK_COUNTS,
    asking,
    opened,
)

if TYPE_CHECKING:
    from benchmarks.bench import Bench, Turn
    from benchmarks.peers.base import Store

FOUND_BY_HAND = (
    "SELECT message.session, snippet(word, 0, '«', '»', '…', 12) FROM word"
    " JOIN message ON message.id = word.rowid WHERE word MATCH '{word}' ORDER BY rank LIMIT {page}"
)


def run(bench: Bench) -> None:
    """Measures."""
    for count in bench.sizes(COUNTS, QUICK_COUNTS):
        in_sessions(bench, many(bench, count))


def in_sessions(bench: Bench, stores: Many) -> None:
    """Both stores with the same texts."""
    for kind, word in (("rare", RARE), ("common", COMMON)):
        title = f"search, {kind} word, {stores.sessions:,}"
        what = f"the {PAGE} best hits of a {kind} word in {stores.sessions:,} sessions"
        with opened(stores) as (plain, by_hand):
            turns = {
                "plainstate": _searching(plain, word),
                "plainstate, after an append": _searching(plain, word, append=True),
                "sqlite_full": _searching(by_hand, word),
                "sqlite_full, after an append": _searching(by_hand, word, append=True),
            }
            for turn in turns.values():
                turn()
            bench.compare(title, what, turns, bench.rounds(20), to=BY_HAND)
        statement = FOUND_BY_HAND.format(word=word, page=PAGE)
        turns = asking(
            stores,
            f"store.search({word!r}, limit={PAGE})",
            f'db.execute("{statement}").fetchall()',
        )
        bench.compare(f"{title}, new process", what, turns, bench.rounds(6), to=BY_HAND_COLD)


def _searching(store: Store, word: str, *, append: bool = False) -> Turn:
    def turn() -> list[float]:
        if append:
            store.append("s-0000001", "one more message")
        return timed(lambda: store.search(word, PAGE))  # type: ignore[attr-defined]

    return turn
