"""Transcripts are readable, and nothing that was said gets out of its turn."""

import io
import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from plainstate import AgentResponse, Session, open_store
from plainstate.archive.transcript import as_markdown
from plainstate.errors import AlreadyExistsError
from plainstate.types import DocumentId

NASTY = st.lists(
    st.sampled_from(
        [
            *(
                "# Title",
                "## 2. user, now",
                "===",
                "---",
                "```",
                "~~~~",
                "`````json",
                "> quote",
                "- x",
            ),
            *(
                "<details>",
                "</details>",
                "<!--",
                "-->",
                "<script>",
                "</blockquote>",
                "<b>",
                "&lt;p>",
            ),
            *("[a]: http://x", "[a]", "[^1]: note", "    code", "\tcode", "| a | b |", "|---|---|"),
            *(
                "\n",
                "\r",
                "\r\n",
                "\n\n",
                " ",
                "text",
                "`",
                "\\",
                "\0",
                "\x0b",
                "\u2028",
                "*",
                "1. x",
            ),
        ]
    )
)
NASTY = NASTY.map("".join) | NASTY.map("\n".join)
TEXTS = NASTY | st.text(st.characters(exclude_categories=["Cs"]))


def read(text: str):
    """How an independent reader of CommonMark understands it: blocks, and link definitions."""
    env = {}
    return MarkdownIt("commonmark").parse(text, env), env


@given(said=st.lists(st.tuples(st.booleans(), TEXTS, TEXTS), max_size=4), title=TEXTS, user=TEXTS)
@example(said=[(True, "[a]: http://x\n\n[a]", "")], title="", user="a` <b> `b")
@example(said=[(True, "<b>\n````\n# x", "``` `")], title="x", user="` `` [a](b)")
@example(said=[(True, "a\r# x\r\r- y", "")], title="x", user="x")
@example(said=[(True, "```\nopen", ""), (False, "</details>\n<!--", "```")], title="`#", user="<b>")
def test_the_structure_is_ours(said, title, user):
    session = Session.with_id(user or "ada", "s-1")
    session.set_metadata("title", title)
    session.set_metadata("x", title)
    for by_user, text, more in said:
        add = session.add_user_message if by_user else session.add_agent_response
        add(text, metadata={"role": more, "tool_calls": [{"function": {"name": more}}]})
    tokens, env = read(as_markdown(session))
    assert env.get("references", {}) == {}
    outer = [token for token in tokens if token.level == 0]
    headings = [
        (token.tag, tokens[tokens.index(token) + 1].content)
        for token in outer
        if token.type == "heading_open"
    ]
    assert [tag for tag, _ in headings] == ["h1"] + ["h2"] * len(said)
    assert [text.split(".")[0] for _, text in headings[1:]] == [
        str(number) for number in range(1, len(said) + 1)
    ]
    html = [token.content.strip() for token in tokens if token.type == "html_block"]
    folded = "<details><summary>more about the {}</summary>"
    message = [folded.format("message"), "</details>"]
    assert html == [folded.format("session"), "</details>"] + message * len(said)
    inline = [child.type for token in tokens for child in token.children or []]
    assert "html_inline" not in inline


@given(text=TEXTS)
def test_a_fenced_text_is_exact(text):
    session = Session.with_id("ada", "s-1")
    session.add_user_message(text + "<b>")  # HTML: it stands in a fence
    (fence,) = [token for token in read(as_markdown(session))[0] if token.type == "fence"]
    plain = (text + "<b>").replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    assert fence.content == plain + "\n"


def test_a_transcript(tmp_path):
    with open_store("memory:") as store:
        session = Session.with_id("ada", "s-1")
        session.set_metadata("title", "About *6 x 7*")
        session.add_user_message("What is\n\n6 x 7?")
        session.add_agent_response(
            AgentResponse(
                "",
                seed_id="seed-1",
                metadata={"tool_calls": [{"function": {"name": "calc", "arguments": "{}"}}]},
            )
        )
        session.add_agent_response("Use `<b>`: 42")
        store.save_session(session)
        store.patch("sessions", "s-1", [{"op": "add", "path": "/newer", "value": "kept"}])
        store.save_markdown("notes", "plan", "# Plan\n<b>")
        store.save_json("plans", "today", {"n": 1})
        store.save_markdown("sessions", "s-1", "beside it")
        report = store.export_markdown(tmp_path / "out")
        assert report.documents == 3
        assert [one.file for one in report.left_out] == ["sessions/s-1.md"]
        turns = store.load_session("s-1").turns()
    text = (tmp_path / "out/sessions/s-1.md").read_text(encoding="utf-8")
    stamps = [turn.timestamp.isoformat().replace("+00:00", "Z") for turn in turns]
    assert text.startswith("# About \\*6 x 7\\*\n\n- session: `s-1`\n- user: `ada`\n")
    assert '"newer": "kept"' in text
    assert f"## 1. user, {stamps[0]}\n\n> What is\n>\n> 6 x 7?\n\n" in text
    assert f"## 2. agent, {stamps[1]}\n\n```text\n→ calc {{}}\n```\n\n<details>" in text
    assert '"seed_id": "seed-1"' in text
    assert f"## 3. agent, {stamps[2]}\n\n```text\nUse `<b>`: 42\n```\n" in text
    assert (tmp_path / "out/notes/plan.md").read_text() == "# Plan\n<b>"
    assert (tmp_path / "out/plans/today.json").read_text() == '{\n  "n": 1\n}\n'
    assert report.size_bytes == sum(
        path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file()
    )


def test_only_a_new_or_empty_folder(tmp_path):
    with open_store("memory:") as store:
        store.append_user_message("s-1", "Hello", user_id="ada")
        store.append_user_message("s-2", "Hello", user_id="ada")
        (tmp_path / "empty").mkdir()
        store.export_markdown(tmp_path / "empty", session_id="s-1")
        assert os.listdir(tmp_path / "empty/sessions") == ["s-1.md"]
        (tmp_path / "file").touch()
        (tmp_path / "link").symlink_to(tmp_path)
        for taken in ("empty", "file", "link"):
            with pytest.raises(AlreadyExistsError):
                store.export_markdown(tmp_path / taken)
        assert os.listdir(tmp_path / "empty/sessions") == ["s-1.md"]
        assert sorted(os.listdir(tmp_path)) == ["empty", "file", "link"]


def test_what_is_no_session_is_told(tmp_path):
    with open_store("memory:") as store:
        store._engine.replace(DocumentId("sessions", "odd"), [1])
        store.append_user_message("s-1", "Hello", user_id="ada")
        report = store.export_markdown(tmp_path / "out")
        assert report.documents == 1
        assert report.left_out[0].file == "sessions/odd.json"
        assert "not a session" in report.left_out[0].reason
        assert store.export_archive(io.BytesIO()).documents == 2
