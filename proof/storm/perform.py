"""One call on a real store, blocking or async, and its outcome."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from plainstate import AsyncStateStore, Session, StateStore, UserMessage, retention
from plainstate.errors import (
    AlreadyExistsError,
    ConflictError,
    LockTimeoutError,
    NotFoundError,
)
from proof.storm.model import TRASH, Call, Outcome, Tokens

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["Store", "blocking", "kind_of", "perform", "text_of"]

Store: TypeAlias = StateStore | AsyncStateStore

T = TypeVar("T")

_USER: Final = "ada"
_OLD_USER: Final = "bob"
"""Whose sessions are pruned."""


async def perform(store: Store, call: Call) -> Outcome:
    """Makes a call.

    Raises:
        Exception: whatever the store must not do here.
    """
    try:
        if call.action in _STORE_CALLS:
            return await _on_store(store, call)
        return await _on_document(store, call)
    except ConflictError as error:
        return Outcome("conflict", error.current, loaded=call.action == "turn")
    except NotFoundError:
        return Outcome("absent")
    except AlreadyExistsError:
        return Outcome("exists")
    except LockTimeoutError:
        return Outcome("busy")


def blocking(work: Coroutine[Any, Any, T]) -> T:
    """Runs what never waits for anything, since its store is a blocking one."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("a blocking store does not wait in a loop")


def text_of(token: str) -> str:
    """What is written for a token: some bytes more, which depend on it alone."""
    return f"{token} {'x' * (sum(token.encode()) * 7919 % 160)}"


def kind_of(place: str) -> Any:
    """The kind of the document in a place."""
    return "markdown" if place.startswith("notes/") else "json"


_STORE_CALLS: Final = frozenset({"prune", "checkpoint", "check", "repair", "list"})


async def _on_store(store: Any, call: Call) -> Outcome:
    match call.action:
        case "prune":
            vars(retention)["_make_run"] = lambda: call.target  # so it is known after a kill, too
            report = await _done(store.prune_sessions(keep_last=0, user_id=_OLD_USER))
            return Outcome(moved=tuple(one.id for one in report.sessions))
        case "check":
            found = (await _done(store.check())).findings
            return Outcome(worse=_worse(found))
        case "repair":
            return Outcome(worse=_worse((await _done(store.repair())).left))
        case "list":
            found = await _done(store.list_sessions(user_id=_USER))
            return Outcome(counts={one.id: one.message_count for one in found})
    await _done(store.checkpoint())
    return Outcome()


async def _on_document(store: Any, call: Call) -> Outcome:
    category, _, name = call.place.rpartition("/")
    match call.action:
        case "read":
            return await _read(store, category, name)
        case "append":
            return _committed(await _append(store, call, name))
        case "patch":
            added = [{"op": "add", "path": "/-", "value": text_of(one)} for one in call.tokens]
            return _committed(await _done(store.patch(category, name, added, tx_id=call.tx_id)))
        case "transact":
            return await _transact(store, call, category, name)
        case "turn":
            return await _turn(store, call, name)
        case "save":
            return _committed(await _save(store, call, category, name))
        case "delete":
            return Outcome(gone=await _delete(store, call, category, name))
        case "move":
            return _committed(await _move(store, call, category, name))
    raise AssertionError(f"nobody performs {call.action}")


async def _save(store: Any, call: Call, category: str, name: str) -> Any:
    options = {"if_version": call.expected, "tx_id": call.tx_id}
    texts = [text_of(one) for one in call.tokens]
    if kind_of(call.place) == "markdown":
        text = "".join(f"{one}\n" for one in texts)
        return await _done(store.save_markdown(category, name, text, **options))
    return await _done(store.save_json(category, name, texts, **options))


async def _delete(store: Any, call: Call, category: str, name: str) -> Any:
    if category == "sessions":
        return await _done(store.delete_session(name))
    kind, expected = kind_of(call.place), call.expected
    gone = store.delete_file(category, name, kind=kind, if_version=expected, tx_id=call.tx_id)
    return await _done(gone)


async def _move(store: Any, call: Call, category: str, name: str) -> Any:
    if category.startswith(TRASH):
        run = category.removeprefix(f"{TRASH}/")
        return await _done(store.restore_session(name, run=run))
    new_category, _, new_name = call.target.rpartition("/")
    moved = store.rename(category, name, new_name, new_category=new_category, kind="json")
    return await _done(moved)


async def _read(store: Any, category: str, name: str) -> Outcome:
    if category == "sessions":
        session = await _done(store.load_session(name))
        if session is None:
            return Outcome()
        return Outcome(version=session.version, value=_tokens(_texts(session)))
    place = f"{category}/{name}"
    document = await _done(store.read(category, name, kind=kind_of(place)))
    if document is None:
        return Outcome()
    value = document.value
    texts = value.splitlines() if kind_of(place) == "markdown" else value
    return Outcome(version=document.version, value=_tokens(texts))


async def _append(store: Any, call: Call, name: str) -> Any:
    category = call.place.partition("/")[0]
    known = {"tx_id": call.tx_id}
    texts = [text_of(one) for one in call.tokens]
    if category == "notes":
        return await _done(store.append_markdown(category, name, f"{texts[0]}\n", **known))
    user = _OLD_USER if name.startswith("old") else _USER
    if len(texts) > 1:
        batch = [UserMessage(text) for text in texts]
        return await _done(store.append_messages(name, batch, user_id=user, **known))
    return await _done(store.append_agent_response(name, texts[0], user_id=user, **known))


async def _transact(store: Any, call: Call, category: str, name: str) -> Outcome:
    block = store.transaction(category, name, tx_id=call.tx_id)
    if isinstance(store, AsyncStateStore):
        async with block:
            seen = _add(block, call)
    else:
        with block:
            seen = _add(block, call)
    commit = block.commit
    return Outcome(version=commit.version, duplicate=commit.duplicate, value=seen)


def _add(block: Any, call: Call) -> Tokens | None:
    seen = None if block.value is None else _tokens(block.value)
    block.value = [*(block.value or []), *(text_of(one) for one in call.tokens)]
    return seen


async def _turn(store: Any, call: Call, name: str) -> Outcome:
    session = await _done(store.load_session(name))
    loaded = session is not None
    session = session or Session.with_id(_USER, name)
    for token in call.tokens:
        session.add_user_message(text_of(token))
    commit = await _done(store.save_session(session, tx_id=call.tx_id))
    return Outcome(version=commit.version, duplicate=commit.duplicate, loaded=loaded)


def _texts(session: Session) -> list[str]:
    return [turn.content for turn in session.turns()]


def _tokens(texts: list[str]) -> Tokens:
    """The tokens of texts; a text that nobody wrote is one of its own."""
    tokens = tuple(text.partition(" ")[0] for text in texts)
    return tuple(
        token if text == text_of(token) else f"not written: {text!r}"
        for token, text in zip(tokens, texts, strict=True)
    )


def _committed(commit: Any) -> Outcome:
    return Outcome(version=commit.version, duplicate=commit.duplicate)


def _worse(found: Any) -> tuple[str, ...]:
    return tuple(f"{one.code}: {one.message}" for one in found if one.severity != "note")


async def _done(result: Any) -> Any:
    """What a method gives, of either face."""
    return await result if inspect.isawaitable(result) else result
