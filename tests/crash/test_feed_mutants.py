"""The tests of the change feed bite: each of these broken engines is found out."""

import pytest
import scenarios
from explore import judge, kills, power_cuts
from feeds import check_feed
from harness import Violation
from test_feed import check_idle_writer, check_kills_of_reader

import plainstate.engines.file.document as document_module
from plainstate.engines.file import feed as feed_module
from plainstate.engines.file import writers
from plainstate.engines.file.feed import Feed
from plainstate.engines.file.group import Staged
from plainstate.engines.file.housekeeping import Housekeeping
from plainstate.engines.file.untold import untold
from plainstate.engines.file.writers import Registration


def nothing(*args, **kwargs):
    del args, kwargs


def kill_everywhere(scenario, follow=check_feed):
    for run in kills(scenario):
        judge(run, run.disk.spawn(), scenario, follow=follow)


def cut_everywhere(scenario):
    for run, image in power_cuts(scenario, limit=16):
        judge(run, image, scenario, follow=check_feed)


def test_a_line_is_told_before_its_commit_is_written(monkeypatch):
    add_all = Staged.add_all

    def tell_first(self, group):
        add_all(self, group)
        self.prepare()
        self.services.feed.tell(self.told)

    monkeypatch.setattr(Staged, "add_all", tell_first)
    with pytest.raises(Violation, match="never committed"):
        kill_everywhere(scenarios.appends)


def test_a_line_is_told_before_its_commit_is_durable(monkeypatch):
    prepare = Staged.prepare

    def tell_first(self):
        prepare(self)
        self.services.feed.tell(self.told)
        self.told = []

    monkeypatch.setattr(Staged, "prepare", tell_first)
    with pytest.raises(Violation, match="never committed"):
        cut_everywhere(scenarios.appends)


def test_nobody_looks_at_the_segments_name_after_writing(monkeypatch):
    def write(self, *, looked):
        del looked
        if self._fd < 0:
            self._enter()
        self._disk.write_all(self._fd, b"".join(self._unwritten))
        self._unwritten = []
        if self._disk.fs.stat_open(self._fd).st_size >= feed_module.FEED_SEGMENT_BYTES:
            self._rotate()

    monkeypatch.setattr(Feed, "_write", write)
    with pytest.raises(Violation, match="the feed ends with"):
        check_idle_writer()


def test_nobody_looks_at_the_segments_name_before_writing(monkeypatch):
    write = Feed._write

    def write_at_once(self, *, looked):
        write(self, looked=looked or self._fd >= 0)

    monkeypatch.setattr(Feed, "_write", write_at_once)
    with pytest.raises(Violation, match="told as"):
        check_idle_writer()


def test_the_look_before_a_line_is_written_believes_that_nothing_changed(monkeypatch):
    monkeypatch.setattr(Feed, "look", lambda self: self._inode)
    with pytest.raises(Violation, match="told as"):
        check_idle_writer()


def test_a_writers_list_is_not_kept(monkeypatch):
    monkeypatch.setattr(Registration, "note", nothing)
    with pytest.raises(Violation, match="never told"):
        kill_everywhere(scenarios.create_by_append)


def test_a_dead_writers_list_is_emptied_before_it_is_told(monkeypatch):
    tell_for = Housekeeping._tell_for

    def empty_first(self, dead):
        for writer_id, fd in dead.items():
            self._left[writer_id] = writers.documents_of(self._disk, fd)
            self._disk.fs.truncate(fd, 0)
        return tell_for(self, dead)

    monkeypatch.setattr(Housekeeping, "_tell_for", empty_first)
    with pytest.raises(Violation, match="never told"):
        check_kills_of_reader(scenarios.create_by_append)


def test_only_the_newest_version_is_told_for_a_dead_writer(monkeypatch):
    def newest(reading, told, **options):
        lines = untold(reading, told, **options)
        return lines if told and lines and told[-1][0] < lines[0].seq else []

    monkeypatch.setattr(document_module, "untold", newest)
    with pytest.raises(Violation, match="not told"):
        kill_everywhere(scenarios.appends, follow=None)  # others go on before anybody reads
