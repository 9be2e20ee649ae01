"""What is stored does not steer the terminal of who looks at it."""

import contextlib
import io
import json
import re
from pathlib import Path

import pytest
from attacks import META

from plainstate import open_store
from plainstate.cli.app import main

# Controls except line ends and tabs, those of writing direction, and the C1 range.
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
EVIL = "a\x1b[2J\x1b]0;title\x07\r\x9b31m\x7f\u202eb"

VERBS = [
    *(["ls"], ["ls", "plans"], ["sessions"], ["show", "sessions/evil"], ["show", "plans/evil"]),
    *(["show", "notes/evil"], ["search", "needle"], ["stats"], ["trash"], ["followers"]),
    *(["history", "plans/evil"], ["history", "plans/evil", "--patch"], ["check"]),
    *(["repair", "--dry-run"], ["prune", "--keep-last", "0", "--dry-run"]),
    *(["show", f"plans/{EVIL}"], ["restore", EVIL], [EVIL], ["sessions", "--after", EVIL]),
]


@pytest.fixture
def evil(base: Path) -> Path:
    with open_store(base, history="keep") as store:
        store.append_user_message("evil", f"needle {EVIL}", user_id=EVIL, metadata={EVIL: EVIL})
        store.save_json("plans", "evil", {EVIL: [EVIL]})
        store.patch("plans", "evil", [{"op": "add", "path": "/x", "value": EVIL}])
        store.save_markdown("notes", "evil", f"needle {EVIL}")
    for name in (f"plans/{EVIL}.json", f"{META}/{EVIL}", f"{META}/writers/{EVIL}", f".tmp-{EVIL}"):
        (base / name).write_text(EVIL)
    (base / EVIL).mkdir()
    (base / META / "format.json").write_text(json.dumps({"plainstate": 1, EVIL: EVIL}))
    return base


def said(base: Path, *arguments: str) -> tuple[str, str]:
    """What a command writes to standard output and error."""
    out, error = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        main(["--store", str(base), *arguments])
    out.flush()
    error.flush()
    return out.buffer.getvalue().decode(), error.buffer.getvalue().decode()


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: " ".join(verb).replace(EVIL, "EVIL"))
@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["text", "json"])
def test_nothing_steers(evil: Path, verb: list[str], as_json: list[str]):
    for text in said(evil, *as_json, *verb):
        found = STEERING.search(text)
        assert found is None, text[max(0, found.start() - 80) :][:160]


def test_json_means_the_same(evil: Path):
    out, _ = said(evil, "--json", "show", "plans/evil")
    assert json.loads(out)["value"] == {EVIL: [EVIL], "x": EVIL}


def test_a_name_like_an_option_is_a_name_behind_two_hyphens(base: Path):
    with open_store(base) as store:
        store.save_json("-rf", "--json", {"kept": True})
    assert said(base, "cat", "--", "-rf/--json")[0] == '{\n  "kept": true\n}\n'
    _, error = said(base, "cat", "-rf/--json")
    assert "required: DOC" in error
