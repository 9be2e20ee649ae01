"""Runs the table of `cases.py`: the right error, a hint, nothing changed, and life goes on."""

import pickle
import shutil
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sound_store
from cases import CASES, Case
from sound_store import read_all, tree

from plainstate import PlainstateError, StateStore, open_store


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "sound"
    sound_store.build(path)
    return path


@pytest.mark.timeout(20)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hostile(case: Case, sound: Path, tmp_path: Path):
    base = tmp_path / "store"
    with case.machine.prepare(base):
        shutil.copytree(sound, base, dirs_exist_ok=True)
        case.harm(base)
        before = tree(base)
        if case.opens:
            store = open_store(base)
            with closing(store) if case.closes else closing_with(case, store):
                refuse(case, store, base)
                if case.folds:
                    same_documents(store, sound)
                else:
                    assert tree(base) == before
                write_something(store)
        else:
            with pytest.raises(case.error) as caught, open_store(base) as store:
                case.call(store)
            check_error(case, caught.value)
            assert tree(base) == before
        restore(sound, base)
        with open_store(base) as store:
            same_documents(store, sound)
            write_something(store)


def refuse(case: Case, store: StateStore, base: Path) -> None:
    with pytest.raises(PlainstateError) as caught, case.machine.trouble(base):
        case.call(store)
    check_error(case, caught.value)


@contextmanager
def closing_with(case: Case, store: StateStore) -> Iterator[None]:
    yield
    with pytest.raises(case.error):
        store.close()


def check_error(case: Case, error: PlainstateError) -> None:
    assert type(error) is case.error, repr(error)
    assert error.code == case.code
    assert str(error)
    assert error.hint
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.hint) == (type(error), str(error), error.hint)


def write_something(store: StateStore) -> None:
    """Other documents go on."""
    store.save_json("afterwards", "a", {"fine": []})
    store.patch("afterwards", "a", [{"op": "add", "path": "/fine/-", "value": 1}])
    assert store.load_json("afterwards", "a") == {"fine": [1]}
    store.append_user_message("afterwards", "Hello", user_id="ada")
    assert store.delete_file("afterwards", "a")
    assert store.delete_session("afterwards")


def same_documents(store: StateStore, sound: Path) -> None:
    with open_store(sound) as reference:
        assert read_all(store) == read_all(reference)
    for path in sound.glob(".plainstate/index-*"):
        path.unlink()  # the next case finds the sound store as it was made


def restore(sound: Path, base: Path) -> None:
    """Puts the files of the sound store back, as its owner would from a copy."""
    for path in sorted([base, *base.rglob("*")], reverse=True):
        if not stat.S_ISDIR(path.lstat().st_mode):
            path.unlink()
        elif path != base:
            path.rmdir()
    shutil.copytree(sound, base, dirs_exist_ok=True)


def test_the_table_is_what_it_says():
    assert len(CASES) >= 80
    names = Counter(case.name for case in CASES)
    assert max(names.values()) == 1, names.most_common(3)
    assert all(case.error.code == case.code for case in CASES)
