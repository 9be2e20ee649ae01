"""What a caller passes on when he asks: search queries, cursors, beginnings of names."""

from __future__ import annotations

from functools import cache
from typing import Final

from plainstate import StateStore, open_store
from plainstate.errors import (
    CursorExpiredError,
    InvalidCursorError,
    InvalidNameError,
    InvalidValueError,
    NotFoundError,
)
from plainstate.index import query
from plainstate.limits import MAX_QUERY_CHARACTERS
from proof.fuzz.oracle import documented, text_of

__all__ = ["asking", "excerpt", "search"]

_REFUSALS: Final = (
    CursorExpiredError,
    InvalidCursorError,
    InvalidNameError,
    InvalidValueError,
    NotFoundError,
)
_TEXTS: Final = (
    "The quick brown fox jumps over the lazy dog",
    "Ein Café in der Altstadt, Straße 5: 東京 for two",
    'AND OR NOT NEAR("x" y) col:umn ^start -minus * "quoted" rest*',
)


def search(data: bytes) -> None:
    """No query is an error but one that is too long or no text; a word that is there is found.

    Every hit shows a document of the store, with balanced marks.
    """
    text = text_of(data)
    store = _store()
    with documented(InvalidValueError):
        hits = store.search(text)
        assert len(text) <= MAX_QUERY_CHARACTERS
        for hit in hits:
            assert hit.document.category in ("notes", "sessions")
            assert hit.snippet.count("«") == hit.snippet.count("»")
        if text.isascii() and text.isalpha():
            words = [word.lower() for one in _TEXTS[:1] for word in one.split()]
            assert not (text.lower() in words and not hits)


def excerpt(data: bytes) -> None:
    """The excerpt of any text for any query is a part of that text, short, with marks around hits.

    The input is a query, then a line end, then the text.
    """
    asked, _, body = text_of(data).partition("\n")
    if not body.isprintable() or not asked.isprintable():  # what a store holds is UTF-8
        asked, body = (one.encode(errors="replace").decode() for one in (asked, body))
    body = body.replace("«", "").replace("»", "")
    understood = query.parse(asked)
    shown = query.snippet(body, understood.terms)
    bare = shown.replace("«", "").replace("»", "").removeprefix("…").removesuffix("…")
    assert bare in " ".join(body.split())
    assert query.score(query.fold(body), understood.terms, 100) >= 0
    query.spread(body).encode()


def asking(data: bytes) -> None:
    """Lists and the feed take any text as cursor, name or beginning, or refuse it as documented."""
    text = text_of(data)
    store = _store()
    for ask in (
        lambda: store.list_sessions(after=text),
        lambda: store.list_sessions(user_id=text, after=text, newest_first=False),
        lambda: store.changes(text),
        lambda: store.read("notes", "plan", at=text),
        lambda: store.trash() and store.restore_session(text, run=text),
    ):
        with documented(*_REFUSALS):
            ask()
    with documented(InvalidValueError):
        found = store.list_category("notes", prefix=text)
        assert found == [name for name in ("other", "plan") if name.startswith(text)]
    with documented(InvalidValueError):
        found = store.list_category("notes", after=text)
        assert found == [name for name in ("other", "plan") if name > text]


@cache
def _store() -> StateStore:
    store = open_store("memory:")
    store.save_markdown("notes", "plan", "\n\n".join(_TEXTS))
    store.save_json("notes", "other", {"text": _TEXTS[1]})
    for text in _TEXTS:
        store.append_user_message("s-1", text, user_id="ada")
    store.search("fox")
    return store
