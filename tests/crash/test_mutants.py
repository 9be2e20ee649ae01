"""The crash tests bite: each of these broken engines is found out."""

import pytest
import scenarios
from explore import go_on_without_history, judge, kills_then_power_cuts, power_cuts
from harness import Violation, mute_feed
from msgspec.structs import replace
from scenarios import A

import plainstate.engines.file.history as history_module
import plainstate.engines.file.journal_file as journal_module
import plainstate.engines.file.reader as reader_module
from plainstate.core import history, record, replay
from plainstate.core.record import TransactionRecord
from plainstate.engines.file import turns
from plainstate.engines.file.disk import Disk
from plainstate.engines.file.document import FileDocument
from plainstate.engines.file.history import History, HistoryFile
from plainstate.engines.file.journal_file import JournalFile
from plainstate.testing.crashfs import CrashFileSystem
from plainstate.types import Commit


@pytest.fixture(autouse=True)
def _without_feed(monkeypatch):
    """Its unsynced lines would crowd out what else a power cut can leave."""
    mute_feed(monkeypatch)


def nothing(*args, **kwargs):
    del args, kwargs


def expect_violation(scenario, match):
    with pytest.raises(Violation, match=match):
        cut_everywhere(scenario)


def cut_everywhere(scenario):
    judge_all(power_cuts(scenario), scenario)


def for_all_cuts(look, scenario):
    for run, image in power_cuts(scenario):
        look(run, image)


def judge_all(images, scenario):
    for run, image in images:
        judge(run, image, scenario)


def test_sync_does_nothing(monkeypatch):
    monkeypatch.setattr(CrashFileSystem, "sync", nothing)
    expect_violation(scenarios.appends, "does not tell the format version")


def test_sync_of_a_folder_does_nothing(monkeypatch):
    monkeypatch.setattr(CrashFileSystem, "sync_folder", nothing)
    expect_violation(scenarios.replace_existing, "found {}")


def test_checksums_are_not_checked(monkeypatch):
    def parse(data, *, path, previous=0, line_number=1):
        """Takes every line that can be decoded, whatever its sum."""
        del path, previous, line_number
        journal = record.Journal([], 0, 0)
        for line in data.rstrip(b" ").splitlines(keepends=True):
            try:
                records = record._decode_lines(line.rstrip(b"\n") + b"\n", "", 1)
            except record.DamagedError:
                records = []
            if line.endswith(b"\n"):
                journal.records += records
                journal.size += len(line)
                journal.check = int(line[-11:-3], 16) if records else journal.check
        return journal

    monkeypatch.setattr(reader_module, "parse", parse)
    monkeypatch.setattr(journal_module, "parse", parse)
    expect_violation(scenarios.group, "c/a is|follows number")


def test_every_snapshot_matches(monkeypatch):
    def matches(*_):
        return True

    monkeypatch.setattr(replay, "_matches", matches)
    expect_violation(scenarios.fold_at_threshold, "null")


def test_fold_is_not_announced(monkeypatch):
    monkeypatch.setattr(FileDocument, "_announce", lambda self, temp, _: self._disk.end_temp(temp))
    expect_violation(scenarios.fold_at_threshold, "EditConflictError")


def test_a_lost_replacement_is_taken_for_an_edit_of_what_was_before(monkeypatch):
    def follow(self, records):
        whole(self, records)
        self._has_earlier_lines = False

    whole = FileDocument._follow
    monkeypatch.setattr(FileDocument, "_follow", follow)
    expect_violation(scenarios.replace_over_lines, "EditConflictError")


def test_journal_begins_anew_before_the_snapshot_is_durable(monkeypatch):
    def install(self, temp, head, *, replacing=None):
        del replacing
        self._announce(temp, head)
        self._disk.fs.rename(temp.path, self._disk.snapshot(self.id))

    monkeypatch.setattr(FileDocument, "_install", install)
    expect_violation(scenarios.fold_at_threshold, "found {}")


def test_torn_tail_is_not_cut_off(monkeypatch):
    monkeypatch.setattr(JournalFile, "cut", nothing)
    expect_violation(scenarios.torn_tail, "the checksum does not match")


def test_delete_removes_files_before_its_line_is_written(monkeypatch):
    def delete(self, *, tx_id, expected, forget=False):
        del expected, forget
        commit = Commit(self.position.seq + 1, "gone", tx_id)
        self._remember({tx_id: commit.version})
        self._disk.fs.unlink(self._disk.snapshot(self.id))
        self.sync_folder()
        self._stand_at(self._make_head(commit.seq, None, None, None))
        self._rest()
        return commit

    monkeypatch.setattr(FileDocument, "delete", delete)
    expect_violation(scenarios.delete, "EditConflictError")


def test_new_journal_without_sync_of_its_folder(monkeypatch):
    def create(disk, path, data, check, lines, *, sync, meanwhile):
        file = JournalFile(disk, path, disk.fs.open_append(path, create=True))
        meanwhile()
        file.append(data, check, lines, sync=sync)
        return file

    monkeypatch.setattr(JournalFile, "create", create)
    expect_violation(scenarios.create_by_append, "found {}")


