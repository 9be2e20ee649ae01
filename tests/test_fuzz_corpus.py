"""Every input that fuzzing kept, once through its target; `make fuzz` finds new ones."""

from pathlib import Path

import pytest
from proof.fuzz.campaign import CORPUS, FOUND, replay_files
from proof.fuzz.seeds import seeds
from proof.fuzz.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_target_keeps_its_promise_for_every_input_that_is_kept(target):
    for data in seeds()[target]:
        TARGETS[target](data)
    for file in replay_files(target):
        try:
            TARGETS[target](file.read_bytes())
        except BaseException as error:
            error.add_note(f"input: {file}")
            raise


def test_the_corpus_is_small_and_has_its_targets():
    files = [file for folder in (CORPUS, FOUND) for file in folder.rglob("*") if file.is_file()]
    assert {file.parent.name for file in files} <= set(TARGETS)
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)
    assert max(file.stat().st_size for file in files) < 4096
    assert sum(file.stat().st_size for file in files) < 400 * 1024


def test_each_target_is_described():
    table = Path(__file__).parent.parent.joinpath("proof/README.md").read_text("utf-8")
    for name, target in TARGETS.items():
        assert target.__doc__, name
        assert f"| `{name}` |" in table, name
