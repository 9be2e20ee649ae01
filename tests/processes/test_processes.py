"""Several processes write one store, and some of them are killed (J-3, J-4, J-6, J-8)."""

import json
import os
import random
import signal
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from crew import Worker, crew_on

from plainstate import StateStore, errors, open_store
from plainstate.types import DocumentId

FLOOR = 3_000
"""Bytes of journal beyond which these stores fold: after some twelve messages."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


def contents(store: StateStore, session: str) -> list[tuple[str, int]]:
    """Writer and number of each message, in order."""
    loaded = store.load_session(session)
    words = [message.content.split() for message in loaded.user_messages] if loaded else []
    return [(writer, int(number)) for writer, number, _ in words]


def check_session(path: Path, counts: dict[str, int]) -> None:
    """Each writer's messages are there once, in its order, at strictly increasing times."""
    with open_store(path) as store:
        messages = contents(store, "s")
        for writer, count in counts.items():
            assert [number for name, number in messages if name == writer] == list(range(count))
        assert len(messages) == sum(counts.values())
        times = [message.timestamp for message in store.load_session("s").user_messages]
        assert all(before < after for before, after in pairwise(times))
        version = store.read("sessions", "s").version
        assert version.startswith(f"{len(messages)}-")  # one transaction each, none skipped


def files(path: Path) -> set[str]:
    return {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}


def test_four_processes_append_to_one_session(path):
    with crew_on(path, fold_floor=FLOOR) as crew:
        writers = crew.ready(*(("append", "s", f"w{i}") for i in range(4)))
        for writer in writers:
            writer.order([0, 200])
        acknowledged = [answer for writer in writers for answer in writer.finish()]
    assert sorted(seq for _, seq, _ in acknowledged) == list(range(1, 801))
    check_session(path, {f"w{i}": 200 for i in range(4)})
    assert not [
        name for name in files(path) if name.endswith(".jsonl") and ".plainstate" not in name
    ]


def test_unfolded_transactions_are_numbered_without_a_gap(path):
    with open_store(path) as reader, crew_on(path) as crew:
        writers = crew.ready(*(("append", "s", f"w{i}") for i in range(4)))
        for writer in writers:
            writer.order([0, 30])
        for writer in writers:
            for _ in range(30):
                writer.answer()
        # no writer has closed, nothing is folded: every line is there to look at
        transactions = reader._engine.since(DocumentId("sessions", "s"), 0)
        for writer in writers:
            writer.finish()
    assert [transaction.seq for transaction in transactions] == list(range(1, 121))
    assert len({transaction.tx_id for transaction in transactions}) == 120


def test_a_writer_killed_at_random_moments_loses_and_doubles_nothing(path):
    """Between the kill and the retry the others commit less than the 64 ids that are kept (J-8)."""
    chance = random.Random(7)
    rounds, others, share = 14, ["w1", "w2", "w3"], 15
    seqs: dict[tuple[str, int], int] = {}

    def note(writer: str, answers: list[tuple[int, int, bool]]) -> int:
        for number, seq, _ in answers:
            seqs[writer, number] = seq
        return sum(1 for name, _ in seqs if name == writer)

    with crew_on(path, fold_floor=FLOOR) as crew:
        steady = dict(zip(others, crew.ready(*(("append", "s", w) for w in others)), strict=True))
        done = 0
        spare = crew.hire("append", "s", "w0")
        for turn in range(rounds):
            victim, spare = spare, crew.hire("append", "s", "w0")
            assert victim.answer() == "ready"
            victim.order([done, done + 10_000])
            first = victim.answer()  # the retry of what its predecessor was killed in is through
            for worker in steady.values():
                worker.order([turn * share, (turn + 1) * share])
            time.sleep(chance.uniform(0, 0.02))
            done = note("w0", [first, *victim.kill()])
            for writer, worker in steady.items():
                note(writer, [worker.answer() for _ in range(share)])
        assert spare.answer() == "ready"
        spare.order([done, done + 1])
        done = note("w0", spare.finish())
        for worker in steady.values():
            worker.finish()
    assert done > rounds
    assert sorted(seqs.values()) == list(range(1, len(seqs) + 1))
    check_session(path, {"w0": done, **dict.fromkeys(others, rounds * share)})


