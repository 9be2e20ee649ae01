"""Two processes and a person, one of them stopped at each system call while another works.

The first process makes one call of the engine.  Before each call that this makes to the disk,
in one run each, another process or a person does a whole operation.  A reader looks at every
one of these moments: what it sees is explained by some order of the two, and never runs backwards.
"""

import copy
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from plainstate.engines.file.engine import FileEngine
from plainstate.errors import (
    EditConflictError,
    LockTimeoutError,
    NotFoundError,
    PatchFailedError,
    UsageError,
)
from plainstate.testing.crashfs import CrashFileSystem
from plainstate.types import DocumentId, Head, Patch

sys.path.insert(0, str(Path(__file__).parent / "crash"))

from harness import (
    BASE,
    Clock,
    Effect,
    State,
    adding,
    canonical,
    canonical_state,
    holding,
    patching,
    plain_path,
    same_every_time,
    write_file,
)

X = DocumentId("sessions", "x")
Y = DocumentId("sessions", "y")

REFUSED = (LockTimeoutError, NotFoundError, PatchFailedError, UsageError, EditConflictError)


class PausingFileSystem:
    """Calls `pause` before each call to the disk.

    Attributes:
        pause: gets the name and the arguments of the coming call.
    """

    def __init__(self, inner: CrashFileSystem) -> None:
        self._inner = inner
        self.pause: Callable[[str, tuple[Any, ...]], None] | None = None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def call(*args: Any, **options: Any) -> Any:
            if self.pause is not None:
                self.pause(name, args)
            return method(*args, **options)

        return call


class Operation(NamedTuple):
    """What somebody does, and what that does to the state; it may refuse with `KeyError`."""

    call: Callable[[FileEngine], object]
    effect: Effect


def nothing(_: State) -> None:
    pass


def operations(who: str) -> dict[str, Operation]:
    """What a process can do."""
    saved = holding(X, (f"{who} saved",))

    def patch(head: Head) -> Patch:
        if head.version is None:
            raise NotFoundError(f"no {X}", hint="Create it.", document=str(X))
        return [{"op": "add", "path": f"/{who}", "value": 1}]

    def move(state: State) -> None:
        if Y in state:
            raise KeyError(Y)
        state[Y] = state.pop(X)

    return {
        "append": Operation(lambda e: e.append(X, patching(X, (who,))), adding(X, (who,))),
        "save": Operation(
            lambda e: e.replace(X, saved),
            lambda state: state.update({X: copy.deepcopy(saved)}),
        ),
        "patch": Operation(lambda e: e.append(X, patch), lambda state: state[X].update({who: 1})),
        "delete": Operation(lambda e: e.delete(X), lambda state: state.pop(X, None)),
        "rename": Operation(lambda e: e.rename(X, Y), move),
        "fold": Operation(lambda e: e.checkpoint(), nothing),
    }


def resolve(engine: FileEngine) -> None:
    with engine.lock(X) as locked:
        locked.resolve("file")


def edit(disk: CrashFileSystem, **members: Any) -> Any:
    """A person changes the plain file with an editor that saves safely."""
    value = {**json.loads(disk.content(plain_path(X)) or b""), **members}
    write_file(disk, f"{BASE}/{X.category}/editor~", canonical(value).encode())
    disk.rename(f"{BASE}/{X.category}/editor~", plain_path(X))
    return value


