"""A session for reading: who said what, in order, with the tools that were called."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from plainstate import UserMessage
from plainstate.cli import render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plainstate import AgentResponse, Session
    from plainstate.types import Json

__all__ = ["as_json", "as_text"]

_INDENT = "    "

# Where formats of conversations say who spoke; see importing.py.
_SPEAKERS = ("role", "from", "speaker")
_PLAIN_ROLES = {"user", "human", "assistant", "gpt", "agent"}


def as_text(session: Session) -> str:
    """The transcript, with a header."""
    turns = session.turns()
    users, agents = len(session.user_messages), len(session.agent_responses)
    owner = render.one_line(session.user_id)
    created, changed = render.instant(session.created_at), render.instant(session.updated_at)
    lines = [
        f"sessions/{session.id}  user {owner}  version {session.version}",
        f"{render.plural(len(turns), 'message')} ({users:,} user, {agents:,} agent)",
        f"created {created}, changed {changed} UTC",
    ]
    title = session.get_metadata("title")
    if isinstance(title, str):
        lines.append(f"title: {render.one_line(title)}")
    parts = ["\n".join(lines)]
    for number, turn in enumerate(turns, 1):
        head = f"[{number}] {render.one_line(_speaker(turn))}  {render.instant(turn.timestamp)}"
        said = [line for text in (turn.content, *_actions(turn.metadata)) for line in _lines(text)]
        parts.append("\n".join([head, *said]))
    return "\n\n".join(parts)


def as_json(session: Session) -> Json:
    """The session with its turns in order, each with its `side`."""
    tree = session.to_tree()
    users, agents = tree.pop("user_messages"), tree.pop("agent_responses")
    waiting = {"user": iter(users), "agent": iter(agents)}
    sides = ["user" if isinstance(turn, UserMessage) else "agent" for turn in session.turns()]
    return {
        "document": f"sessions/{session.id}",
        "kind": "json",
        "version": session.version,
        "session": tree,
        "turns": [{"side": side, **next(waiting[side])} for side in sides],
    }


def _lines(text: str) -> list[str]:
    return [(_INDENT + line).rstrip() for line in render.clean(text).split("\n")] if text else []


def _speaker(turn: UserMessage | AgentResponse) -> str:
    side = "user" if isinstance(turn, UserMessage) else "agent"
    roles = [turn.metadata[key] for key in _SPEAKERS if isinstance(turn.metadata.get(key), str)]
    if not roles or roles[0].lower() in _PLAIN_ROLES:
        return side
    name = turn.metadata.get("name")
    return f"{side} ({roles[0]} {name})" if isinstance(name, str) else f"{side} ({roles[0]})"


def _actions(metadata: Any) -> Iterator[str]:
    """Tools that were called, and what came back, as chat formats note them."""
    for call in _objects(metadata.get("tool_calls")):
        function = call.get("function")
        if isinstance(function, dict):
            yield f"→ {function.get('name')} {_short(function.get('arguments'))}"
    for block in _objects(metadata.get("content")):
        if block.get("type") == "tool_use":
            yield f"→ {block.get('name')} {_short(block.get('input'))}"
        elif block.get("type") == "tool_result":
            yield f"← {_short(block.get('content'))}"
        elif block.get("type") not in ("text", "input_text", "output_text"):
            yield f"[{block.get('type')}]"


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
