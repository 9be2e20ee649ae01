"""Stores that an earlier version wrote, intact and damaged: every later one must open them.

`make.py` made them once.  Inodes and times differ after a checkout: digests decide.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "check")]

from make import contents  # noqa: E402 - the path comes first

from plainstate import check_store, open_store  # noqa: E402

INTACT = sorted(HERE.glob("format-*/intact/*"))
DAMAGED = sorted(HERE.glob("format-*/damaged/*"))
names = {"ids": lambda path: f"{path.parts[-3]}/{path.name}"}


def copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    target.chmod(0o700)
    return target


def restored(case: Path, target: Path) -> tuple[Path, list[list[Any]]]:
    """A damaged store, and what is to be found in it."""
    expected = json.loads((case / "expected.json").read_text("utf-8"))
    base = copied(case.parent.parent / "intact/everything/store", target)
    for file in expected["removed"]:
        (base / file).unlink()
    if (case / "changed").exists():
        shutil.copytree(case / "changed", base, dirs_exist_ok=True)
    base.chmod(0o700)
    return base, expected["findings"]


def test_they_are_all_there():
    assert [path.name for path in INTACT] == ["at-rest", "everything", "plain"]
    assert len(DAMAGED) > 50


@pytest.mark.parametrize("case", INTACT, **names)
def test_an_intact_store_opens_with_all_that_is_in_it(case, tmp_path):
    base = copied(case / "store", tmp_path / "store")
    assert check_store(base).findings == []
    with open_store(base) as store:
        found = json.loads(json.dumps(contents(store)))
        assert found == json.loads((case / "contents.json").read_text("utf-8"))
        store.append_user_message("s-1", "Still here", user_id="ada")
        store.checkpoint()
        assert store.load_session("s-1").turns()[-1].content == "Still here"
        assert store.check().is_sound
    assert check_store(base).findings == []


@pytest.mark.parametrize("case", DAMAGED, **names)
def test_what_is_found_in_a_damaged_store_stays_the_same(case, tmp_path):
    base, expected = restored(case, tmp_path / "store")
    found = [[one.code, one.path, one.line] for one in check_store(base).findings]
    assert sorted(found) == expected


@pytest.mark.parametrize("case", DAMAGED, **names)
def test_a_damaged_store_can_be_opened_and_what_is_intact_read(case, tmp_path):
    """Of the documents that nothing is found about, all values are as in the intact store."""
    base, findings = restored(case, tmp_path / "store")
    intact = case.parent.parent / "intact/everything/contents.json"
    values = json.loads(intact.read_text("utf-8"))["documents"]
    paths = " ".join(path for _, path, _ in findings)
    with open_store(base) as store:
        for key, (version, value) in values.items():
            place, kind = key.split()
            category, _, name = place.rpartition("/")
            if place not in paths:
                document = store.read(category, name, kind=kind)
                assert (document.version, document.value) == (version, value)
