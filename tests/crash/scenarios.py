"""What the crash tests do to a store.  Each is cut at every call after `begin`."""

from harness import BASE, Run, Scenario
from pruning import FIRST, SECOND, create, empty, prune, restore

from plainstate.types import DocumentId

A = DocumentId("c", "a")
B = DocumentId("c", "b")
DEEP = DocumentId("d/e", "a")
SESSION = DocumentId("sessions", "s")
NOTE = DocumentId("c", "note", "markdown")

SMALL_FLOOR = 700


def create_by_append(run: Run) -> None:
    run.begin()
    run.append(A, "one;")


def appends(run: Run) -> None:
    run.append(A, "one;")
    run.begin()
    run.append(A, "two;")
    run.append(A, "three;")
    run.append(B, "other;")


def batch(run: Run) -> None:
    run.append(A, "one;")
    run.begin()
    run.batch(A, "two;", "three;", "four;")


def group(run: Run) -> None:
    run.append(A, "one;")
    run.begin()
    run.group(A, "two;", "three;", "four;")
    run.append(A, "five;")


def together(run: Run) -> None:
    run.append(A, "one;")
    run.begin()
    run.together((A, "two;"), (B, "other;"), (A, "three;"))
    run.together((B, "more;"), (A, "four;"))


def fold_at_threshold(run: Run) -> None:
    run.fold_floor(SMALL_FLOOR)
    run.append(A, "0;")
    run.append(A, "1;")
    run.begin()
    for number in range(2, 10):
        run.append(A, f"{number};")


def replace_new(run: Run) -> None:
    run.append(B, "makes the folder;")
    run.begin()
    run.replace(A, "one;")
    run.append(A, "two;")


def replace_new_with_id(run: Run) -> None:
    run.append(B, "makes the folder;")
    run.begin()
    run.replace(A, "one;", with_id=True)
    run.append(A, "two;")


def replace_existing(run: Run) -> None:
    run.append(A, "one;")
    run.append(A, "two;")
    run.begin()
    run.replace(A, "new;")
    run.append(A, "three;")
    run.replace(A, "newer;", with_id=True)
    run.replace(A, "newest;", with_id=True)


def replace_often(run: Run) -> None:
    """Every second one of these is announced without a sync of its own."""
    run.append(A, "one;")
    run.checkpoint()
    run.begin()
    for number in range(5):
        run.replace(A, f"{number};", by="aab"[number % 3])
    run.close(by="b")
    run.append(A, "two;")
    run.replace(A, "new;")
    run.replace(A, "newer;")


def replace_and_go_on_unsynced(run: Run) -> None:
    run.replace(A, "zero;")
    run.replace(A, "one;")
    run.begin()
    run.replace(A, "two;")
    run.append_unsynced(A, "three;")
    run.append(A, "four;")


def replace_over_lines(run: Run) -> None:
    """The journal cannot begin anew behind the first replacement."""
    run.append(A, "one;")
    run.checkpoint()
    run.append(A, "two;")
    run.begin()
    with run.no_new_journal():
        run.replace(A, "new;")
    run.replace(A, "newer;")
    run.replace(A, "newest;")


def replace_over_a_head_and_a_line(run: Run) -> None:
    """The journal could not begin anew, and went on: none of it may be dropped."""
    run.append(A, "one;")
    run.checkpoint()
    run.append(A, "two;")
    with run.no_new_journal():
        run.replace(A, "new;")
    run.append(A, "three;")
    run.begin()
    run.replace(A, "newer;")
    run.append(A, "four;")


def replace_by_the_same(run: Run) -> None:
    """A save of what is there gets a number, and a version, that are acknowledged."""
    run.replace(A, "new;")
    run.begin()
    for _ in range(3):
        run.replace(A, "new;")
    run.replace(A, "new;", with_id=True)
    run.replace(A, "newer;")


def replace_at_rest(run: Run) -> None:
    run.append(A, "one;")
    run.checkpoint()
    run.begin()
    run.replace(A, "new;")
    run.append(A, "two;")


def replace_at_rest_with_id(run: Run) -> None:
    run.append(A, "one;")
    run.checkpoint()
    run.begin()
    run.replace(A, "new;", with_id=True)
    run.replace(A, "newer;", with_id=True)


def delete(run: Run) -> None:
    run.append(A, "one;")
    run.append(B, "stays;")
    run.checkpoint()
    run.append(A, "two;")
    run.begin()
    run.delete(A)


def delete_at_rest(run: Run) -> None:
    run.replace(A, "one;")
    run.checkpoint()
    run.begin()
    run.delete(A)


def delete_without_snapshot(run: Run) -> None:
    run.append(A, "one;")
    run.begin()
    run.delete(A)


