"""`put`, `cat`, `show`, `ls`, `rm`, `mv`, `checkpoint`, `resolve`."""

import json
import re
import shlex

import pytest

from plainstate import open_store


def test_a_json_document_goes_in_and_out(cli, store_path):
    saved = json.loads(
        cli("put", "plans/today", "--json", given='{"b": [1, 2.5], "ä": null}').stdout
    )
    assert saved["document"] == "plans/today"
    assert saved["kind"] == "json"
    assert json.loads(cli("cat", "plans/today").stdout) == {"b": [1, 2.5], "ä": None}
    assert "ä" in cli("cat", "plans/today").stdout
    shown = json.loads(cli("cat", "plans/today", "--json").stdout)
    assert shown == {
        "document": "plans/today",
        "kind": "json",
        "version": saved["version"],
        "value": {"b": [1, 2.5], "ä": None},
    }
    assert (store_path / "plans" / "today.json").is_file()


@pytest.mark.parametrize(
    "text", ["# Plan\r\n\r\nno newline at the end", "", "\ufeffmark\n", "日本\t\x1b"]
)
def test_markdown_is_kept_byte_for_byte(cli, store_path, text):
    cli("put", "notes/plan", "--markdown", given=text)
    assert (store_path / "notes" / "plan.md").read_bytes() == text.encode()
    assert cli("cat", "notes/plan.md").stdout.encode() == text.encode()


def test_a_session_by_its_id_alone_is_told_its_document(cli):
    """The hint can be used as it stands."""
    cli("import", "-", given='{"id": "s-1", "messages": [{"role": "user", "content": "Hello"}]}')
    refused = cli("show", "s-1", code=2)
    (meant,) = re.findall(r"the session of that id is (.*)\.\n", refused.stderr)
    assert "Hello" in cli("show", *shlex.split(meant)).stdout


def test_what_is_no_session_is_not_put_among_them(cli):
    refused = cli("put", "sessions/x.json", code=1, given='{"id": "x"}')
    assert "sessions/x.json: not a session: " in refused.stderr
    assert "plainstate import" in refused.stderr
    cli("show", "sessions/x", code=3)
    given = json.dumps({"messages": [{"role": "user", "content": "Hello"}]})
    cli("import", "-", given=given)
    (listed,) = cli("sessions", "--json").stdout.splitlines()
    name = json.loads(listed)["id"]
    whole = cli("cat", f"sessions/{name}").stdout
    cli("put", f"sessions/{name}", given=whole.replace("Hello", "Good day"))
    assert "Good day" in cli("show", f"sessions/{name}").stdout
    cli("put", "sessions/note.md", given="# Among sessions, but none")
    cli("check")


def test_the_suffix_says_what_is_put(cli, tmp_path, store_path):
    (tmp_path / "in.md").write_text("# A", encoding="utf-8")
    (tmp_path / "in.json").write_text("[1]", encoding="utf-8")
    cli("put", "n/from-file", "in.md")
    cli("put", "n/from-doc.md", given="# B")
    cli("put", "n/data", "in.json")
    assert sorted(path.name for path in (store_path / "n").iterdir()) == [
        "data.json",
        "from-doc.md",
        "from-file.md",
    ]


def test_who_puts_a_text_as_json_is_told_of_markdown(cli):
    assert "--markdown" in cli("put", "notes/plan", code=1, given="Buy milk\n").stderr
    assert "--markdown" not in cli("put", "notes/plan.json", code=1, given="Buy milk\n").stderr


def test_an_old_version_is_refused(cli):
    first = json.loads(cli("put", "n/a", "--json", given="1").stdout)["version"]
    cli("put", "n/a", "--if-version", first, given="2")
    refused = cli("put", "n/a", "--if-version", first, given="3", code=4)
    assert refused.stderr.startswith("plainstate: ")
    assert cli("cat", "n/a").stdout == "2\n"


