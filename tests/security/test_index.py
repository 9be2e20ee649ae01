"""An index is believed only where we made it: it could lie, or run what is written in it."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from attacks import META, index_of

from plainstate import open_store
from plainstate.index.database import Database
from plainstate.index.index import Index

NOBODY = 65534


def lie(path: Path) -> None:
    """Makes an index tell of a session that is not there."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO documents(category, kind, name, seq, version, stamp, user_id, messages,"
            " created, age) VALUES('sessions', 'json', 'lie', 1, '1-00000000', '', 'ada', 1, 0, 0)"
        )
        connection.execute(
            "CREATE TRIGGER planted AFTER UPDATE ON feed BEGIN DELETE FROM users; END"
        )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.fixture(autouse=True)
def no_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at every file behind each opening soon corrects an index, too."""
    monkeypatch.setattr(Index, "start", lambda _: None)


def names(base: Path) -> list[str]:
    """What the first list says."""
    with open_store(base) as store:
        return sorted(one.id for one in store.list_sessions())


def copied(path: Path) -> None:
    """As it comes with a store that a stranger sends."""
    shutil.copy2(path, path.with_name("copy"))
    path.with_name("copy").rename(path)


def writable(path: Path) -> None:
    path.chmod(0o660)


def linked(path: Path) -> None:
    os.link(path, path.with_name("elsewhere"))


def symlinked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def of_another(path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root gives files away")
    os.chown(path, NOBODY, NOBODY)


@pytest.mark.parametrize("how", [copied, writable, linked, symlinked, of_another])
def test_an_index_of_somebody_else_is_not_believed(base: Path, how: Callable[[Path], None]):
    true = names(base)
    path = index_of(base)
    lie(path)
    assert "lie" in names(base)  # what we made ourselves is
    how(path)
    assert names(base) == true
    assert not path.exists() or path.stat().st_nlink == 1
    with closing(sqlite3.connect(index_of(base))) as connection:
        (planted,) = connection.execute(
            "SELECT count(*) FROM sqlite_master WHERE name = 'planted'"
        ).fetchone()
    assert not planted


@pytest.mark.parametrize("beside", ["-wal", "-shm"])
def test_a_log_of_somebody_else_is_not_believed(base: Path, outside: Path, beside: str):
    true = names(base)
    os.link(outside / "precious.txt", f"{index_of(base)}{beside}")
    assert names(base) == true
    assert (outside / "precious.txt").read_text() == "precious, and no newline"


def test_the_index_of_the_stores_owner_serves_root(base: Path):
    if os.geteuid():
        pytest.skip("only root gives files away")
    for path in [base, *base.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    true = names(base)
    kept = index_of(base).stat().st_ino
    for path in (base / META).glob("index-*"):
        os.chown(path, NOBODY, NOBODY)
    assert names(base) == true
    assert index_of(base).stat().st_ino == kept


def test_another_user_of_the_machine_reads_nothing(base: Path):
    """Nor does one see so much as a name."""
    if os.geteuid():
        pytest.skip("only root becomes another user")
    base.parent.chmod(0o755)
    base.chmod(0o700)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(PermissionError):
            os.listdir(base)
        with pytest.raises(PermissionError):
            (base / "plans/rest.json").read_bytes()
    finally:
        os.seteuid(0)


def test_what_is_written_in_an_index_runs_no_function_of_the_outside(base: Path):
    names(base)
    with closing(Database(str(index_of(base)))) as database, database.reading() as connection:
        assert connection.execute("PRAGMA trusted_schema").fetchone() == (0,)