def delete_and_recreate(run: Run) -> None:
    run.append(A, "one;")
    run.checkpoint()
    run.delete(A)
    run.begin()
    run.append(A, "two;")
    run.delete(A)
    run.replace(A, "three;")
    run.append(A, "four;")


def rename(run: Run) -> None:
    run.append(A, "one;")
    run.append(A, "two;")
    run.look(B, by="a")
    run.begin()
    run.rename(A, B)
    run.append(B, "three;")


def rename_to_other_folder(run: Run) -> None:
    run.append(DEEP, "zero;")
    run.delete(DEEP)
    run.append(A, "one;")
    run.begin()
    run.rename(A, DEEP)
    run.append(DEEP, "two;")


def rename_and_recreate(run: Run) -> None:
    run.append(A, "one;")
    run.append(DEEP, "makes the folder;")
    run.delete(DEEP)
    run.begin()
    run.rename(A, DEEP)
    run.append(A, "new one;")


def markdown(run: Run) -> None:
    run.append(NOTE, "one;")
    run.begin()
    run.append(NOTE, "two;")
    run.checkpoint()
    run.append(NOTE, "three;")
    run.replace(NOTE, "new;")


def close_and_reopen(run: Run) -> None:
    run.append(A, "one;")
    run.append(A, "two;")
    run.begin()
    run.close()
    run.append(A, "three;")
    run.close()


def checkpoint(run: Run) -> None:
    run.append(A, "one;")
    run.append(B, "one;")
    run.begin()
    run.checkpoint()
    run.append(A, "two;")
    run.checkpoint()


def torn_tail(run: Run) -> None:
    run.append(A, "one;")
    run.append(A, "two;")
    run.close()
    run.append(A, "three;")
    tear(run)
    run.begin()
    run.append(A, "four;")
    run.append(A, "five;")


def tear(run: Run) -> None:
    """Leaves the end of a line, as a crash does, and makes it durable."""
    fd = run.disk.open_write(f"{BASE}/{A}.jsonl")
    end = len(run.disk.read(fd, 0, 1 << 20).rstrip(b" "))
    run.disk.write(fd, bytes(50) + b"-" * 999 + b"}\n", end)
    run.disk.sync(fd)
    run.disk.close(fd)


def edit_at_rest(run: Run) -> None:
    run.append(SESSION, "one;")
    run.checkpoint()
    run.begin()
    run.edit(SESSION, "by hand")
    run.append(SESSION, "two;")
    run.checkpoint()
    run.edit(SESSION, "again")
    run.replace(SESSION, "new;")


def edit_while_waiting(run: Run) -> None:
    run.append(SESSION, "one;")
    run.checkpoint()
    run.append(SESSION, "two;")
    run.begin()
    run.edit(SESSION, "by hand")
    run.append(SESSION, "three;")
    run.edit(SESSION, "again")
    run.checkpoint()


def edit_then_delete(run: Run) -> None:
    run.append(A, "one;")
    run.checkpoint()
    run.append(A, "two;")
    run.begin()
    run.edit(A, "by hand")
    run.delete(A)


def removed_by_hand(run: Run) -> None:
    run.append(A, "one;")
    run.checkpoint()
    run.begin()
    run.remove_by_hand(A)
    run.append(A, "two;")
    run.checkpoint()


def edit_after_fold(run: Run) -> None:
    run.fold_floor(SMALL_FLOOR)
    for number in range(8):
        run.append(A, f"{number};")
    run.begin()
    run.edit(A, "by hand")
    run.append(A, "8;")


def two_writers(run: Run) -> None:
    run.fold_floor(SMALL_FLOOR)
    run.append(A, "0;", by="a")
    run.append(A, "1;", by="b")
    run.begin()
    for number in range(2, 8):
        run.append(A, f"{number};", by="ab"[number % 2])
    run.replace(A, "new;")
    run.append(A, "8;", by="b")
    run.delete(A)
    run.append(A, "9;", by="b")
    run.close(by="b")
    run.append(A, "10;")


def session(run: Run) -> None:
    run.append(SESSION, "one;")
    run.begin()
    run.append(SESSION, "two;")
    run.checkpoint()
    run.append(SESSION, "three;")


def unsynced(run: Run) -> None:
    run.fold_floor(SMALL_FLOOR)
    run.append(A, "0;")
    run.begin()
    run.append_unsynced(A, "1;")
    run.append_unsynced(A, "2;")
    run.append(A, "3;")
    for number in range(4, 8):
        run.append_unsynced(A, f"{number};")
    run.checkpoint()


def prune_two(run: Run) -> None:
    create(run, FIRST)
    create(run, SECOND)
    run.append(SECOND, "waits in a journal;")
    run.begin()
    prune(run, FIRST, SECOND)
    run.append(SECOND, "begun anew;")


def prune_again(run: Run) -> None:
    create(run, FIRST)
    prune(run, FIRST)
    create(run, FIRST)
    run.begin()
    prune(run, FIRST, run_number=2)


