"""`docs/format/journal.md` suffices to read a store, and its worked example is true.

`read_page_only` knows the page and nothing of the package.
"""

import json
import re
from hashlib import blake2b
from pathlib import Path
from zlib import crc32

import jsonpatch
import pytest

from plainstate import StateStore, open_store

PAGE = Path(__file__).parents[2] / "docs/format/journal.md"


def read_lines(data: bytes) -> list[dict]:
    """The lines of a journal or a resting head; each checksum is checked."""
    lines, check = [], 0
    data = data.rstrip(b" ")  # blanks may follow
    for line in data.splitlines():
        body, _, rest = line.rpartition(b',"sum":')
        check = crc32(body, check)
        assert rest == b'"%08x"}' % check
        lines.append(json.loads(line))
    assert data.endswith(b"\n")
    return lines


def read_page_only(base: Path, name: str) -> tuple[object, str]:
    """Value and version of a document that nobody edited and no crash cut off (rule 1)."""
    snapshot, journal, resting = base / name, base / f"{name}l", base / f".plainstate/heads/{name}l"
    lines = read_lines((journal if journal.exists() else resting).read_bytes())
    last = max(number for number, line in enumerate(lines) if "plainstate" in line)
    head, behind = lines[last], lines[last + 1 :]
    value, version = None, head["version"]
    if head["snapshot"] is not None:
        data = snapshot.read_bytes()
        assert head["snapshot"]["digest"] == blake2b(data, digest_size=16).hexdigest()
        value = json.loads(data) if snapshot.suffix == ".json" else data.decode()
    for number, line in enumerate(behind, head["seq"] + 1):
        assert line["seq"] == number
        version = f"{number}-{line['sum']}"
        if snapshot.suffix == ".json":
            value = jsonpatch.apply_patch(value, line["patch"])
        else:
            (operation,) = line["patch"]
            added = operation["value"]
            value = added if operation["path"] == "" else value + added
    return value, version


# --- the worked example ------------------------------------------------------

EXAMPLE = PAGE.read_text(encoding="utf-8").partition("<!-- example: executed by ")[2]
FILES = dict(re.findall(r"^`([^`]+)`:\n\n```json\n(.*?)```", EXAMPLE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example's files, put where the page says that they lie."""
    for name, text in FILES.items():
        if name.startswith("sessions/"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_example_is_read_as_the_page_says(example):
    expected = json.loads(FILES["load_json"])
    with open_store(example) as store:
        assert store.load_json("sessions", "demo") == expected
        session = store.load_session("demo")
    assert [turn.content for turn in session.turns()] == ["Hello", "Hi, Ada!"]


def test_the_example_follows_from_the_page_alone(example):
    value, version = read_page_only(example, "sessions/demo.json")
    assert value == json.loads(FILES["load_json"])
    assert f"`{version}`" in EXAMPLE
    with open_store(example) as store:
        assert store.read("sessions", "demo").version == version


def test_the_example_goes_on(example):
    with open_store(example) as store:
        assert store.append_user_message("demo", "Bye").seq == 3
        value, version = read_page_only(example, "sessions/demo.json")
        assert (value, version) == (
            store.load_json("sessions", "demo"),
            store.read("sessions", "demo").version,
        )
    assert json.loads((example / "sessions/demo.json").read_bytes()) == value  # at rest
    assert not (example / "sessions/demo.jsonl").exists()


# --- what the package writes -------------------------------------------------


def create(store: StateStore) -> None:
    store.append_user_message("s", "Hello", user_id="ada")


def append(store: StateStore) -> None:
    create(store)
    store.append_agent_response("s", "Hi ✓ \u2028 \x7f 🙂", metadata={"n": 10**30, "f": 1e-7})
    store.append_user_message("s", "Bye", durability="os")


def save(store: StateStore) -> None:
    append(store)
    value = store.load_json("sessions", "s") | {"whole": [1.5, None, True]}
    store.save_json("sessions", "s", value, tx_id="t-1")


def patch(store: StateStore) -> None:
    save(store)
    store.patch("sessions", "s", [{"op": "move", "from": "/whole", "path": "/a~1b"}])
    with store.transaction("sessions", "s") as doc:
        doc.value["a/b"].append({"": ""})


def fold(store: StateStore) -> None:
    patch(store)
    store.checkpoint()


def fold_and_go_on(store: StateStore) -> None:
    fold(store)
    store.patch("sessions", "s", [{"op": "add", "path": "/more", "value": "x" * 10_000}])


def delete_and_create(store: StateStore) -> None:
    fold_and_go_on(store)
    store.delete_session("s")
    create(store)


def rename(store: StateStore) -> None:
    append(store)
    store.rename("sessions", "s", "t")
    store.rename("sessions", "t", "s")


STEPS = [create, append, save, patch, fold, fold_and_go_on, delete_and_create, rename]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_what_the_package_writes_is_read_by_the_page(step, tmp_path):
    with open_store(tmp_path) as store:
        step(store)
        document = store.read("sessions", "s")
        assert read_page_only(tmp_path, "sessions/s.json") == (document.value, document.version)
    # and at rest, where the plain file is all there is to read
    assert read_page_only(tmp_path, "sessions/s.json")[0] == document.value
    assert json.loads((tmp_path / "sessions/s.json").read_bytes()) == document.value


def test_markdown_as_well(tmp_path):
    with open_store(tmp_path) as store:
        for text in ("# Notes\n", "one ✓\r\n", "two"):
            store.append_markdown("a/b", "n", text)
            document = store.read("a/b", "n", kind="markdown")
            assert read_page_only(tmp_path, "a/b/n.md") == (document.value, document.version)
    assert read_page_only(tmp_path, "a/b/n.md") == (document.value, document.version)
    assert (tmp_path / "a/b/n.md").read_bytes() == document.value.encode()


def test_the_keys_are_those_of_the_page(tmp_path):
    table = re.findall(
        r"^\| ((?:`\w+`(?:, )?)+) \| (head|transaction|both) \|",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    described = {
        kind: {
            key
            for keys, where in table
            if where in (kind, "both")
            for key in re.findall(r"\w+", keys)
        }
        for kind in ("head", "transaction")
    }
    with open_store(tmp_path) as store:
        append(store)
        store.append_user_message("s", "unsynced before", durability="commit")
        store.save_json("sessions", "s", store.load_json("sessions", "s"), tx_id="t-1")
        journal = read_lines((tmp_path / "sessions/s.jsonl").read_bytes())
    for line in journal:
        assert line.keys() <= described["head" if "plainstate" in line else "transaction"]
