"""What is said to somebody who waits."""

import io
import threading

from plainstate.cli import progress


class Screen(io.StringIO):
    def __init__(self, *, is_terminal):
        super().__init__()
        self.isatty = lambda: is_terminal
        self.written = threading.Event()

    def flush(self):
        self.written.set()


def test_who_waits_long_is_told_why(monkeypatch):
    monkeypatch.setattr(progress, "_PATIENCE_S", 0)
    monkeypatch.setattr("sys.stderr", screen := Screen(is_terminal=True))
    with progress.patience():
        assert screen.written.wait(30)
    assert screen.getvalue().startswith("the index is behind")


def test_a_program_and_who_waits_shortly_are_told_nothing(monkeypatch):
    for is_terminal, limit_s in ((False, 0), (True, 3600)):
        monkeypatch.setattr(progress, "_PATIENCE_S", limit_s)
        monkeypatch.setattr("sys.stderr", screen := Screen(is_terminal=is_terminal))
        before = threading.active_count()
        with progress.patience():
            assert threading.active_count() == before + is_terminal
        assert screen.getvalue() == ""
