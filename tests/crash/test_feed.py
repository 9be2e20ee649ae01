"""What the change feed tells after a kill, a power cut or a failed call; see `feeds.py`.

That the other suites of this folder look at it too, at the end of each case, is not repeated here.
"""

import errno
from functools import partial

import pytest
import scenarios
from explore import faults, judge, kills, power_cuts
from feeds import all_changes, check_feed
from harness import BASE, Run, Violation, same_every_time
from scenarios import SCENARIOS, A, B

import plainstate.engines.file.feed as feed_module
from plainstate.errors import StorageError
from plainstate.testing.crashfs import CrashFileSystem, PowerCut

CUT = [
    scenarios.create_by_append,
    scenarios.appends,
    scenarios.replace_at_rest,
    scenarios.delete_and_recreate,
    scenarios.rename,
    scenarios.edit_while_waiting,
    scenarios.close_and_reopen,
]
"""Those whose power cuts are tried with the feed; each line more multiplies what can be left."""

ids = {"ids": lambda scenario: scenario.__name__}


@pytest.fixture(params=["one segment", "tiny segments"])
def _segments(request, monkeypatch):
    if request.param == "tiny segments":
        monkeypatch.setattr(feed_module, "FEED_SEGMENT_BYTES", 300)


@pytest.mark.usefixtures("_segments")
@pytest.mark.parametrize("scenario", SCENARIOS, **ids)
def test_after_a_kill_the_next_reader_sees_every_commit(scenario):
    for run in kills(scenario):
        judge(run, run.disk.spawn(), scenario, follow=partial(check_feed, strict=True))


@pytest.mark.usefixtures("_segments")
@pytest.mark.parametrize(
    "scenario", [scenarios.two_writers, scenarios.group, scenarios.rename], **ids
)
def test_a_follower_goes_on_behind_its_cursor_after_a_kill(scenario):
    """It had read up to somewhere in the middle, when the writer was killed."""
    for run in kills(scenario):
        spawned = run.disk.spawn()
        with_feed = [path for path in spawned.paths() if "/feed/" in path]
        if not with_feed:
            continue

        def follow(run: Run, engine) -> None:
            whole = all_changes(engine)
            for at in range(1, len(whole)):
                check_feed(run, engine, strict=True, seen=whole[:at])

        judge(run, spawned, scenario, follow=follow)


@pytest.mark.parametrize("scenario", CUT, **ids)
def test_power_cut(scenario):
    """Lines may be lost, none is invented, and a look at the documents tells what is lost."""
    count = 0
    for run, image in power_cuts(scenario, limit=16):
        judge(run, image, scenario, follow=check_feed)
        count += 1
    assert count


def test_what_a_reader_made_durable_survives_a_power_cut():
    """F-6: nothing that it was told can go any more."""
    for at in range(1, 6):
        disk = CrashFileSystem()
        run = Run(disk)
        for number in range(at):
            run.append(A, f"{number};")
        page = run.engine("a").changes(None, limit=100, durable=True)
        run.append(A, "later;")
        assert len(page) == at
        for image in disk.images():
            engine = run.open_engine(image)
            assert all_changes(engine)[:at] == page.changes
            behind = engine.changes(page.cursor, limit=100)
            assert not [change for change in behind if change.seq <= at]


@pytest.mark.usefixtures("_segments")
@pytest.mark.parametrize(
    "scenario",
    [scenarios.appends, scenarios.group, scenarios.replace_existing, scenarios.rename],
    **ids,
)
def test_a_failed_call_loses_no_line(scenario):
    """The same handle goes on, and tells what it could not."""
    for run in faults(scenario, errno.EIO, lost=False):
        judge(run, run.disk, scenario, use=run.engine("a"), follow=check_feed)


def kills_of_reader(scenario, run_reader):
    """The writer is killed at every call; who tells for it is killed at its n-th call."""
    for at in range(1, 40):
        was_cut = False
        for run in kills(scenario):
            process = run.disk.spawn()
            process.crash_at(at)
            with same_every_time():
                try:
                    run_reader(run.open_engine(process))
                except PowerCut:
                    was_cut = True
            process.kill()
            yield run
        if not was_cut:
            return


def check_kills_of_reader(scenario):
    for run in kills_of_reader(scenario, all_changes):
        judge(run, run.disk.spawn(), scenario, follow=check_feed)


@pytest.mark.parametrize("scenario", [scenarios.create_by_append, scenarios.batch], **ids)
def test_who_tells_for_a_killed_writer_is_killed_too(scenario):
    check_kills_of_reader(scenario)


def check_idle_writer():
    """A writer pauses while another one fills segments, and a follower passes them."""
    disk = CrashFileSystem()
    run = Run(disk)
    with pytest.MonkeyPatch.context() as patch, same_every_time():
        patch.setattr(feed_module, "FEED_SEGMENT_BYTES", 300)
        run.append(A, "idle writer's;", by="idle")
        for number in range(8):
            run.append(B, f"{number};")
            run.append(A, f"{number};")
        reader = run.open_engine(disk.spawn())
        seen = all_changes(reader)
        run.append(A, "awake again;", by="idle")
        try:
            check_feed(run, reader, strict=True, seen=seen)
            check_feed(run, reader, strict=True)  # who comes later reads the old segments, too
        except AssertionError as error:
            raise Violation(str(error)) from error
    assert len(run.engine("a")._feed.segments()) > 3


