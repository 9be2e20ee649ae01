"""`docs/format/history.md` suffices to read a document's past, and its worked example is true.

`states_by_page_only` knows the page and nothing of the package.
"""

import json
import re
from pathlib import Path
from zlib import crc32

import jsonpatch
import pytest

from plainstate import Session, open_store

PAGE = Path(__file__).parents[2] / "docs/format/history.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLE = TEXT.partition("<!-- example: executed by ")[2]
FILES = dict(re.findall(r"^`([^`]+)`:\n\n```json\n(.*?)```", EXAMPLE, re.MULTILINE | re.DOTALL))


def read_lines(data: bytes) -> list[dict]:
    lines, check = [], 0
    for line in data.splitlines():
        body, _, rest = line.rpartition(b',"sum":')
        check = crc32(body, check)
        assert rest == b'"%08x"}' % check
        lines.append(json.loads(line))
    assert data.endswith(b"\n")
    return lines


def states_by_page_only(data: bytes) -> dict[int, tuple[str | None, object]]:
    """Version and value behind each transaction that the history tells (rules 1 and 2)."""
    states: dict[int, tuple[str | None, object]] = {}
    value: object = None
    for line in read_lines(data):
        states = {seq: state for seq, state in states.items() if seq < line["seq"]}
        if "plainstate" in line:
            value = line["value"]
        elif line["version"] is None:
            value = None
        elif isinstance(value, str):
            for operation in line["patch"]:
                value = value + operation["value"]
        else:
            value = jsonpatch.apply_patch(value, line["patch"])
        states[line["seq"]] = line["version"], value
    return states


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example's files, put where the page says that they lie."""
    for name, text in FILES.items():
        if "/" in name:
            (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_example_is_read_as_the_page_says(example):
    expected = json.loads(FILES["read at 2"])
    with open_store(example) as store:
        found = store.read("plans", "today", at=2)
        assert found.value == expected
        assert f"`{found.version}`" in EXAMPLE
        said = [one.what for one in store.history("plans", "today")]
        assert said == ["saved whole", "added /steps/-", "created"]
        store.undo("plans", "today")
        assert store.load_json("plans", "today") == expected


def test_the_example_follows_from_the_page_alone(example):
    data = (example / ".plainstate/history/plans/today.jsonl").read_bytes()
    assert states_by_page_only(data)[2] == ("2-4bf821bf", json.loads(FILES["read at 2"]))


def test_what_the_package_writes_is_read_by_the_page(tmp_path):
    with open_store(tmp_path, history="keep", history_bytes=2000) as store:
        for name in ("a", "b"):
            store.save_json("c", name, {"n": []})
        for number in range(40):
            store.patch("c", "a", [{"op": "add", "path": "/n/-", "value": number}])
            if number % 9 == 0:
                store.checkpoint()
            if number % 13 == 0:
                store.undo("c", "a")
        store.delete_file("c", "a")
        store.undo("c", "a")
        store.delete_file("c", "b")
        store.rename("c", "a", "b")
        for text in ("one", "two"):
            store.append_markdown("c", "m", text)
        store.checkpoint()
        for name, suffix in (("b", ".jsonl"), ("m", ".mdl")):
            data = (tmp_path / f".plainstate/history/c/{name}{suffix}").read_bytes()
            states = states_by_page_only(data)
            assert len(states) > 2
            for seq, state in states.items():
                found = store.read("c", name, at=seq)
                assert state == ((None, None) if found is None else (found.version, found.value))


def test_the_keys_are_those_of_the_page(tmp_path):
    table = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (base|step|both) \|", TEXT, re.MULTILINE)
    described = {
        kind: {
            key
            for keys, where in table
            if where in (kind, "both")
            for key in re.findall(r"\w+", keys)
        }
        for kind in ("base", "step")
    }
    with open_store(tmp_path, history="keep") as store:
        store.append_user_message("s", "Hello", user_id="ada")
        store.append_user_message("s", "again")
        store.checkpoint()
        store.save_json("sessions", "s", Session.with_id("ada", "s").to_tree())
    lines = read_lines((tmp_path / ".plainstate/history/sessions/s.jsonl").read_bytes())
    found: dict[str, set[str]] = {"base": set(), "step": set()}
    for line in lines:
        found["base" if "plainstate" in line else "step"] |= line.keys()
    assert found == described