def test_two_processes_increment_one_counter(path):
    with crew_on(path, fold_floor=FLOOR) as crew:
        workers = crew.ready(("increment", 150), ("increment", 150))
        for worker in workers:
            worker.order()
        for worker in workers:
            assert worker.finish() == ["done"]
    with open_store(path) as store:
        assert store.load_json("counters", "c")["n"] == 300


def test_compare_and_set_loses_no_update(path):
    with open_store(path) as store:
        store.save_json("plans", "p", [])
    with crew_on(path) as crew:
        workers = crew.ready(*(("compare_and_set", f"w{i}", 20) for i in range(4)))
        for worker in workers:
            worker.order()
        answers = [answer for worker in workers for answer in worker.finish()]
    assert sorted(seq for _, seq in answers) == list(range(2, 82))
    with open_store(path) as store:
        value = store.load_json("plans", "p")
    assert Counter(map(tuple, value)) == {(f"w{i}", n): 1 for i in range(4) for n in range(20)}


def test_of_eight_racing_creators_one_creates_and_all_get_the_same(path):
    with crew_on(path) as crew:
        same_user = crew.ready(*[("get_or_create", "ada")] * 8)
        for turn in range(10):
            for worker in same_user:
                worker.order(f"s-{turn}")
            found = {tuple(worker.answer()) for worker in same_user}
            assert len(found) == 1
            assert found.pop()[2].startswith("1-")  # one transaction made it
        for worker in same_user:
            worker.finish()


def test_of_racing_users_one_gets_the_session_and_the_others_are_told_whose_it_is(path):
    with crew_on(path) as crew:
        users = crew.ready(*(("get_or_create", f"user-{i}") for i in range(4)))
        for turn in range(10):
            for worker in users:
                worker.order(f"s-{turn}")
            answers = [worker.answer() for worker in users]
            assert len({owner for owner, _, _ in answers}) == 1
            assert sum(created is not None for _, created, _ in answers) == 1
        for worker in users:
            worker.finish()


def test_readers_never_see_a_torn_or_older_state(path):
    with open_store(path) as store:
        store.append_user_message("s", f"start 0 {'x' * 60}", user_id="ada")
        store.checkpoint()
    with crew_on(path, fold_floor=1_000) as crew:
        readers = crew.ready(("read", "s"), ("read", "s"))
        writers = crew.ready(("append", "s", "w0"), ("append", "s", "w1"))
        for worker in readers:
            worker.order()
        for worker in writers:
            worker.order([0, 150])
        for worker in writers:
            worker.finish()
        for worker in readers:
            ((rounds, length),) = worker.finish()
            assert rounds > 20
            assert length <= 301
    check_session(path, {"start": 1, "w0": 150, "w1": 150})


def held(worker: Worker) -> None:
    worker.order()
    assert worker.answer() == "holding"


def test_a_killed_holder_holds_up_nobody(path):
    with crew_on(path) as crew, open_store(path, lock_timeout_s=0.1) as store:
        (worker,) = crew.ready(("hold",))
        held(worker)
        with pytest.raises(errors.LockTimeoutError):
            store.save_json("plans", "p", "theirs")
        worker.kill()
        store.save_json("plans", "p", "theirs")
        assert store.read("plans", "p").version.startswith("1-")  # the other committed nothing


def test_a_stopped_holder_shows_as_lock_timeout(path):
    with crew_on(path) as crew, open_store(path, lock_timeout_s=0.2) as store:
        (worker,) = crew.ready(("hold",))
        held(worker)
        worker.signal(signal.SIGSTOP)
        with pytest.raises(errors.LockTimeoutError) as caught:
            store.save_json("plans", "p", "theirs")
        assert caught.value.document == "plans/p"
        assert caught.value.timeout_s == 0.2
        assert store.load_json("plans", "p") is None  # reading waits for nobody
        store.save_json("plans", "q", "another document is free")
        worker.signal(signal.SIGCONT)
        worker.order()
        assert worker.answer() == "released"
        worker.finish()
        assert store.load_json("plans", "p") == "mine"


