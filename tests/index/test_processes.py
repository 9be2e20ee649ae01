"""Many processes at one index: no error, no wrong answer, whoever is killed."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plainstate import open_store

from .conftest import agrees, drop_index, index_files, scanned

WORKERS = Path(__file__).with_name("workers.py")
WORDS = ("apple", "pear", "fig")


def start(task: str, folder: Path, seed: int, count: int = 0) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(WORKERS), task, str(folder), str(seed), str(count)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        _, error = process.communicate(timeout=100)
        assert process.returncode == 0, error


def fill(folder: Path, count: int = 40) -> None:
    with open_store(folder, durability="os") as store:
        for number in range(count):
            name = f"s-{number % 20}"
            store.append_user_message(name, f"an {WORDS[number % 3]}", user_id="ada")


def test_six_processes_at_once(folder: Path):
    finish(*(start("hammer", folder, seed, 40) for seed in range(6)))
    with open_store(folder) as store:
        agrees(store, *WORDS)
        assert sum(one.message_count for one in store.list_sessions()) == 6 * 40
    assert len(index_files(folder)) == 1


def test_the_index_is_deleted_again_and_again(folder: Path):
    fill(folder)
    finish(
        *(start("hammer", folder, seed, 40) for seed in range(3)), start("delete", folder, 9, 60)
    )
    with open_store(folder) as store:
        agrees(store, *WORDS)


def test_two_build_at_once(folder: Path):
    fill(folder, 400)
    drop_index(folder)
    finish(*(start("read", folder, seed, 3) for seed in range(4)))
    with open_store(folder) as store:
        agrees(store, *WORDS)
    assert len(index_files(folder)) == 1


@pytest.mark.parametrize("seed", range(4))
def test_a_builder_is_killed(folder: Path, seed: int):
    fill(folder, 200)
    chance = random.Random(seed)
    for _ in range(5):
        builder = start("build", folder, seed)
        assert builder.stdout.readline() == "ready\n"
        time.sleep(chance.random() / 10)  # any moment will do
        builder.kill()
        builder.communicate()
        with open_store(folder) as store:
            agrees(store, *WORDS)


@pytest.mark.parametrize("seed", range(4))
def test_writers_and_readers_are_killed(folder: Path, seed: int):
    fill(folder)
    chance = random.Random(seed)
    for _ in range(4):
        crew = [start(task, folder, seed, 10**6) for task in ("write", "write", "read", "hammer")]
        for one in crew:
            assert one.stdout.readline() == "ready\n"
        time.sleep(chance.random() / 3)
        for one in crew:
            one.kill()
        assert [one.communicate()[1] for one in crew] == [""] * len(crew)
        with open_store(folder) as store:
            agrees(store, *WORDS)
    with open_store(folder) as store:
        scanned(store)
        agrees(store, *WORDS)
