"""Makes the golden stores of the current format: run it once for each format version.

    PYTHONPATH=src:tests/check python tests/golden/make.py

What it made is committed and never made again: a later version must open what this one wrote.
Each damaged store is kept as what differs from the intact one.
"""

import json
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "check"))

from damages import DAMAGES, META, build  # noqa: E402 - the path comes first

from plainstate import StateStore, check_store, open_store  # noqa: E402

FORMAT = HERE / "format-1"


def main() -> None:
    """Makes everything anew.

    Raises:
        SystemExit: it is there already.
    """
    if FORMAT.exists():
        raise SystemExit(f"{FORMAT} is there: what was released must not change")
    with tempfile.TemporaryDirectory() as scratch:
        sound = Path(scratch) / "everything"
        build(sound)
        keep("everything", sound)
        rest = Path(scratch) / "at-rest"
        shutil.copytree(sound, rest)
        open_store(rest).close()
        with open_store(rest) as store:
            store.checkpoint()
        for file in (rest / META).glob("index-*"):
            file.unlink()
        keep("at-rest", rest)
        plain = Path(scratch) / "plain"
        shutil.copytree(rest, plain, ignore=lambda *_: [META])
        keep("plain", plain)
        for damage in DAMAGES:
            path = Path(scratch) / "damaged"
            shutil.copytree(sound, path, symlinks=True)
            path.chmod(0o700)
            damage.harm(path)
            if is_portable(path) and "rotten" not in damage.name:  # a checkout has other times
                keep_damage(damage.name.replace(" ", "-").replace(",", ""), sound, path)
            shutil.rmtree(path)


def keep(name: str, path: Path) -> None:
    """A store that is whole, and what is in it."""
    copy_files(path, FORMAT / "intact" / name / "store")
    copied = path.with_name("copy")
    shutil.copytree(path, copied)
    with open_store(copied) as store:
        write_json(FORMAT / "intact" / name / "contents.json", contents(store))
    shutil.rmtree(copied)


def keep_damage(name: str, sound: Path, path: Path) -> None:
    """What differs from the intact store, and what is found."""
    folder = FORMAT / "damaged" / name
    before, now = files(sound), files(path)
    for file, data in now.items():
        if before.get(file) != data:
            target = folder / "changed" / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    found = [[one.code, one.path, one.line] for one in check_store(path).findings]
    write_json(
        folder / "expected.json",
        {"removed": sorted(before.keys() - now.keys()), "findings": sorted(found)},
    )


def contents(store: StateStore) -> dict[str, Any]:
    """Everything that a store tells of itself."""
    documents = {}
    for category in store.list_categories():
        for name in store.list_category(category):
            for kind in ("json", "markdown"):
                document = store.read(category, name, kind=kind)
                if document is not None:
                    documents[f"{category}/{name} {kind}"] = [document.version, document.value]
    return {
        "documents": documents,
        "sessions": {
            one.id: [[type(turn).__name__, turn.content] for turn in session.turns()]
            for one in store.list_sessions()
            if (session := store.load_session(one.id)) is not None
        },
        "history": [[one.seq, one.version, one.action] for one in store.history("plans", "rest")],
        "trash": [one.id for one in store.trash()],
        "followers": [[one.name, one.cursor] for one in store.followers()],
        "changes": [
            [str(one.document), one.action, one.seq, one.version] for one in store.changes()
        ],
    }


def is_portable(path: Path) -> bool:
    """Whether git keeps all of it: plain files with plain names, and no index."""
    for one in path.rglob("*"):
        mode = one.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or one.name.startswith("index-"):
            return False
        if not str(one).isascii() or one.name == "config":
            return False
    closed = any(not one.stat().st_mode & 0o200 for one in path.rglob("*"))
    empty = any(one.is_dir() and not os.listdir(one) for one in path.glob("*/*.json"))
    return not (closed or empty or path.stat().st_mode & 0o077)


def files(path: Path) -> dict[str, bytes]:
    """Every file of a store but those that only a living writer needs."""
    return {
        str(one.relative_to(path)): one.read_bytes()
        for one in sorted(path.rglob("*"))
        if one.is_file() and not one.name.startswith("index-")
    }


def copy_files(source: Path, target: Path) -> None:
    """Copies a store without its index."""
    for name, data in files(source).items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Writes what is expected, for reading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