def test_what_a_killed_process_leaves_is_gone_after_the_next_clean_close(path):
    with crew_on(path) as crew:
        (worker,) = crew.ready(("die_before_rename",))
        worker.order()
        assert worker.answer() == "dying"
        assert worker.process.wait() == -signal.SIGKILL
    left = files(path)
    assert "sessions/s.jsonl" in left
    assert any("/.tmp-" in name for name in left)
    assert any("writers/" in name for name in left)
    with open_store(path) as store:
        store.save_json("plans", "p", "another document")
    assert files(path) == {
        ".plainstate/feed/0000000001.open.jsonl",
        ".plainstate/format.json",
        ".plainstate/heads/sessions/s.jsonl",
        ".plainstate/lock",
        "plans/p.json",
        "sessions/s.json",
    }
    content = json.loads((path / "sessions/s.json").read_bytes())
    assert [message["content"] for message in content["user_messages"]] == ["acknowledged"]


def test_a_live_process_is_not_cleaned_up_after(path):
    with crew_on(path) as crew:
        (worker,) = crew.ready(("append", "s", "w0"))
        worker.order([0, 1])
        worker.answer()
        before = files(path)
        with open_store(path) as store:
            store.save_json("plans", "p", 1)
        assert before <= files(path)
        worker.order([1, 2])
        worker.finish()
    check_session(path, {"w0": 2})


def test_many_handles_open_and_close_at_once(path):
    with crew_on(path) as crew:
        workers = crew.ready(*(("open_and_close", f"w{i}", 20) for i in range(5)))
        for worker in workers:
            worker.order()
        for worker in workers:
            assert worker.finish() == ["done"]
    assert not os.listdir(path / ".plainstate/writers")


def everything_once(path: Path, elsewhere: list[tuple[str, int]], counts: dict[str, int]) -> None:
    """Each message is in exactly one session, or among those that were deleted."""
    with open_store(path) as store:
        sessions = store.list_category("sessions")
        found = [message for session in sessions for message in contents(store, session)]
    expected = {(writer, n): 1 for writer, count in counts.items() for n in range(count)}
    assert Counter(found + elsewhere) == expected


def test_renaming_while_others_append(path):
    with crew_on(path, fold_floor=FLOOR) as crew:
        writers = crew.ready(("append", "s", "w0"), ("append", "s", "w1"))
        (mover,) = crew.ready(("rename", "s"))
        mover.order()
        for writer in writers:
            writer.order([0, 120])
        seqs = [seq for writer in writers for _, seq, _ in writer.finish()]
        (moved,) = mover.finish()
    assert moved > 1
    assert len(set(seqs)) == 240  # the numbering goes on where a name was given up (J-4)
    everything_once(path, [], {"w0": 120, "w1": 120})


def test_deleting_while_others_append(path):
    with crew_on(path, fold_floor=FLOOR) as crew:
        writers = crew.ready(("append", "s", "w0"), ("append", "s", "w1"))
        (deleter,) = crew.ready(("delete", "s"))
        deleter.order()
        for writer in writers:
            writer.order([0, 120])
        seqs = [seq for writer in writers for _, seq, _ in writer.finish()]
        deleted = [content.split() for answer in deleter.finish() for content in answer]
    assert deleted
    assert len(set(seqs)) == 240  # the numbering goes on across a delete (J-4)
    everything_once(
        path, [(writer, int(number)) for writer, number, _ in deleted], {"w0": 120, "w1": 120}
    )


def test_two_processes_fold_without_pause_while_two_append(path):
    with crew_on(path) as crew:
        folders = crew.ready(("checkpoint",), ("checkpoint",))
        writers = crew.ready(("append", "s", "w0"), ("append", "s", "w1"))
        for worker in folders:
            worker.order()
        for worker in writers:
            worker.order([0, 100])
        seqs = [seq for writer in writers for _, seq, _ in writer.finish()]
        assert sum(sum(worker.finish()) for worker in folders) > 0
    assert sorted(seqs) == list(range(1, 201))
    check_session(path, {"w0": 100, "w1": 100})


