"""Pure: what a person typed, as an expression that cannot be wrong; and where a text says it.

Texts and queries pass through the same `spread`: it puts spaces around each character of the
scripts that are written without them, so that a run of these is found as the phrase of its
characters.  The rest (accents, what separates words) is the tokenizer's, FTS5's `unicode61`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import islice
from typing import Final

from msgspec import Struct

from plainstate.core.digest import blake2b

__all__ = ["Query", "fold", "parse", "scope", "score", "snippet", "spread"]

BEGIN: Final = "«"
END: Final = "»"
_SNIPPET: Final = 160
_BEFORE: Final = 50
"""Characters shown before the first hit."""

# Han, kana, Hangul, Bopomofo, Yi; Thai, Lao, Tibetan, Myanmar, Khmer and their extensions.
_ALONE: Final = (
    r"[\u0e00-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u2e80-\u303f"
    r"\u3040-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua960-\ua97f\ua9e0-\ua9ff\uaa60-\uaadf"
    r"\uac00-\ud7ff\uf900-\ufaff\U00016fe0-\U00018d8f\U0001aff0-\U0001b2ff\U00020000-\U0003fffd]"
)
_VARIATION: Final = re.compile(r"[\ufe00-\ufe0f]")  # how a character looks, not which one it is
_PART: Final = re.compile(r'"([^"]*)"|[^\s"]+')
_WORD: Final = re.compile(r"[^\W_]+")
_ACCENTS: Final = re.compile(r"[\u0300-\u036f]")
_SATURATION: Final = 1.2
_LENGTH: Final = 0.75
"""k1 and b of BM25, at their usual values."""

_PLACES: Final = 100
"""Hits of a term that are looked at for the best part."""


class Query(Struct, frozen=True):
    """A query that was understood.

    Attributes:
        expression: for FTS5, without scope; "" if there is no word in it.
        terms: each finds its words in a folded text.
    """

    expression: str
    terms: tuple[re.Pattern[str], ...]


def spread(text: str) -> str:
    """A text as it is given to the tokenizer.

    Example:
        >>> spread("Straße"), spread("in 東京 today")
        ('strasse', 'in  東  京  today')
    """
    if text.isascii():
        return text.replace("\0", " ")
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _alone().sub(r" \g<0> ", _VARIATION.sub("", folded)).replace("\0", " ")


def scope(kind: str, value: str) -> str:
    """A word for a category or user, which no text contains in its column."""
    return kind + blake2b(value.encode(), size_bytes=8).hex()


def parse(text: str) -> Query:
    """Understands a query: words, "phrases", and word* for a beginning; nothing is an error.

    Example:
        >>> parse('half "past 11" rest*').expression
        '"half" "past 11" "rest" *'
        >>> parse("AND ( :").expression
        '"AND"'
    """
    expression, terms = [], []
    for match in _PART.finditer(text):
        is_phrase = match[1] is not None
        part = match[1] if is_phrase else match[0]
        is_prefix = not is_phrase and part.endswith("*")
        words = spread(part.rstrip("*"))
        if not any(character.isalnum() for character in words):
            continue
        expression.append('"{}"{}'.format(words.replace('"', " "), " *" if is_prefix else ""))
        terms.append(_pattern(words, is_prefix=is_prefix))
    return Query(" ".join(expression), tuple(terms))


def _pattern(words: str, *, is_prefix: bool) -> re.Pattern[str]:
    """Finds a term in a folded text."""
    parts = _WORD.findall(fold(words))
    if not parts:
        return re.compile(r"(?!)")
    first = re.escape(parts[0])  # stands first, because a search for plain characters is faster
    begin = "" if _stands_alone(parts[0]) else rf"(?<![^\W_]{first})"
    end = "" if _stands_alone(parts[-1]) else r"[^\W_]*" if is_prefix else r"(?![^\W_])"
    rest = "".join(rf"[\W_]*{re.escape(part)}" for part in parts[1:])
    return re.compile(first + begin + rest + end)


@cache
def _alone() -> re.Pattern[str]:
    # with its first use: it takes 2 ms, and most texts are ASCII
    return re.compile(_ALONE)


def _stands_alone(word: str) -> bool:
    return not word.isascii() and _alone().match(word) is not None


def fold(text: str) -> str:
    """A text without case, accents and width, for counting what a term finds in it."""
    if text.isascii():
        return text.lower()
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFC", bare).casefold()


def score(folded: str, terms: tuple[re.Pattern[str], ...], average: float) -> float:
    """How well a text fits, as BM25 has it where every term counts alike.

    They may: all texts that are compared contain all of them.

    Args:
        folded: from `fold`.
        terms: of the query.
        average: characters of an average text.
    """
    room = _SATURATION * (1 - _LENGTH + _LENGTH * len(folded) / average)
    total = 0.0
    for term in terms:
        count = len(term.findall(folded)) or 1
        total += count * (_SATURATION + 1) / (count + room)
    return total


def snippet(body: str, terms: tuple[re.Pattern[str], ...]) -> str:
    r"""The part of a text where most terms are close together, each between « and ».

    Example:
        >>> snippet("a Café in the\n old town", parse("cafe").terms)
        'a «Café» in the old town'
    """
    places = _places(body, terms)
    begin = 0 if len(body) <= _SNIPPET else _boundary(body, max(0, _best(places) - _BEFORE))
    finish = min(len(body), begin + _SNIPPET)
    shown, at = "", begin
    for start, end, _ in places:
        if at <= start and end <= finish:
            shown += f"{body[at:start]}{BEGIN}{body[start:end]}{END}"
            at = end
    shown = " ".join((shown + body[at:finish]).split())
    return ("…" if begin else "") + shown + ("…" if finish < len(body) else "")


def _best(places: list[tuple[int, int, int]]) -> int:
    """Where most terms are close together."""
    best = most = 0
    for start, _, _ in places:
        near = {which for begin, _, which in places if start <= begin < start + _SNIPPET - _BEFORE}
        if len(near) > most:
            best, most = start, len(near)
    return best


def _places(body: str, terms: tuple[re.Pattern[str], ...]) -> list[tuple[int, int, int]]:
    """Where a body says which term."""
    if body.isascii():
        folded, origin = body.lower(), None
    else:
        parts = [fold(character) for character in body]
        folded = "".join(parts)
        origin = [index for index, part in enumerate(parts) for _ in part]
    found = []
    for which, term in enumerate(terms):
        for match in islice(term.finditer(folded), _PLACES):
            start, end = match.span()
            if origin is not None:
                start, end = origin[start], origin[end - 1] + 1
            found.append((start, end, which))
    return sorted(found)


def _boundary(body: str, start: int) -> int:
    """The begin of the next word, if there is one near."""
    space = body.find(" ", start, start + _BEFORE // 2) if start else -1
    return start if space < 0 else space + 1