class Meeting:
    """One document, and everybody who works on it.

    Attributes:
        state: what the store held in the beginning.
        done: effects of what was done since; their order is not known.
        in_conflict: an edit by hand waits for a decision.
    """

    def __init__(self, *, in_conflict: bool) -> None:
        self.disk = CrashFileSystem()
        self.disk.make_folder("/data")
        self._clock = Clock()
        self.fs = PausingFileSystem(self.disk.spawn())
        self.first, self.second = self.open(self.fs), self.open()
        self.reader = self.open()
        self.state: State = {X: {**holding(X, ("0", "1")), "count": 0}}
        self.done: list[Effect] = []
        self.in_conflict = in_conflict
        self._seqs: dict[DocumentId, int] = {}
        self._versions: dict[tuple[DocumentId, str], str] = {}
        self._prepare()

    def open(self, fs: Any = None) -> FileEngine:
        fs = fs or self.disk.spawn()
        return FileEngine(BASE, fs=fs, clock_ns=self._clock, quiet_fold_s=3600, lock_timeout_s=0)

    def _prepare(self) -> None:
        """Turns wait in the journal; every handle has looked at the documents."""
        self.first.replace(X, {**holding(X, ("0",)), "count": 0})
        self.first.append(X, patching(X, ("1",)))
        for engine in (self.first, self.second):
            for document in (X, Y):
                with engine.lock(document) as locked:
                    assert (locked.head.version is not None) == (document == X)
        if self.in_conflict:
            self.first.append(X, lambda _: [{"op": "replace", "path": "/count", "value": 1}])
            edit(self.disk, count=10)
            self.state = {X: {**holding(X, ("0",)), "count": 10}}

    def edit(self) -> None:
        """A person adds to the file, if it is there."""

        if self.disk.content(plain_path(X)) is None:
            return
        edited = edit(self.disk, by_hand=1)

        def effect(state: State) -> None:
            if X in state:
                state[X]["by_hand"] = 1
            elif Y not in state:  # deleted before: the editor has put the file back
                state[X] = edited

        self.done.append(effect)

    def do(self, operation: Operation, engine: FileEngine) -> None:
        """Does an operation.  It is in `done` from its beginning, unless it is refused."""
        self.done.append(operation.effect)
        try:
            operation.call(engine)
        except REFUSED as error:
            if isinstance(error, EditConflictError):
                assert self.in_conflict, "a conflict where there is none"
            self.done.remove(operation.effect)

    def look(self) -> State:
        """Reads the documents; numbers grow, and a version is one value for ever."""
        state: State = {}
        for document in (X, Y):
            try:
                found = self.reader.read(document)
            except EditConflictError:
                assert self.in_conflict, "a conflict where there is none"
                continue
            if found is None:
                continue
            state[document] = found.value
            assert found.seq >= self._seqs.get(document, 0), f"{document} runs backwards"
            self._seqs[document] = found.seq
            value = canonical(found.value)
            assert self._versions.setdefault((document, found.version), value) == value
        return state

    def orders(self) -> Iterator[State]:
        """The state after each order in which what was done may have been done."""
        for order in itertools.permutations(self.done):
            state = copy.deepcopy(self.state)
            try:
                for effect in order:
                    effect(state)
            except KeyError:
                continue
            yield state


def stop_at(call: int, first: str, second: str, *, in_conflict: bool) -> bool:
    """`second` happens before the `call`-th call of `first`; `False` if that has fewer."""
    meeting = Meeting(in_conflict=in_conflict)
    calls = itertools.count(1)
    reached = False

    def pause(name: str, args: tuple[Any, ...]) -> None:
        nonlocal reached
        meeting.look()
        if next(calls) != call:
            return
        reached = True
        # an edit between the last look at a file and the rename over it is lost: POSIX has no
        # rename that compares
        if second == "edit" and not (name == "rename" and args[1] == plain_path(X)):
            meeting.edit()
        elif second != "edit":
            meeting.do(actions("second")[second], meeting.second)
        meeting.look()

    # while a save is under way, nobody can say whether the edit is of the old file or of the new
    meeting.in_conflict |= (first, second) == ("save", "edit")
    meeting.fs.pause = pause
    meeting.do(actions("first")[first], meeting.first)
    meeting.fs.pause = None
    meeting.in_conflict = in_conflict
    if reached:
        judge(meeting)
    return reached


def actions(who: str) -> dict[str, Operation]:
    return {**operations(who), "resolve": Operation(resolve, nothing)}


def judge(meeting: Meeting) -> None:
    """The two happened in some order; both handles go on; the plain file holds everything."""
    try:
        meeting.reader.read(X)
    except EditConflictError:
        assert meeting.in_conflict
        resolve(meeting.second)
    found = meeting.look()
    expected = {canonical_state(state) for state in meeting.orders()}
    assert canonical_state(found) in expected
    for engine, text in ((meeting.first, "later"), (meeting.second, "last")):
        engine.append(X, patching(X, (text,)))
        adding(X, (text,))(found)
        assert canonical_state(meeting.look()) == canonical_state(found)
    meeting.first.close()
    meeting.second.close()
    plain = {name: meeting.disk.content(plain_path(name)) for name in (X, Y)}
    held = {name: json.loads(data) for name, data in plain.items() if data is not None}
    assert canonical_state(held) == canonical_state(found)


FIRST = list(operations(""))


@pytest.mark.parametrize("second", [*FIRST, "edit"])
@pytest.mark.parametrize("first", FIRST)
def test_pair(first: str, second: str):
    every_call(first, second, in_conflict=False)


@pytest.mark.parametrize("other", [*FIRST, "resolve", "edit"])
def test_resolving_beside(other: str):
    every_call("resolve", other, in_conflict=True)


@pytest.mark.parametrize("other", FIRST)
def test_resolved_meanwhile(other: str):
    every_call(other, "resolve", in_conflict=True)


def every_call(first: str, second: str, *, in_conflict: bool) -> None:
    for call in itertools.count(1):
        with same_every_time():
            if not stop_at(call, first, second, in_conflict=in_conflict):
                break
    assert call > 3
