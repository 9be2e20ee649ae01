"""Ids: valid UUIDv7, strictly increasing whatever the clock does."""

from __future__ import annotations

import os
import threading
import time
import uuid
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from plainstate.core.ids import IdMaker

CLOCK = st.integers(0, (1 << 47) * 1_000_000)
ONES = b"\xff" * 10


def fixed(ns: int, entropy: bytes) -> IdMaker:
    return IdMaker(lambda: ns, lambda size: entropy[:size])


def test_example_of_the_rfc() -> None:
    """RFC 9562 appendix A.6."""
    rand_a, rand_b = 0xCC3, 0x18C4DC0C0C07398F
    entropy = (rand_a << 62 | rand_b).to_bytes(10, "big")
    assert fixed(0x017F22E279B0 * 1_000_000, entropy)() == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(CLOCK, st.binary(min_size=10, max_size=10))
def test_is_a_uuid_of_version_7_that_holds_time_and_entropy(ns: int, entropy: bytes) -> None:
    made = uuid.UUID(fixed(ns, entropy)())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == ns // 1_000_000
    random = int.from_bytes(entropy, "big") & (1 << 74) - 1
    assert (made.int >> 64 & 0xFFF) << 62 | made.int & (1 << 62) - 1 == random


@given(st.lists(st.tuples(CLOCK, st.binary(min_size=10, max_size=10)), min_size=2, max_size=50))
def test_increases_strictly_whatever_the_clock_does(steps: list[tuple[int, bytes]]) -> None:
    clock, entropy = iter([ns for ns, _ in steps]), iter([some for _, some in steps])
    make = IdMaker(lambda: next(clock), lambda _: next(entropy))
    made = [make() for _ in steps]
    assert all(one < other for one, other in pairwise(made))
    assert {uuid.UUID(text).version for text in made} == {7}


def test_random_bits_carry_into_the_milliseconds() -> None:
    make = fixed(5_000_000, ONES)
    assert make() == "00000000-0005-7fff-bfff-ffffffffffff"
    assert make() == "00000000-0006-7000-80ff-ffffffffffff"


def test_a_new_millisecond_takes_fresh_entropy() -> None:
    clock = iter([1_000_000, 2_000_000])
    make = IdMaker(lambda: next(clock), lambda size: ONES[:size])
    make()
    assert make() == "00000000-0002-7fff-bfff-ffffffffffff"


def test_threads_share_one_order() -> None:
    make = IdMaker(time.time_ns, os.urandom)
    made: list[list[str]] = [[] for _ in range(4)]

    def run(mine: list[str]) -> None:
        mine.extend(make() for _ in range(2000))

    threads = [threading.Thread(target=run, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({text for mine in made for text in mine}) == 8000
    assert all(mine == sorted(mine) for mine in made)
