"""The documentation is true: its examples run, its links resolve, its tables are complete.

In a page, the ```python blocks are one program, run from top to bottom in an empty folder.
What may follow a block is checked:

- an ```output block is what the blocks since the last one printed;
- a block behind `<!-- tree: FOLDER -->` names every file below that folder;
- a block behind `<!-- file: PATH -->` is that file's content;
- a ```console block is what a terminal shows: after each `$ command`, going on with `> `, what
  it prints.

Times, ids and digests differ from run to run and are not compared.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from plainstate import errors

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "plainstate"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("benchmarks/**/*.md"),
        *ROOT.glob("proof/**/*.md"),
    ]
)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


class Block(NamedTuple):
    """A fenced block: its language, its text, and the HTML comment right before it."""

    language: str
    text: str
    comment: str


def blocks(text: str) -> list[Block]:
    found = re.finditer(
        r"(?:<!-- (.+?) -->\n)?^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    )
    return [Block(match[2], match[3], match[1] or "") for match in found]


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def same_every_time(text: str) -> str:
    text = re.sub(r"\d{4}-\d\d-\d\d(T[\d:.]+Z| [\d:]{8})", "TIME", text)
    text = re.sub(r"\b(\d+)-[0-9a-f]{8}\b", r"\1-DIGEST", text)
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)


def tree(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if path.is_file()}


def on_a_terminal(text: str) -> str:
    """What the commands of a block print, each behind itself."""
    found = re.findall(r"^(\$ .*\n(?:> .*\n)*)", text, re.MULTILINE)
    shown = ""
    for prompt in found:
        command = re.sub(r"^[$>] ", "", prompt, flags=re.MULTILINE)
        plainstate = f'plainstate() {{ "{sys.executable}" -m plainstate "$@"; }}\n'
        done = subprocess.run(
            ["bash", "-c", plainstate + command],
            env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        shown += prompt + done.stdout.decode()
    return shown


# --- examples ----------------------------------------------------------------


def play(text: str, capsys: pytest.CaptureFixture[str]) -> int:
    """Runs a page's examples in the current folder; returns how many blocks were looked at."""
    names = {"__name__": "example"}
    count = 0
    for block in blocks(text):
        what, _, where = block.comment.partition(": ")
        if block.language == "python":
            exec(compile(block.text, "example", "exec"), names)
        elif block.language == "output":
            assert same_every_time(capsys.readouterr().out) == same_every_time(block.text)
        elif block.language == "console":
            assert same_every_time(on_a_terminal(block.text)) == same_every_time(block.text)
        elif what == "tree":
            assert {line.split()[0] for line in block.text.splitlines()} == tree(Path(where))
        elif what == "file":
            content = Path(where).read_text(encoding="utf-8")
            assert same_every_time(content) == same_every_time(block.text)
        else:
            continue
        count += 1
    return count


@each_page
def test_examples_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    play(page.read_text(encoding="utf-8"), capsys)


def test_the_readme_has_examples(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert play((ROOT / "README.md").read_text(encoding="utf-8"), capsys) >= 5


@pytest.mark.parametrize(
    "page",
    [
        "```python\nprint(1)\n```\n\n```output\n2\n```\n",
        "```python\nassert False\n```\n",
        "<!-- tree: . -->\n```text\nmissing\n```\n",
        "```python\nopen('a', 'w').close()\n```\n<!-- file: a -->\n```text\nmore\n```\n",
        "```console\n$ echo 1\n2\n```\n",
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_wrong_example_is_found(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError):
        play(page, capsys)


# --- links and paths ---------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page.read_text(encoding="utf-8")), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def missing_files(page: Path) -> list[str]:
    """Paths in `code` that look like files of this repository and are not there."""
    missing = []
    for span in re.findall(r"`([\w./-]+)`", prose(page.read_text(encoding="utf-8"))):
        ours = re.match(r"(src|tests|docs|tools|benchmarks)/", span)
        if ours or ("/" in span and span.endswith(".py")):
            places = [ROOT / span, PACKAGE / span]
        elif span.endswith(".py"):
            places = [PACKAGE / span, page.parent / span, *ROOT.glob(f"[!.]*/**/{span}")]
        else:
            continue
        if not any(place.exists() for place in places):
            missing.append(span)
    return missing


@each_page
def test_links_resolve(page):
    assert not broken_links(page)


@each_page
def test_files_that_are_named_exist(page):
    assert not missing_files(page)


def test_a_broken_link_and_a_missing_file_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One\n[a](#one) [b](#two) [c](none.md) `src/none.py` `core/none.py`\n")
    assert broken_links(page) == ["#two", "none.md"]
    assert missing_files(page) == ["src/none.py", "core/none.py"]


# --- tables ------------------------------------------------------------------


def test_every_error_is_in_the_table():
    rows = re.findall(
        r"^\| `(\w+)` \| `([\w-]+)` \| `(\w+)` \| (.+) \| .+ \|$",
        (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    classes = [getattr(errors, name) for name in errors.__all__ if name != "PlainstateError"]
    assert sorted(row[:3] for row in rows) == sorted(
        (cls.__name__, cls.code, builtin_of(cls)) for cls in classes
    )
    for name, _, _, when in rows:
        parent = getattr(errors, name).__bases__[0].__name__
        said = re.search(r"\*is a\* `(\w+)`", when)
        assert (said[1] if said else "PlainstateError") == parent, name


def builtin_of(cls: type) -> str:
    """The builtin that a caller would catch."""
    return next(
        base.__name__ for base in cls.__mro__ if not issubclass(base, errors.PlainstateError)
    )


def test_line_counts_in_the_reading_order_are_about_right():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w/.]+\.py)` \| (\d+) \|", text, re.MULTILINE)
    assert rows
    for name, said in rows:
        lines = len((PACKAGE / name).read_text(encoding="utf-8").splitlines())
        assert abs(lines - int(said)) <= max(40, lines // 3), f"{name} has {lines} lines"