def test_folding_in_the_background_while_others_append(path):
    with crew_on(path) as crew:
        quiet = crew.ready(("append_and_pause", "s", "w0"), ("append_and_pause", "s", "w1"))
        busy = crew.ready(("append", "s", "w2"))
        for worker in (*quiet, *busy):
            worker.order([0, 80])
        seqs = [seq for worker in (*quiet, *busy) for _, seq, _ in worker.finish()]
    assert sorted(seqs) == list(range(1, 241))
    check_session(path, {"w0": 80, "w1": 80, "w2": 80})


def test_a_killed_follower_goes_on_and_sees_every_commit_in_order(path):
    """Two writers fill two sessions; the follower is killed again and again."""
    chance = random.Random(11)
    rounds, share = 8, 20
    with crew_on(path, fold_floor=FLOOR) as crew:
        (first,) = crew.ready(("follow", "f"))
        assert first.answer() == "watching"
        writers = crew.ready(("append", "s0", "w0"), ("append", "s1", "w1"))
        seen: list[list[tuple[str, int]]] = []
        follower = first
        for turn in range(rounds):
            follower.order()
            for writer in writers:
                writer.order([turn * share, (turn + 1) * share])
            lead = [follower.answer() for _ in range(chance.randrange(share))]
            seen.append([*lead, *follower.kill()])
            follower = crew.hire("follow", "f")
            assert (follower.answer(), follower.answer()) == ("ready", "watching")
        for writer in writers:
            writer.finish()
        expected = {(f"sessions/{one}", n) for one in ("s0", "s1") for n in range(1, 161)}
        follower.order()
        last: list[tuple[str, int]] = []
        while not expected <= {tuple(one) for part in [*seen, last] for one in part}:
            last.append(follower.answer())
        seen.append([*last, *follower.finish()])
    for part in seen:
        for session in ("s0", "s1"):
            numbers = [seq for document, seq in part if document == f"sessions/{session}"]
            assert numbers == sorted(numbers)
            begun_at = numbers[0] if numbers else 0
            assert sorted(set(numbers)) == list(range(begun_at, begun_at + len(set(numbers))))
    with open_store(path) as store:
        (saved,) = store.followers()
        assert saved.cursor == store.changes("latest").cursor


def test_pruning_beside_writers_loses_no_message(path):
    """Each acknowledged message is in its session or in the trash, once."""
    with crew_on(path, fold_floor=FLOOR) as crew:
        writers = crew.ready(("append", "s", "w0"), ("append", "s", "w1"))
        pruners = crew.ready(("prune",), ("prune",))
        for worker in pruners:
            worker.order()
        for worker in writers:
            worker.order([0, 150])
        for worker in writers:
            worker.finish()
        for worker in pruners:
            worker.finish()
    with open_store(path) as store:
        store.prune_sessions(keep_last=0)
        messages = []
        for trashed in reversed(store.trash()):
            store.restore_session("s", run=trashed.run)
            messages += contents(store, "s")
            store.delete_session("s")
    for writer in ("w0", "w1"):
        numbers = [number for name, number in messages if name == writer]
        assert sorted(numbers) == list(range(150))


def test_a_killed_prune_is_gone_on_with(path):
    """Wherever it was killed, each session is in one place, and the next run does the rest."""
    names = [f"s-{number}" for number in range(30)]
    with open_store(path) as store:
        for name in names:
            store.append_user_message(name, name, user_id="ada")
    chance = random.Random(5)
    for _ in range(6):
        with crew_on(path) as crew:
            (worker,) = crew.ready(("prune",))
            worker.order()
            time.sleep(chance.uniform(0.01, 0.1))
            worker.kill()
        with open_store(path) as store:
            living = store.list_category("sessions")
            assert sorted([*living, *(one.id for one in store.trash())]) == sorted(names)
            for name in living:
                assert store.load_session(name).turns()[0].content == name
    with open_store(path) as store:
        store.prune_sessions(keep_last=0)
        for name in names:
            store.restore_session(name)
        assert sorted(store.list_category("sessions")) == sorted(names)
