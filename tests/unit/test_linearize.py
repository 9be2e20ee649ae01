"""The checker of concurrent histories refuses what cannot have happened, and only that."""

import sys
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2]))

from proof.storm.judge import not_linearizable
from proof.storm.linearize import Stuck, TooManyError, linearize
from proof.storm.model import Call, Operation, Outcome

NOW = 100
"""After everything else."""


def done(action, begin, end, *tokens, place="docs/d", version=None, **known):
    """An operation with an outcome; what an `Outcome` knows goes there, the rest to the `Call`."""
    told = {name: known.pop(name) for name in list(known) if name in Outcome.__struct_fields__}
    call = Call(action, place, tokens, **known)
    return Operation("w", call, begin, end, Outcome(version=version, **told))


def cut_off(action, begin, dead, *tokens, place="docs/d", **known):
    return Operation("w", Call(action, place, tokens, **known), begin, dead, None)


def read(begin, end, *tokens, version=None, place="docs/d"):
    value = tokens if version else None
    return done("read", begin, end, place=place, version=version, value=value)


def moved(begin, end, version="", error="", source="boxes/a", target="boxes/b"):
    call = Call("move", source, target=target)
    return Operation("w", call, begin, end, Outcome(error, version or None))


A = done("save", 0, 1, "a", version="1-a")
"""Where most of the examples begin."""

IN_BOX = done("save", 0, 1, "a", place="boxes/a", version="1-a")

REFUSED = {
    "an acknowledged write is lost": [
        A,
        done("patch", 2, 3, "b", version="2-b"),
        read(4, 5, "a", version="1-a"),
    ],
    "two that saw the same both count": [
        A,
        done("transact", 2, 9, "b", version="2-b", value=("a",)),
        done("transact", 3, 8, "c", version="3-c", value=("a",)),
    ],
    "of two with one number, both are acknowledged": [
        A,
        done("patch", 2, 9, "b", version="2-b"),
        done("patch", 3, 8, "c", version="2-c"),
    ],
    "a number is skipped": [A, done("patch", 2, 3, "b", version="3-b")],
    "a read is behind an acknowledgement": [
        A,
        done("save", 2, 3, "b", version="2-b"),
        read(4, 6, "a", version="1-a"),
        read(7, 8, "b", version="2-b"),
    ],
    "a read goes back, beside the write": [
        A,
        done("save", 2, 9, "b", version="2-b"),
        read(3, 4, "b", version="2-b"),
        read(5, 6, "a", version="1-a"),
    ],
    "a read knows the future": [
        A,
        read(2, 3, "a", "b", version="2-b"),
        done("patch", 4, 5, "b", version="2-b"),
    ],
    "a read tells another version than the write": [A, read(2, 3, "a", version="1-other")],
    "a retry is done twice": [
        A,
        cut_off("patch", 2, 4, "b", tx_id="t"),
        read(5, 6, "a", "b", version="2-b"),
        done("patch", 7, 8, "b", version="3-c", tx_id="t"),
    ],
    "a retry is acknowledged under a number of its own": [
        A,
        done("patch", 2, 4, "b", version="2-b", tx_id="t"),
        done("patch", 7, 8, "b", version="3-c", duplicate=True, tx_id="t"),
    ],
    "a duplicate of what was never done": [
        A,
        done("patch", 2, 3, "b", version="2-b", duplicate=True, tx_id="t"),
        read(4, 5, "a", "b", version="2-b"),
    ],
    "what was deleted comes back": [
        A,
        done("delete", 2, 3, gone=True),
        read(4, 5, "a", version="1-a"),
    ],
    "a delete finds nothing where something is": [A, done("delete", 2, 3, gone=False)],
    "numbers begin anew behind a delete": [
        A,
        done("delete", 2, 3, gone=True),
        done("save", 4, 5, "b", version="1-b"),
    ],
    "two compare and set the same version": [
        A,
        done("save", 2, 9, "a", "b", version="2-b", expected="1-a"),
        done("save", 3, 8, "a", "c", version="3-c", expected="1-a"),
    ],
    "two create what must be absent": [
        done("save", 2, 9, "a", version="1-a", expected="absent"),
        done("save", 3, 8, "b", version="2-b", expected="absent"),
    ],
    "a conflict that is none": [
        A,
        done("save", 2, 3, "b", error="conflict", version="1-a", expected="1-a"),
    ],
    "a refused write counts": [
        A,
        done("patch", 2, 3, "b", error="busy"),
        read(4, 5, "a", "b", version="2-b"),
    ],
    "a half of a batch": [
        done("append", 0, 9, "a", "b", version="1-a"),
        read(2, 3, "a", version="1-a"),
    ],
    "two reads in two orders": [
        A,
        done("patch", 2, 9, "b", version="2-b"),
        done("patch", 2, 9, "c", version="3-c"),
        read(10, 11, "a", "b", "c", version="3-c"),
        read(12, 13, "a", "c", "b", version="3-c"),
    ],
    "the dead write": [
        A,
        cut_off("patch", 2, 4, "b"),
        read(5, 6, "a", version="1-a"),
        read(7, 8, "a", "b", version="2-b"),
    ],
    "a move leaves what it moved": [
        IN_BOX,
        moved(2, 3, "2-a"),
        read(4, 5, "a", place="boxes/a", version="1-a"),
    ],
    "a moved document is nowhere": [
        IN_BOX,
        cut_off("move", 2, 3, place="boxes/a", target="boxes/b"),
        read(4, 5, place="boxes/a"),
        read(6, 7, place="boxes/b"),
    ],
    "a moved document is in both places": [
        IN_BOX,
        cut_off("move", 2, 9, place="boxes/a", target="boxes/b"),
        read(3, 4, "a", place="boxes/b", version="2-a"),
        read(5, 6, "a", place="boxes/a", version="1-a"),
    ],
    "a move over what is there": [
        IN_BOX,
        done("save", 2, 3, "b", place="boxes/b", version="1-b"),
        moved(4, 5, "2-a"),
    ],
}