def restore_pruned(run: Run) -> None:
    create(run, FIRST)
    run.append(FIRST, "one;")
    prune(run, FIRST)
    run.begin()
    restore(run, FIRST)
    run.append(FIRST, "two;")


def empty_trash(run: Run) -> None:
    create(run, FIRST)
    create(run, SECOND)
    prune(run, FIRST, SECOND)
    run.begin()
    empty(run, FIRST, SECOND)


# --- with history kept -------------------------------------------------------


def history_of_appends(run: Run) -> None:
    run.keep_history()
    run.fold_floor(SMALL_FLOOR)
    run.append(A, "0;")
    run.begin()
    for number in range(1, 8):
        run.append(A, f"{number};")
    run.checkpoint()
    run.append(A, "8;")


def history_of_saves(run: Run) -> None:
    run.keep_history()
    run.replace(A, "0;")
    run.begin()
    run.append(A, "1;")
    run.replace(A, "2;")
    run.replace(A, "3;", with_id=True)
    run.checkpoint()
    run.replace(A, "4;")
    run.append(A, "5;")
    run.checkpoint()


def history_of_edits(run: Run) -> None:
    run.keep_history()
    run.append(SESSION, "one;")
    run.checkpoint()
    run.begin()
    run.edit(SESSION, "at rest")
    run.append(SESSION, "two;")
    run.edit(SESSION, "while waiting")
    run.append(SESSION, "three;")
    run.checkpoint()
    run.edit(SESSION, "again")
    run.replace(SESSION, "new;")


def history_begins_late(run: Run) -> None:
    run.append(A, "before;")
    run.checkpoint()
    run.close()
    run.keep_history()
    run.begin()
    run.append(A, "one;")
    run.checkpoint()
    run.append(A, "two;")


def history_of_a_deleted_document(run: Run) -> None:
    run.keep_history()
    run.append(A, "one;")
    run.checkpoint()
    run.append(A, "two;")
    run.begin()
    run.delete(A)
    run.undo(A)
    run.append(A, "three;")
    run.delete(A)
    run.replace(A, "four;")


def history_of_a_renamed_document(run: Run) -> None:
    run.keep_history()
    run.append(DEEP, "zero;")
    run.delete(DEEP)
    run.replace(A, "one;")
    run.append(A, "two;")
    run.begin()
    run.rename(A, DEEP)
    run.append(DEEP, "three;")
    run.rename(DEEP, A)
    run.checkpoint()


def history_of_a_moved_document(run: Run) -> None:
    run.keep_history()
    run.replace(A, "one;")
    run.append(A, "two;")
    run.begin()
    run.rename(A, DEEP)


def undos(run: Run) -> None:
    run.keep_history()
    run.append(A, "one;")
    run.append(A, "two;")
    run.begin()
    run.undo(A)
    run.undo(A)
    run.checkpoint()
    run.undo(A)
    run.append(NOTE, "one;")
    run.append(NOTE, "two;")
    run.undo(NOTE)


def bounded_history(run: Run) -> None:
    run.keep_history(500)
    run.fold_floor(SMALL_FLOOR)
    run.append(A, "0;")
    run.append(A, "1;")
    run.begin()
    for number in range(2, 7):
        run.append(A, f"{number};")
    run.checkpoint()
    for number in range(7, 10):
        run.append(A, f"{number};")
    run.checkpoint()
    run.append(A, "10;")


def history_of_unsynced_appends(run: Run) -> None:
    run.keep_history()
    run.append(A, "0;")
    run.begin()
    run.append_unsynced(A, "1;")
    run.append_unsynced(A, "2;")
    run.checkpoint()


HISTORY: list[Scenario] = [
    history_of_appends,
    history_of_saves,
    history_of_edits,
    history_begins_late,
    history_of_a_deleted_document,
    history_of_a_renamed_document,
    history_of_a_moved_document,
    undos,
    bounded_history,
]

SCENARIOS: list[Scenario] = [
    create_by_append,
    appends,
    batch,
    group,
    together,
    fold_at_threshold,
    replace_new,
    replace_new_with_id,
    replace_existing,
    replace_often,
    replace_over_lines,
    replace_over_a_head_and_a_line,
    replace_by_the_same,
    replace_at_rest,
    replace_at_rest_with_id,
    delete,
    delete_at_rest,
    delete_without_snapshot,
    delete_and_recreate,
    rename,
    rename_to_other_folder,
    rename_and_recreate,
    markdown,
    close_and_reopen,
    checkpoint,
    torn_tail,
    edit_at_rest,
    edit_while_waiting,
    edit_then_delete,
    removed_by_hand,
    edit_after_fold,
    two_writers,
    session,
    prune_two,
    prune_again,
    restore_pruned,
    empty_trash,
    *HISTORY,
]
