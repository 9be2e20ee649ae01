"""Search finds what a scan of all texts, word by word, finds.

The environment variable PLAINSTATE_TEST_DATA may name a folder of real dialogues (Taskmaster or
Schema-Guided Dialogue, `*.json`); without it they are made up.
"""

import json
import os
import random
import re
from pathlib import Path
from typing import Any

import pytest

from plainstate import AgentResponse, StateStore, UserMessage, open_store
from plainstate.errors import InvalidValueError
from plainstate.index import query

QUERIES = 200
LETTERS = "aaabcdeeefghiiklmnooprsttuéßñжд東京大学タワ서울"


def made_up() -> dict[str, list[tuple[str, str]]]:
    chance = random.Random(7)
    words = ["".join(chance.choices(LETTERS, k=chance.randint(1, 6))) for _ in range(400)]
    gaps = [" ", ", ", "-", "_", "\n", "'", " (", "… "]
    return {
        f"made-{number}": [
            (role, "".join(chance.choice(words) + chance.choice(gaps) for _ in range(15)))
            for role in ("user", "agent", "user")
        ]
        for number in range(120)
    }


def real(folder: Path) -> dict[str, list[tuple[str, str]]]:
    found = {}
    for path in sorted(folder.glob("*.json")):
        for number, dialogue in enumerate(json.loads(path.read_text(encoding="utf-8"))):
            turns = dialogue.get("utterances") or dialogue["turns"]
            found[f"{path.stem}-{number}"] = [
                (
                    "user" if turn["speaker"].lower() == "user" else "agent",
                    turn.get("text") or turn.get("utterance") or "",
                )
                for turn in turns
            ]
    return found


@pytest.fixture(scope="module")
def dialogues() -> dict[str, list[tuple[str, str]]]:
    place = os.environ.get("PLAINSTATE_TEST_DATA")
    return real(Path(place)) if place else made_up()


@pytest.fixture(scope="module")
def store(dialogues: dict[str, list[tuple[str, str]]]) -> Any:
    with open_store("memory:") as store:
        for name, turns in dialogues.items():
            batch = [
                UserMessage(text) if role == "user" else AgentResponse(text) for role, text in turns
            ]
            if batch:
                store.append_messages(name, batch, user_id="ada")
        yield store


def messages(dialogues: dict[str, list[tuple[str, str]]]) -> dict[tuple[str, str, int], str]:
    found = {}
    for name, turns in dialogues.items():
        counts = {"user": 0, "agent": 0}
        for role, text in turns:
            found[name, role, counts[role]] = text
            counts[role] += 1
    return found


def split(text: str) -> list[str]:
    """The words of a text, each character of a script without spaces being one."""
    alone = r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]"
    return re.findall(rf"{alone}|(?:(?!{alone})[^\W_])+", query.fold(text))


def found(store: StateStore, text: str) -> set[tuple[str, str, int]]:
    hits = store.search(text, limit=1_000_000)
    return {(hit.document.name, hit.role, hit.position) for hit in hits}


def contains(words: list[str], phrase: list[str]) -> bool:
    width = len(phrase)
    return any(words[at : at + width] == phrase for at in range(len(words) - width + 1))


def test_words_and_phrases(store: StateStore, dialogues: dict[str, list[tuple[str, str]]]):
    said = {key: split(text) for key, text in messages(dialogues).items()}
    vocabulary = sorted({word for words in said.values() for word in words})
    chance = random.Random(11)
    long = [words for words in said.values() if len(words) > 3]
    for _ in range(QUERIES):
        word, other = chance.choice(vocabulary), chance.choice(chance.choice(long))
        assert found(store, word) == {key for key, words in said.items() if word in words}, word
        both = {key for key, words in said.items() if word in words and other in words}
        assert found(store, f"{word} {other}") == both, (word, other)
        words = chance.choice(long)
        at = chance.randrange(len(words) - 1)
        phrase = words[at : at + 2]
        expected = {key for key, words in said.items() if contains(words, phrase)}
        assert found(store, f'"{" ".join(phrase)}"') == expected, phrase
        begin = word[: chance.randint(1, len(word))]
        if begin.isascii():
            starts = {
                key for key, words in said.items() if any(one.startswith(begin) for one in words)
            }
            assert found(store, f"{begin}*") == starts, begin


@pytest.mark.parametrize(
    ("asked", "text", "shown"),
    [
        ("train", "Restrain trains train2 a_train", "Restrain trains train2 a_«train»"),
        ("trai*", "restrain Trains", "restrain «Trains»"),
        ('"past 11"', "half-past  11, past 110", "half-«past 11», past 110"),
        ("c++", "abc c d", "abc «c» d"),
        ("東", "in東京", "in«東»京"),
    ],
)
def test_a_snippet_marks_whole_words_and_beginnings(asked, text, shown):
    assert query.snippet(text, query.parse(asked).terms) == shown


def test_a_snippet_shows_a_short_text_whole_and_of_a_long_one_where_the_words_are_close():
    short = f"{'a ' * 30}train to Basel"
    long = f"{'train ' * 20}{'x ' * 100}train to Basel"
    terms = query.parse("train basel").terms
    assert query.snippet(short, terms).startswith("a a")
    assert query.snippet(long, terms).endswith("«train» to «Basel»")


def test_only_text_can_be_searched_for():
    refused = pytest.raises(InvalidValueError, match="what to search for must be text, not None")
    with open_store("memory:") as store, refused:
        store.search(None)
