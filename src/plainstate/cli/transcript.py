"""A session on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainstate.archive.transcript import actions, speaker, turns
from plainstate.cli import render

if TYPE_CHECKING:
    from plainstate import Session
    from plainstate.types import Json

__all__ = ["as_json", "as_text"]

_INDENT = "    "


def as_text(session: Session) -> str:
    """The transcript, with a header."""
    views, said = session.turns(), turns(session)
    users, agents = len(session.user_messages), len(session.agent_responses)
    owner = render.one_line(session.user_id)
    created, changed = render.instant(session.created_at), render.instant(session.updated_at)
    header = [
        f"sessions/{session.id}  user {owner}  version {session.version}",
        f"{render.plural(len(said), 'message')} ({users:,} user, {agents:,} agent)",
        f"created {created}, changed {changed} UTC",
    ]
    title = session.get_metadata("title")
    if isinstance(title, str):
        header.append(f"title: {render.one_line(title)}")
    parts = ["\n".join(header)]
    for number, (view, turn) in enumerate(zip(views, said, strict=True), 1):
        head = f"[{number}] {render.one_line(speaker(turn))}  {render.instant(view.timestamp)}"
        lines = [line for text in (view.content, *actions(turn)) for line in _lines(text)]
        parts.append("\n".join([head, *lines]))
    return "\n\n".join(parts)


def as_json(session: Session) -> Json:
    """The session with its turns in order, each with its `side`."""
    tree = session.to_tree()
    del tree["user_messages"], tree["agent_responses"]
    return {
        "document": f"sessions/{session.id}",
        "kind": "json",
        "version": session.version,
        "session": tree,
        "turns": [{"side": turn.side, **turn.tree} for turn in turns(session)],
    }


def _lines(text: str) -> list[str]:
    return [(_INDENT + line).rstrip() for line in render.clean(text).split("\n")] if text else []