@pytest.mark.parametrize("others_go_on", [False, True])
def test_a_writer_killed_before_it_looked_again(monkeypatch, others_go_on):
    """Its line stands behind a full segment, which the follower has left."""
    monkeypatch.setattr(feed_module, "FEED_SEGMENT_BYTES", 300)
    disk = CrashFileSystem()
    run = Run(disk)
    process = disk.spawn()
    run.use("killed", run.open_engine(process))
    run.append(A, "one;", by="killed")
    for number in range(4):
        run.append(B, f"{number};")
    reader = run.open_engine(disk.spawn())
    seen = all_changes(reader)
    looks = iter([True])  # as if the segment became full right behind this look

    def size() -> int:
        if next(looks, False):
            return 0
        raise PowerCut

    run.engine("killed")._feed._size = size
    with pytest.raises(PowerCut):
        run.append(A, "stray;", by="killed")
    process.kill()
    if others_go_on:
        monkeypatch.setattr(feed_module, "FEED_SEGMENT_BYTES", 1 << 20)
        run.possible = run.possible[-1:]
        run.append(A, "another process;")
    seen += all_changes(reader, seen[-1].cursor)
    assert {change.seq for change in seen if change.document == A} == set(
        range(1, 3 + others_go_on)
    )
    check_feed(run, reader, seen=seen)


def test_an_idle_writer_wakes_up_after_segments_became_full():
    check_idle_writer()


def test_a_feed_that_cannot_be_written_stops_nobody():
    """Its lines wait in memory until it can."""
    disk = CrashFileSystem()
    run = Run(disk)
    run.append(A, "one;")
    feed = run.engine("a")._feed
    write, feed._write = feed._write, failing
    for number in range(3):
        run.append(A, f"{number};")
        run.append(B, f"{number};")
    run.checkpoint()
    assert [change.seq for change in all_changes(run.open_engine(disk.spawn()))] == [1]
    feed._write = write
    check_feed(run, run.engine("a"), strict=True)


def test_a_feed_that_cannot_be_written_until_the_end_is_made_good_by_a_successor():
    """What was folded is told by its newest state only."""
    disk = CrashFileSystem()
    run = Run(disk)
    run.append(A, "one;")
    run.engine("a")._feed._write = failing
    for number in range(3):
        run.append(A, f"{number};")
        run.append(B, f"{number};")
    with pytest.raises(StorageError):
        run.engine("a").close()  # says so, and leaves its entry among the writers
    told = [(change.document, change.seq) for change in all_changes(run.open_engine(disk.spawn()))]
    assert told == [(A, 1), (A, 4), (B, 3)]


def test_what_a_dead_writer_did_is_told_before_it_is_folded_away():
    """F-4: by whoever begins to write; nothing but the journal tells which commits there were."""
    disk = CrashFileSystem()
    run = Run(disk)
    process = disk.spawn()
    run.use("killed", run.open_engine(process))
    run.append(A, "one;", by="killed")
    run.engine("killed")._feed._write = failing
    run.append(A, "two;", by="killed")
    run.append(A, "three;", by="killed")
    process.kill()
    run.replace(A, "all anew;")
    run.checkpoint()
    check_feed(run, run.engine("a"), strict=True)


def test_who_closes_tidies_up_beside_a_document_in_use():
    """It cannot be told for its dead writer: its lines stay in the journal, the entry, too."""
    disk = CrashFileSystem()
    run = Run(disk)
    run.append(A, "one;")
    run.append(B, "one;", by="living")
    process = disk.spawn()
    run.use("killed", run.open_engine(process))
    run.engine("killed")._feed._write = failing
    run.append(B, "two;", by="killed")
    run.append(B, "three;", by="killed")
    temp = run.engine("killed")._disk.write_temp(f"{BASE}/c", b"half done").path
    process.kill()
    with run.engine("living").lock(B):
        run.close()
    assert temp not in disk.paths()
    assert f"{BASE}/c/b.jsonl" in disk.paths()
    check_feed(run, run.engine("later"), strict=True)


def failing(*_: object, **__: object) -> None:
    raise OSError(errno.EIO, "no feed")


def test_a_late_line_does_not_end_the_story_of_its_document():
    """Another process could write meanwhile: its line is told once more behind the late one."""
    disk = CrashFileSystem()
    run = Run(disk)
    run.append(A, "one;", by="a")
    feed = run.engine("a")._feed
    write, feed._write = feed._write, failing
    run.append(A, "late;", by="a")
    run.append(A, "other process;", by="b")
    feed._write = write
    told = [(change.seq) for change in all_changes(run.engine("a"))]
    assert told == [1, 3, 2, 3]
