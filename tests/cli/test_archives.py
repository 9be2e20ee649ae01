"""`export`, and `import` of an archive."""

import json
import os
import subprocess
import sys
import tarfile

import pytest

from plainstate import open_store


@pytest.fixture
def filled(store_path):
    with open_store(store_path) as store:
        store.append_user_message("s-1", "Hello", user_id="ada")
        store.save_markdown("notes", "plan", "# Plan\n")
        store.save_json("notes", "list", [1])
    return store_path


def names(path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()[1:-1]


def test_out_and_in(cli, tmp_path, filled):
    assert cli("export", "out.tar.gz").stdout.startswith("exported 3 documents, ")
    assert names(tmp_path / "out.tar.gz") == [
        "notes/list.json",
        "notes/plan.md",
        "sessions/s-1.json",
    ]
    done = cli("import", "out.tar.gz", "--store", "other")
    assert done.stdout == "documents: 3 created, 0 replaced, 0 unchanged\n"
    again = json.loads(cli("import", "out.tar.gz", "--store", "other", "--json").stdout)
    assert again == {"created": 0, "replaced": 0, "unchanged": 3, "skipped": [], "left_out": []}
    for path in filled.glob("[!.]*/*"):
        copy = tmp_path / "other" / path.relative_to(filled)
        assert copy.read_bytes() == path.read_bytes()


def test_through_pipes(cli, tmp_path, filled, environment):
    assert filled.exists()
    program = [sys.executable, "-m", "plainstate"]
    done = subprocess.run(
        [*program, "export", "-"], env=environment, capture_output=True, check=True
    )
    assert done.stderr.decode().startswith("exported 3 documents, ")
    assert cli("import", "-", "--store", "other", given=done.stdout).stdout.startswith(
        "documents: 3"
    )
    (tmp_path / "in").write_bytes(done.stdout)
    with open(tmp_path / "in", "rb") as file:  # a standard input that can seek
        subprocess.run(
            [*program, "import", "-", "--store", tmp_path / "third"],
            env=environment,
            stdin=file,
            check=True,
            capture_output=True,
        )
    assert (tmp_path / "third/notes/plan.md").read_text() == "# Plan\n"


def test_parts_and_overwriting(cli, tmp_path, filled):
    assert filled.exists()
    said = json.loads(cli("export", "out", "--category", "notes", "--json").stdout)
    assert (said["documents"], said["left_out"]) == (2, [])
    refused = cli("export", "out", "--session", "s-1", code=4).stderr
    assert "--overwrite" in refused
    cli("export", "out", "--session", "s-1", "--overwrite")
    assert names(tmp_path / "out") == ["sessions/s-1.json"]
    assert "plainstate ls" in cli("export", "none", "--category", "nots", code=3).stderr
    assert "plainstate sessions" in cli("export", "none", "--session", "s-2", code=3).stderr
    cli("export", "none", "--store", "nowhere", code=3)
    assert sorted(os.listdir(tmp_path)) == ["out", "state"]


def test_markdown(cli, tmp_path, filled):
    assert filled.exists()
    cli("export", "--markdown", "out")
    found = sorted(str(path.relative_to(tmp_path / "out")) for path in tmp_path.glob("out/*/*"))
    assert found == ["notes/list.json", "notes/plan.md", "sessions/s-1.md"]
    assert "> Hello\n" in (tmp_path / "out/sessions/s-1.md").read_text()
    cli("export", "--markdown", "out", code=4)


def test_what_does_not_go_together(cli, tmp_path, filled):
    assert filled.exists()
    (tmp_path / "chat.json").write_text('[{"role": "user", "content": "Hi"}]')
    cli("export", "out")
    for arguments in [
        ("export", "-", "--markdown"),
        ("export", "-", "--json"),
        ("export", "new", "--markdown", "--overwrite"),
        ("export", "new", "--session", "s-1", "--category", "notes"),
        ("import", "out", "chat.json"),
        ("import", "out", "--user", "ada"),
        ("import", "chat.json", "--on-existing", "replace"),
        ("import", "chat.json", "--max-document-bytes", "9"),
    ]:
        assert cli(*arguments, code=2).stdout == ""
    assert sorted(os.listdir(tmp_path)) == ["chat.json", "out", "state"]


def test_other_content(cli, filled):
    cli("export", "out")
    with open_store(filled) as store:
        store.save_json("notes", "list", [2])
    refused = cli("import", "out", code=4).stderr
    assert "notes/list.json exists with other content" in refused
    assert "--on-existing" in refused
    assert "skipped: notes/list.json" in cli("import", "out", "--on-existing", "skip").stdout
    done = cli("import", "out", "--on-existing", "replace").stdout
    assert done == "documents: 0 created, 1 replaced, 2 unchanged\n"
    assert (filled / "notes/list.json").read_text() == "[\n  1\n]\n"


def test_damage_is_told(cli, tmp_path, filled):
    (filled / "sessions/s-1.json").write_text("{")
    done = cli("export", "out", code=5)
    assert "LEFT OUT: sessions/s-1.json" in done.stdout
    (tmp_path / "cut").write_bytes((tmp_path / "out").read_bytes()[:-5])
    refused = cli("import", "cut", "--store", "other", code=5)
    assert "cut short" in refused.stderr
    assert "LEFT OUT" in cli("import", "out", "--store", "other").stdout
    assert not (tmp_path / "other/sessions").exists()


def test_a_large_document(cli, tmp_path, filled):
    with open_store(filled) as store:
        for _ in range(3):
            store.append_markdown("notes", "long", "x" * 2**22)
    cli("export", "out")
    refused = cli("import", "out", "--store", "other", code=1).stderr
    assert "--max-document-bytes 12582912" in refused
    assert not (tmp_path / "other").exists()
    cli("import", "out", "--store", "other", "--max-document-bytes", str(2**24))
    assert (tmp_path / "other/notes/long.md").stat().st_size == 3 * 2**22
