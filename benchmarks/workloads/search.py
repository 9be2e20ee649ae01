"""W6: full-text search in 1,000, 10,000 and 100,000 sessions of six short messages.  Bar 6.

Timed is the call for the 50 best hits with snippets, of a word that is in one session of 5,000
and of one that is in most, in a process that has the store open.  Beside it SQLite's FTS5 on the
same texts, by hand, ranked by bm25 and with snippets.  plainstate finds sessions, the table
by hand messages: it has more hits to rank.

*after an append*: the first search after a new message, which has to be found by it.
*new process* as in the listing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.bench import timed
from benchmarks.many import COMMON, PAGE, RARE, Many, many, settled
from benchmarks.peers.base import PEERS
from benchmarks.workloads.listing import COUNTS, QUICK_COUNTS, asking

if TYPE_CHECKING:
    from benchmarks.bench import Bench, Turn
    from benchmarks.peers.base import Store

BY_HAND = (
    "SELECT message.session, snippet(word, 0, '«', '»', '…', 12) FROM word"
    " JOIN message ON message.id = word.rowid WHERE word MATCH '{word}' ORDER BY rank LIMIT {page}"
)


def run(bench: Bench) -> None:
    """Measures."""
    for count in bench.sizes(COUNTS, QUICK_COUNTS):
        in_sessions(bench, many(bench, count))


def in_sessions(bench: Bench, stores: Many) -> None:
    """Both stores with the same texts."""
    opened: dict[str, Store] = {}
    for name, folder in (("plainstate", stores.plainstate), ("sqlite_full", stores.sqlite_full)):
        opened[name] = PEERS[name].open(folder)
        bench.exits.callback(opened[name].close)
        if name == "plainstate":
            settled(opened[name].store)  # type: ignore[attr-defined]
        opened[name].search(COMMON, PAGE)  # type: ignore[attr-defined]
    for kind, word in (("rare", RARE), ("common", COMMON)):
        turns: dict[str, Turn] = {}
        for name, store in opened.items():
            turns[name] = _searching(store, word)
            turns[f"{name}, after an append"] = _searching(store, word, append=True)
        title = f"search, {kind} word, {stores.count:,}"
        what = f"the {PAGE} best hits of a {kind} word in {stores.count:,} sessions"
        bench.compare(title, what, turns, bench.rounds(20), to=("sqlite_full",))
        by_hand = BY_HAND.format(word=word, page=PAGE)
        bench.compare(
            f"{title}, new process",
            what,
            asking(
                stores,
                f"store.search({word!r}, limit={PAGE})",
                f'db.execute("{by_hand}").fetchall()',
            ),
            bench.rounds(6),
            to=("sqlite_full",),
        )


def _searching(store: Store, word: str, *, append: bool = False) -> Turn:
    def turn() -> list[float]:
        if append:
            store.append("s-0000001", "one more message")
        return timed(lambda: store.search(word, PAGE))  # type: ignore[attr-defined]

    return turn