def test_show_has_a_header(cli):
    cli("put", "n/a", given='{"x": 1, "y": 2}')
    lines = cli("show", "n/a").stdout.splitlines()
    assert "n/a" in lines[0]
    assert "2 keys" in lines[0]
    assert "version 1-" in lines[0]
    assert json.loads("\n".join(lines[2:])) == {"x": 1, "y": 2}


def test_show_does_not_let_text_steer_the_terminal(cli):
    cli("put", "n/a.md", given="red \x1b[31m \u202e reversed")
    assert "\\x1b[31m \\u202e reversed" in cli("show", "n/a").stdout
    assert "\x1b" not in cli("show", "n/a").stdout


def test_ls(cli):
    cli("put", "a/b/c", given="1")
    cli("put", "a/x", given="1")
    cli("put", "a/y.md", given="1")
    assert cli("ls").stdout.splitlines() == [
        "CATEGORY  DOCUMENTS",
        "a                 2",
        "a/b               1",
    ]
    lines = [json.loads(line) for line in cli("ls", "--json").stdout.splitlines()]
    assert lines == [{"category": "a", "documents": 2}, {"category": "a/b", "documents": 1}]
    assert cli("ls", "a").stdout == "a/x.json\na/y.md\n"
    assert [json.loads(line) for line in cli("ls", "a/", "--json").stdout.splitlines()] == [
        {"document": "a/x", "kind": "json"},
        {"document": "a/y", "kind": "markdown"},
    ]
    cli("ls", "nothing", code=3)


def test_ls_counts_documents_not_names(cli, store_path):
    cli("put", "n/p.md", given="text")
    cli("put", "n/p.json", given="1")
    assert cli("ls", "n").stdout == "n/p.json\nn/p.md\n"
    assert cli("ls").stdout.splitlines()[1].split() == ["n", "2"]
    for file in cli("ls", "n").stdout.split():
        assert (store_path / file).is_file()
        cli("rm", file)
    assert cli("ls").stdout == "no documents\n"


def test_rm_asks_which_where_there_are_two(cli):
    cli("put", "n/a", given="1")
    cli("put", "n/a.md", given="text")
    assert "--kind" in cli("rm", "n/a", code=2).stderr
    assert "--kind" in cli("cat", "n/a", code=2).stderr
    assert json.loads(cli("rm", "n/a", "--kind", "json", "--json").stdout) == {
        "document": "n/a",
        "kind": "json",
        "deleted": True,
    }
    assert cli("cat", "n/a").stdout == "text"
    cli("rm", "n/a.md")
    cli("rm", "n/a", code=3)


def test_mv(cli):
    cli("put", "n/a.md", given="text")
    moved = json.loads(cli("mv", "n/a", "other/b", "--json").stdout)
    assert moved["document"] == "other/b"
    assert moved["from"] == "n/a"
    assert cli("cat", "other/b.md").stdout == "text"
    cli("mv", "n/a", "n/b", code=3)
    cli("mv", "other/b", "other/b.json", code=2)
    cli("put", "n/taken.md", given="")
    cli("mv", "other/b", "n/taken", code=4)


def test_kind_takes_a_name_as_it_stands(cli, store_path):
    with open_store(store_path) as store:
        store.save_json("n", "a.json", "odd name")
        store.save_json("n", "a", "plain name")
    assert cli("cat", "n/a.json").stdout == '"plain name"\n'
    assert cli("cat", "n/a.json", "--kind", "json").stdout == '"odd name"\n'


def test_checkpoint_folds(cli, store_path):
    store = open_store(store_path)
    store.append_user_message("s", "Hello", user_id="ada")
    try:
        assert (store_path / "sessions" / "s.jsonl").exists()
        assert json.loads(cli("checkpoint", "--json").stdout) == {"folded": 1}
        assert not (store_path / "sessions" / "s.jsonl").exists()
        assert cli("checkpoint").stdout == "folded 0 documents\n"
    finally:
        store.close()