ACCEPTED = {
    "nothing": [],
    "one after the other": [
        A,
        done("patch", 2, 3, "b", version="2-b"),
        read(4, 5, "a", "b", version="2-b"),
        done("delete", 6, 7, gone=True),
        done("delete", 8, 9, gone=False),
        done("patch", 10, 11, "c", error="absent"),
        read(12, 13),
        done("save", 14, 15, "d", version="4-d"),
    ],
    "reads beside a write see it or not, in this order": [
        A,
        done("save", 2, 9, "b", version="2-b"),
        read(3, 4, "a", version="1-a"),
        read(5, 6, "b", version="2-b"),
    ],
    "the later call is the earlier write": [
        A,
        done("patch", 2, 9, "b", version="3-b"),
        done("patch", 3, 8, "c", version="2-c"),
        read(10, 11, "a", "c", "b", version="3-b"),
    ],
    "of two that compare and set, one is told what the other made": [
        A,
        done("save", 2, 9, "a", "b", error="conflict", version="2-c", expected="1-a"),
        done("save", 3, 8, "a", "c", version="2-c", expected="1-a"),
    ],
    "the killed write counts": [
        A,
        cut_off("patch", 2, 4, "b"),
        read(5, 6, "a", "b", version="2-b"),
    ],
    "the killed write does not count": [
        A,
        cut_off("patch", 2, 4, "b"),
        read(5, 6, "a", version="1-a"),
    ],
    "a killed write between others": [
        A,
        cut_off("patch", 2, 9, "b"),
        done("patch", 3, 4, "c", version="3-c"),
        read(10, 11, "a", "b", "c", version="3-c"),
    ],
    "a retry of what was done": [
        A,
        cut_off("patch", 2, 4, "b", tx_id="t"),
        done("patch", 7, 8, "b", version="2-b", duplicate=True, tx_id="t"),
        read(9, 10, "a", "b", version="2-b"),
    ],
    "a retry of what was not": [
        A,
        cut_off("patch", 2, 4, "b", tx_id="t"),
        read(5, 6, "a", version="1-a"),
        done("patch", 7, 8, "b", version="2-b", tx_id="t"),
        read(9, 10, "a", "b", version="2-b"),
    ],
    "a retry that comes too late to be known": [
        done("append", 0, 1, "a", version="1-a", tx_id="t"),
        *(done("append", n, n, str(n), version=f"{n}-x") for n in range(2, 66)),
        done("append", 70, 71, "a", version="66-a", tx_id="t"),
    ],
    "busy": [A, done("patch", 2, 3, "b", error="busy"), read(4, 5, "a", version="1-a")],
    "a loaded session is deleted before it is saved": [
        A,
        done("turn", 2, 9, "b", error="conflict", loaded=True),
        done("delete", 3, 4, gone=True),
    ],
    "there and back": [
        IN_BOX,
        moved(2, 3, "2-a"),
        moved(4, 5, error="absent"),
        done("save", 6, 7, "b", place="boxes/a", version="3-b"),
        moved(8, 9, error="exists"),
        read(10, 11, "a", place="boxes/b", version="2-a"),
    ],
    "a killed move, done": [
        IN_BOX,
        cut_off("move", 2, 3, place="boxes/a", target="boxes/b"),
        read(4, 5, place="boxes/a"),
        read(6, 7, "a", place="boxes/b", version="2-a"),
    ],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_have_happened_is_refused(name):
    assert not_linearizable(REFUSED[name])


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_can_have_happened_is_accepted(name):
    assert not not_linearizable(ACCEPTED[name])


def test_the_verdict_tells_what_is_stuck_and_what_was_possible():
    (told,) = not_linearizable(REFUSED["a read goes back, beside the write"])
    assert "begin=5, end=6" in told
    assert "beside it" in told
    assert "possible before it" in told


def crowd(last: str) -> list[Operation]:
    """Twelve killed calls at once, of which three happened."""
    killed = [cut_off("append", 2, 50 + number, str(number)) for number in range(12)]
    seen = (A.call.tokens[0], "7", "3", last)
    return [A, *killed, read(70, 71, *seen, version="4-x"), done("append", 80, 81, version="5-y")]


def test_many_that_were_killed_at_once_are_judged():
    assert not not_linearizable(crowd("9"))
    assert "not linearizable" in not_linearizable(crowd("12"))[0]


# --- the search against the definition ----------------------------------------------


class Write(NamedTuple):
    """Puts `value` into a register and tells what was there before; `None`: nobody was told."""

    begin: int
    end: int
    value: int
    before: int | None

    @property
    def optional(self):
        return self.before is None


def put(state, write):
    if write.before in (None, state):
        yield write.value


def by_definition(writes):
    """Some order of all that were acknowledged, and any of the others, that keeps real time."""
    sure = [one for one in writes if not one.optional]
    chances = [one for one in writes if one.optional]
    for mask in range(1 << len(chances)):
        chosen = sure + [one for bit, one in enumerate(chances) if mask >> bit & 1]
        for order in permutations(chosen):
            state = 0
            in_time = all(
                not later.end < earlier.begin
                for index, earlier in enumerate(order)
                for later in order[index + 1 :]
            )
            for one in order:
                state = one.value if state is not None and one.before in (None, state) else None
            if in_time and state is not None:
                return True
    return False


@st.composite
def histories(draw):
    times = draw(st.permutations(range(10)))
    writes = []
    for index in range(draw(st.integers(0, 5))):
        begin, end = sorted(times[2 * index : 2 * index + 2])
        before = draw(st.none() | st.integers(0, 3))
        writes.append(Write(begin, end, draw(st.integers(1, 3)), before))
    return writes


@given(histories())
def test_the_search_agrees_with_the_definition(writes):
    assert (not isinstance(linearize(0, writes, put), Stuck)) == by_definition(writes)


def test_too_much_is_not_taken_for_sound(monkeypatch):
    monkeypatch.setattr("proof.storm.linearize._MOST", 1000)
    writes = [Write(0, NOW, number, None) for number in range(1, 9)]
    with pytest.raises(TooManyError):
        linearize(0, writes, lambda state, write: [(state, write.value)])
