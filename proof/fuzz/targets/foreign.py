"""Conversations in files of other programs."""

from __future__ import annotations

import os
from typing import Final

from plainstate import StateStore
from plainstate.cli import importing, imports
from plainstate.core import names
from plainstate.errors import AlreadyExistsError, InvalidNameError, InvalidValueError
from proof.fuzz.oracle import documented
from proof.fuzz.targets import scratch

__all__ = ["foreign"]

_REFUSALS: Final = (AlreadyExistsError, InvalidNameError, InvalidValueError)


def foreign(data: bytes) -> None:
    """What is imported can be restored to exactly the source, and is imported only once.

    Anything else is refused with a documented error.
    """
    path = os.path.join(scratch.folder("foreign"), "chats.json")
    with open(path, "wb") as file:
        file.write(data)
    with documented(*_REFUSALS), StateStore("memory:") as store:
        for found in imports.dialogues(path):
            session = importing.make_session(found.dialogue)
            names.check_name(session.id)
            assert importing.read_back_equal(session, found.dialogue.tree), "something was lost"
            assert importing.make_session(found.dialogue).id == session.id
            assert 0 < found.fraction <= 1
            created = imports.store_session(store, session)
            stored = store.load_session(session.id)
            assert stored is not None
            assert not imports.store_session(store, session) or not created
            assert importing.read_back_equal(stored, found.dialogue.tree)