@pytest.mark.parametrize(("side", "value"), [("file", 7), ("journal", 2)])
def test_resolve_settles_an_edit_by_hand(cli, store_path, side, value):
    store = open_store(store_path)
    try:
        store.save_json("n", "a", {"x": 1})
        store.patch("n", "a", [{"op": "replace", "path": "/x", "value": 2}])
        (store_path / "n" / "a.json").write_text('{"x": 7}', encoding="utf-8")
        conflict = json.loads(cli("show", "n/a", "--json", code=4).stderr)["error"]
        assert conflict["code"] == "edit-conflict"
        assert "`plainstate resolve n/a.json --take file` (or journal)" in conflict["hint"]
        assert "StateStore" not in conflict["hint"]
        resolved = json.loads(cli("resolve", "n/a", "--take", side, "--json").stdout)
        assert (resolved["take"], resolved["kind"]) == (side, "json")
        assert json.loads(cli("cat", "n/a").stdout) == {"x": value}
    finally:
        store.close()


def test_resolve_finds_the_kind_or_asks_for_it(cli, store_path):
    store = open_store(store_path)
    try:
        store.save_markdown("my notes", "a", "# A\n")
        store.append_markdown("my notes", "a", "one\n")
        (store_path / "my notes" / "a.md").unlink()
        refused = cli("cat", "my notes/a", code=4).stderr
        assert "`plainstate resolve 'my notes/a.md' --take file`. my notes/a.mdl holds" in refused
        refused = cli("resolve", "my notes/a", "--take", "journal", code=4).stderr
        assert "accept that it is gone" in refused
        assert "journal)" not in refused
        cli("put", "my notes/a.json", given="1")
        assert "--kind" in cli("resolve", "my notes/a", "--take", "file", code=2).stderr
        assert (
            "nothing to resolve"
            in cli("resolve", "my notes/a.json", "--take", "file", code=2).stderr
        )
        cli("rm", "my notes/a.json")
        resolved = cli("resolve", "my notes/a", "--take", "file", "--json")
        told = json.loads(resolved.stdout)
        assert (told["kind"], told["version"]) == ("markdown", None)
        cli("cat", "my notes/a", code=3)
    finally:
        store.close()


def test_a_file_that_was_removed_may_stay_so(cli, store_path):
    with open_store(store_path, quiet_fold_s=3600) as store:
        store.save_json("n", "a", {"x": 1})
        store.patch("n", "a", [{"op": "replace", "path": "/x", "value": 2}])
        (store_path / "n" / "a.json").unlink()
        taken = cli("resolve", "n/a", "--take", "file").stdout
    assert taken == "n/a: took the file: it is deleted\n"


def test_salvage_reads_what_is_intact(cli, store_path):
    store = open_store(store_path)
    store.save_json("n", "a", {"x": 0})
    for value in (1, 2, 3):
        store.patch("n", "a", [{"op": "replace", "path": "/x", "value": value}])
    journal = store_path / "n" / "a.jsonl"
    lines = journal.read_bytes().rstrip(b" ").splitlines(keepends=True)
    lines[-2] = lines[-2].replace(b'"value":2', b'"value":9')
    journal.write_bytes(b"".join(lines))
    try:
        damaged = cli("cat", "n/a", code=5).stderr
        assert "a.jsonl" in damaged
        assert "`plainstate cat n/a.json --salvage` prints what is intact" in damaged
        assert "`plainstate repair --cut`" in damaged
        assert "aside" not in damaged  # of a document that has only a journal that is everything
        assert json.loads(cli("cat", "n/a", "--salvage").stdout) == {"x": 1}
        salvaged = json.loads(cli("cat", "n/a", "--salvage", "--json").stdout)
        assert salvaged["version"] is None
    finally:
        with pytest.raises(Exception, match=r"a\.jsonl"):
            store.close()