def test_replaced_file_without_sync_of_its_folder(monkeypatch):
    def put(self, folder, path, data):
        self.fs.rename(self.write_temp(folder, data).path, path)

    monkeypatch.setattr(Disk, "put", put)
    expect_violation(scenarios.fold_at_threshold, "found")


def test_ids_are_forgotten_by_a_fold(monkeypatch):
    whole = FileDocument._make_head

    def make_head(self, *args):
        return replace(whole(self, *args), recent={})

    monkeypatch.setattr(FileDocument, "_make_head", make_head)
    expect_violation(scenarios.close_and_reopen, "committed again")


def test_ids_are_not_remembered(monkeypatch):
    monkeypatch.setattr(FileDocument, "_remember", nothing)
    expect_violation(scenarios.appends, "committed again")


# --- history ------------------------------------------------------------------


def test_history_is_written_after_the_journal_is_gone(monkeypatch):
    keep, late = History.keep, []

    def postpone(self, *args):
        late.append((self, args))

    def then_keep(method):
        def wrapped(self):
            method(self)
            for own, args in late:
                if own is self._history:
                    keep(own, *args)
            late.clear()

        return wrapped

    monkeypatch.setattr(History, "keep", postpone)
    for name in ("_rest", "_rotate"):
        monkeypatch.setattr(FileDocument, name, then_keep(getattr(FileDocument, name)))
    expect_violation(scenarios.history_of_appends, "is not kept")


def test_history_is_not_synced(monkeypatch):
    append = HistoryFile.append

    def unsynced(self, *args, **options):
        append(self, *args, **{**options, "sync": False})

    monkeypatch.setattr(HistoryFile, "append", unsynced)
    expect_violation(scenarios.history_of_appends, "is not kept")


def test_what_is_kept_already_is_kept_again(monkeypatch):
    def unkept(kept, document, records, basis, snapshot, value):
        steps = [history.step_of(one) for one in records if isinstance(one, TransactionRecord)]
        fresh = history.unkept(None, document, records, basis, snapshot, value)
        return steps if kept else fresh

    monkeypatch.setattr(history_module, "unkept", unkept)
    expect_violation(scenarios.history_of_appends, "c/a at 7 is")


def test_a_whole_save_is_kept_by_the_next_writer_only(monkeypatch):
    monkeypatch.setattr(FileDocument, "_keep_current", nothing)
    monkeypatch.setattr(FileDocument, "_keep_whole", nothing)
    expect_violation(scenarios.history_of_saves, "is not kept")


def test_an_edit_is_kept_by_the_next_fold_only(monkeypatch):
    monkeypatch.setattr(FileDocument, "_keep_at_rest", nothing)
    expect_violation(scenarios.history_of_edits, "is not kept")


def test_history_is_kept_before_its_transactions_are_durable(monkeypatch):
    monkeypatch.setattr(FileDocument, "sync", nothing)
    with pytest.raises(Violation):
        for_all_cuts(go_on_without_history, scenarios.history_of_unsynced_appends)


def test_history_of_a_dead_writer_is_trusted(monkeypatch):
    monkeypatch.setattr(HistoryFile, "sync", nothing)
    images = kills_then_power_cuts(scenarios.history_of_edits, limit=8)
    with pytest.raises(Violation):
        judge_all(images, scenarios.history_of_edits)


def test_history_stays_under_the_old_name(monkeypatch):
    monkeypatch.setattr(History, "copy", nothing)
    expect_violation(scenarios.history_of_a_renamed_document, "d/e/a at 2 is null")


def test_a_copied_past_takes_the_place_of_the_one_before_at_once(monkeypatch):
    lines = History._lines
    monkeypatch.setattr(History, "_lines", lambda self: lines(self) if self._document == A else [])
    expect_violation(scenarios.history_of_a_renamed_document, "d/e/a at 2|is not kept")


def test_a_rename_that_was_cut_off_is_not_settled(monkeypatch):
    monkeypatch.setattr(FileDocument, "settle_move", lambda _, head: head)
    expect_violation(scenarios.history_of_a_moved_document, "has the past of")


@pytest.mark.parametrize("mark", ["moving_to", "moving_from"])
def test_a_name_does_not_know_of_its_rename(monkeypatch, mark):
    put = FileDocument._put_resting

    def put_unmarked(self, head):
        put(self, replace(head, **{mark: None}))

    monkeypatch.setattr(FileDocument, "_put_resting", put_unmarked)
    expect_violation(scenarios.history_of_a_moved_document, "has the past of")


def test_what_is_committed_together_is_not_made_durable(monkeypatch):
    def confirm(self):
        self.staged.size = 0
        self.error = None

    monkeypatch.setattr(turns._Written, "confirm", confirm)
    expect_violation(scenarios.together, "found")
