"""Runs scenarios against the file engine, and judges what a crash leaves of them.

A `Run` does operations one by one and keeps, beside the engine, every state the store
may have if it stopped right now: one, if all was acknowledged; with an operation
in flight those before and after it.  `check` opens what a crash left, compares it
with those states, and goes on working with it.
"""

import copy
import errno
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from feeds import check_feed

import plainstate.engines.file.document as document_module
import plainstate.engines.file.engine as engine_module
import plainstate.engines.file.folding as folding_module
import plainstate.retention as retention_module
from plainstate.core.ids import IdMaker
from plainstate.engines.base import Append
from plainstate.engines.file.document import FileDocument
from plainstate.engines.file.engine import FileEngine
from plainstate.engines.file.feed import Feed
from plainstate.engines.file.group import Pending
from plainstate.engines.file.writers import Registration
from plainstate.errors import (
    ConflictError,
    EditConflictError,
    NotFoundError,
    OutcomeUnknownError,
    PlainstateError,
)
from plainstate.fs.base import FileSystem
from plainstate.history import HistoryMethods
from plainstate.testing.crashfs import CrashFileSystem
from plainstate.types import Commit, DocumentId, Patch

BASE = "/data/store"

NEVER_S = 10**7
"""How long a quiet document waits to be folded: longer than any run of the tests, because the
thread of a handle whose process was killed only ends with the tests."""

State = dict[DocumentId, Any]
"""The value of every document that exists."""

Effect = Callable[[State], None]
"""Changes a state as an operation changes the store."""

Scenario = Callable[["Run"], None]


class Violation(AssertionError):  # noqa: N818 - it is the engine that errs, not this code
    """The engine broke a promise."""


BROKEN = (PlainstateError, AssertionError, OSError)
"""How a broken promise shows.  Any other error is a mistake in a program, in a mutant for
example, and must not pass for one."""


class Clock:
    """A clock that all processes of one run share; it never stands still."""

    def __init__(self, ms: int = 1_767_225_600_000) -> None:
        self.ms = ms

    def __call__(self) -> int:
        self.ms += 1
        return self.ms * 1_000_000


class _NoBackground:
    """Housekeeping at random moments would make each run another one."""

    def __init__(self, *args: object, **options: object) -> None:
        del args, options

    def hurry(self) -> None:
        pass

    def stop(self) -> None:
        pass


@contextmanager
def same_every_time() -> Iterator[None]:
    """Takes threads and random numbers out of the engine, so that call n is always the same one."""
    processes = itertools.count()

    def make_ids(clock_ns: Callable[[], int], _: object) -> IdMaker:
        process = next(processes)
        return IdMaker(clock_ns, process.to_bytes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "Background", _NoBackground)
        patch.setattr(engine_module, "IdMaker", make_ids)
        runs = itertools.count(1)
        patch.setattr(retention_module, "_make_run", lambda: f"run-{next(runs)}")
        patch.setattr(retention_module, "time", SimpleNamespace(time_ns=lambda: 10**18))
        for module in (document_module, folding_module):
            patch.setattr(
                module, "FOLD_FLOOR_BYTES", module.FOLD_FLOOR_BYTES
            )  # put back at the end
        yield


class _Face(HistoryMethods):
    """The store's methods for the past, on an engine of the run."""

    def __init__(self, engine: FileEngine) -> None:
        self._engine = engine


def mute_feed(patch: pytest.MonkeyPatch) -> None:
    """Lets the engine write no change feed, and nobody look at it."""
    patch.setattr(Feed, "tell", lambda *_: True)
    patch.setattr(Registration, "note", lambda *_: None)
    patch.setattr(sys.modules[__name__], "check_feed", lambda *_, **__: None)


class Run:
    """One run of a scenario.

    Attributes:
        disk: what the engine's calls go to in the end; a person's editor uses it, too.
        possible: the states that the store may have now.
        documents: every document that was touched.
        acknowledged: the ids of transactions, of which a retry must change nothing.
        versions: the value that each version stands for.
        seqs: the number of the last acknowledged transaction of each document.
        past: with history kept, the value behind each acknowledged transaction, by its number.
        commits: document, number and version of every commit that was acknowledged or seen.
        edited: a person changed a file; only a look at it tells the change feed.
        feed_lost: a power cut may have taken lines from the change feed.
        first_call: crashes before this one are not this scenario's business.
        tolerant: operations may fail, and then the run goes on.
        said: what they said when they failed.
        in_flight: the transaction that was not acknowledged yet.
        begun: called when the scenario becomes interesting.
    """

    def __init__(
        self, disk: CrashFileSystem, *, fs: FileSystem | None = None, tolerant: bool = False
    ) -> None:
        self.disk = disk
        self.fs = fs or disk
        self.clock = Clock()
        self.possible: list[State] = [{}]
        self.documents: list[DocumentId] = []
        self.acknowledged: dict[str, DocumentId] = {}
        self.versions: dict[tuple[DocumentId, str], str] = {}
        self.seqs: dict[DocumentId, int] = {}
        self.past: dict[DocumentId, dict[int, str]] = {}
        self.options: dict[str, Any] = {}
        self.moving: dict[DocumentId, DocumentId] = {}
        self.moved_once: tuple[DocumentId, DocumentId] | None = None
        self._edited: dict[DocumentId, tuple[int, str]] = {}
        self.commits: set[tuple[DocumentId, int, str | None]] = set()
        self.edited = self.feed_lost = False
        self.first_call = 1
        self.said: list[str] = []
        self.in_flight: tuple[str, DocumentId] | None = None
        self.tolerant = tolerant
        self.begun: Callable[[], None] = lambda: None
        self._engines: dict[str, FileEngine] = {}
        self._last_id = 0
        self._loose = False

    def begin(self) -> None:
        """From here on the scenario is interesting."""
        self.first_call = self.disk.calls + 1
        self.begun()

    def keep_history(self, limit: int = 1_000_000) -> None:
        self.options = {"history": "keep", "history_bytes": limit}

    def fold_floor(self, size: int) -> None:
        document_module.FOLD_FLOOR_BYTES = folding_module.FOLD_FLOOR_BYTES = size

    def copy(self, disk: CrashFileSystem) -> "Run":
        """The same knowledge, for one of several possible futures."""
        other = Run(disk)
        other.clock = Clock(self.clock.ms)
        other.possible = copy.deepcopy(self.possible)
        other.documents = list(self.documents)
        other.acknowledged = dict(self.acknowledged)
        other.versions = dict(self.versions)
        other.seqs = dict(self.seqs)
        other.past = copy.deepcopy(self.past)
        other.options = self.options
        other.moving = dict(self.moving)
        other.moved_once = self.moved_once
        other._edited = dict(self._edited)
        other.commits = set(self.commits)
        other.edited, other.feed_lost = self.edited, self.feed_lost
        other.said = list(self.said)
        other.in_flight = self.in_flight
        other._last_id = self._last_id
        return other

    # --- operations ---

    def append(self, document: DocumentId, text: str, *, by: str = "a") -> None:
        """Adds one item, creating the document where it is missing."""
        self.batch(document, text, by=by)

    def batch(self, document: DocumentId, *texts: str, by: str = "a") -> None:
        """Adds several items in one transaction."""
        tx_id = self._tx_id()
        self._do(
            document,
            adding(document, texts),
            lambda: self.engine(by).append(document, patching(document, texts), tx_id=tx_id),
            tx_id,
        )

    def retry(self, tx_id: str, document: DocumentId) -> None:
        """Commits a transaction that may be there; whether it is, reading has told."""
        engine = self.engine("a")
        with engine.lock(document) as locked:
            assert locked.head
            known = tx_id in engine._access.entries._entries[document].file.recent
        change = patching(document, ("retried;",))

        def effect(state: State) -> None:
            if not known:
                adding(document, ("retried;",))(state)

        self._do(document, effect, lambda: engine.append(document, change, tx_id=tx_id), tx_id)

    def append_unsynced(self, document: DocumentId, text: str) -> None:
        """Adds one item with durability="os": until the next sync, a power cut may lose it."""
        newest = _after(self.possible[-1], adding(document, (text,)))
        self.possible = _distinct([*self.possible, newest])
        self._loose = True
        change = patching(document, (text,))
        self.engine("a").append(document, change, durability="os")

    def group(self, document: DocumentId, *texts: str) -> None:
        """Several transactions that the engine commits with one write."""
        tx_ids = [self._tx_id() for _ in texts]

        def call() -> Commit:
            engine = self.engine("a")
            entry = engine._access.entries.borrow(document)
            queue = entry.queue  # other threads wait for the same document
            for text, tx_id in zip(texts[:-1], tx_ids, strict=False):
                queue.append(Pending(patching(document, (text,)), tx_id, None, sync=True))
            try:
                return engine.append(document, patching(document, texts[-1:]), tx_id=tx_ids[-1])
            finally:
                entry.queue.clear()  # and do not come again
                engine._access.entries.give_back(entry)

        effects = [adding(document, (text,)) for text in texts]
        if self._attempt(document, effects, call) is not None:
            self.acknowledged.update(dict.fromkeys(tx_ids, document))

    def together(self, *pairs: tuple[DocumentId, str]) -> None:
        """Appends to several documents that the engine commits together; each has its outcome."""
        appends = [
            Append(document, patching(document, (text,)), self._tx_id(), None)
            for document, text in pairs
        ]
        for document, _ in pairs:
            self._note(document)
        before = self.possible
        self.possible = _distinct(
            _all_done(state, chosen) for state in before for chosen in _in_order(pairs)
        )
        self.engine("a").append_together(appends, _backwards)
        unsure, sure = [], []
        for append, pair in zip(appends, pairs, strict=True):
            try:
                self.commit_seen(append.document, append.outcome())
            except PlainstateError as error:
                if not self.tolerant:
                    raise
                self.said.append(repr(error))
                if isinstance(error, OutcomeUnknownError):
                    unsure.append(pair)
            else:
                sure.append(pair)
                self.acknowledged[append.tx_id] = append.document
        self.possible = _distinct(
            _all_done(state, [*sure, *chosen]) for state in before for chosen in _in_order(unsure)
        )

    @contextmanager
    def no_new_journal(self) -> Iterator[None]:
        """A journal that should begin anew after a replacement cannot."""
        rotate = FileDocument._rotate

        def fail(_: FileDocument) -> None:
            raise OSError(errno.ENOSPC, "full")

        FileDocument._rotate = fail  # type: ignore[method-assign]
        try:
            yield
        finally:
            FileDocument._rotate = rotate  # type: ignore[method-assign]

    def replace(
        self, document: DocumentId, *texts: str, with_id: bool = False, by: str = "a"
    ) -> None:
        """Makes a document that holds exactly these items."""
        tx_id = self._tx_id() if with_id else None
        value = holding(document, texts)
        self._do(
            document,
            lambda state: state.update({document: value}),
            lambda: self.engine(by).replace(document, copy.deepcopy(value), tx_id=tx_id),
            tx_id,
        )

    def delete(self, document: DocumentId) -> None:
        tx_id = self._tx_id()
        self._do(
            document,
            lambda state: state.pop(document, None),
            lambda: self.engine("a").delete(document, tx_id=tx_id),
            tx_id,
        )

    def rename(self, document: DocumentId, target: DocumentId) -> None:
        self._note(document)

        def move(state: State) -> None:
            if document in state:  # an earlier rename may have failed
                state[target] = state.pop(document)

        before = self.possible
        self.moving[target] = document
        self.moved_once = None if target in self.seqs else (document, target)
        if not self._do(target, move, lambda: self.engine("a").rename(document, target)):
            if self.possible is before:
                del self.moving[target]
            else:  # nobody knows whose past it has
                self.past.pop(target, None)
            return
        del self.moving[target]
        if self.options:
            there, seq = self.past.pop(target, {}), self.seqs[target]
            came = {seq: there[seq]} if seq in there else {}
            self.past[target] = self.past.pop(document, {}) | came  # in place of what was there

    def undo(self, document: DocumentId) -> None:
        """Takes the last transaction back."""
        tx_id = self._tx_id()
        past = self.past.get(document, {})
        if len(self.possible) > 1 or self.seqs.get(document, 0) - 1 not in past:
            return  # one of them failed, and nobody knows
        before = json.loads(past[self.seqs[document] - 1])

        def effect(state: State) -> None:
            state[document] = before

        def call() -> Commit:
            face = _Face(self.engine("a"))
            kind = document.kind
            return face.undo(document.category, document.name, kind=kind, tx_id=tx_id)

        self._do(document, effect, call, tx_id)

    def checkpoint(self) -> None:
        self._attempt(None, [], lambda: self.engine("a").checkpoint())

    def read(self, document: DocumentId, *, by: str = "a") -> None:
        self._attempt(None, [], lambda: self.engine(by).read(document))

    def look(self, document: DocumentId, *, by: str) -> None:
        """Lets an engine know the document, without writing it."""
        self._note(document)

        def call() -> None:
            with self.engine(by).lock(document) as locked:
                locked.head.value()

        self._attempt(None, [], call)

    def close(self, *, by: str = "a") -> None:
        engine = self._engines.pop(by, None)
        if engine is not None:
            self._attempt(None, [], engine.close)

    def edit(self, document: DocumentId, text: str) -> None:
        """A person adds an item to the plain file, with an editor that saves safely."""
        self.edited = True

        def call() -> None:
            edited = edit_text(document, self.disk.content(plain_path(document)) or b"", text)
            folder = f"{BASE}/{document.category}"
            write_file(self.disk, f"{folder}/.editor~", edited)
            self.disk.rename(f"{folder}/.editor~", plain_path(document))
            self.disk.sync_folder(folder)

        def effect(state: State) -> None:
            if document.kind == "json":
                state[document]["note"] = text
            else:
                state[document] = text + state[document]

        self._attempt(None, [effect], call)
        if self.options:
            try:
                found = self.open_engine(self.disk).read(document)
            except EditConflictError:
                return
            assert found is not None
            self._edited[document] = found.seq, canonical(found.value)

    def remove_by_hand(self, document: DocumentId) -> None:
        self.edited = True

        def call() -> None:
            self.disk.unlink(f"{BASE}/{document}.json")
            self.disk.sync_folder(f"{BASE}/{document.category}")

        self._attempt(None, [lambda state: state.pop(document, None)], call)

    def engine(self, name: str) -> FileEngine:
        """A handle of that name, opened at its first use."""
        if name not in self._engines:
            self._engines[name] = self.open_engine(self.fs)
        return self._engines[name]

    def open_engine(self, fs: FileSystem) -> FileEngine:
        return FileEngine(
            BASE,
            fs=fs,
            clock_ns=self.clock,
            quiet_fold_s=NEVER_S,
            lock_timeout_s=0,
            **self.options,
        )

    def use(self, name: str, engine: FileEngine) -> None:
        """Lets `engine`, perhaps one of another process, do what is done by `name`."""
        self._engines[name] = engine

    # --- keeping the books ---

    def _tx_id(self) -> str:
        self._last_id += 1
        return f"t-{self._last_id}"

    def _note(self, document: DocumentId) -> None:
        if document not in self.documents:
            self.documents.append(document)

    def _do(
        self,
        document: DocumentId,
        effect: Effect,
        call: Callable[[], Commit | None],
        tx_id: str | None = None,
    ) -> bool:
        self.in_flight = None if tx_id is None else (tx_id, document)
        done = self._attempt(document, [effect], call) is not None
        if done and tx_id is not None:
            self.acknowledged[tx_id] = document
        self.in_flight = None
        return done

    def _attempt(
        self, document: DocumentId | None, effects: list[Effect], call: Callable[[], Any]
    ) -> Any:
        if document is not None:
            self._note(document)
        before = self.possible
        stages = [before[-1:] if self._loose else before]
        for effect in effects:
            stages.append([_after(state, effect) for state in stages[-1]])
        self.possible = _distinct([*before, *itertools.chain.from_iterable(stages)])
        try:
            result = call()
        except OutcomeUnknownError as error:
            if not self.tolerant:
                raise
            self.said.append(f"{error!r} (unknown)")
            return None
        except PlainstateError as error:
            if not self.tolerant:
                raise
            self.said.append(repr(error))
            self.possible = before
            return None
        self.possible = _distinct(stages[-1])
        self._loose = False
        if document is not None and isinstance(result, Commit):
            self.commit_seen(document, result)
        return result

    def commit_seen(self, document: DocumentId, commit: Commit) -> None:
        if commit.duplicate:
            return
        if commit.seq <= self.seqs.get(document, 0):
            raise Violation(f"{document}: {commit.seq} was acknowledged twice")
        self.seqs[document] = commit.seq
        self.commits.add((document, commit.seq, commit.version))
        if len(self.possible) == 1:
            value = self.possible[0].get(document)
            self.version_seen(document, commit.version, value)
            if self.options:
                past = self.past.setdefault(document, {})
                past[commit.seq] = canonical(value)
                if document in self._edited:  # a write on top of an edit keeps it
                    seq, edited = self._edited.pop(document)
                    past[seq] = edited

    def found(self, states: dict[DocumentId, Any]) -> None:
        """Documents were read: what they are was committed."""
        for document, state in states.items():
            if state is not None:
                self.commits.add((document, state.seq, state.version))

    def version_seen(self, document: DocumentId, version: str, value: Any) -> None:
        text = canonical(value)
        known = self.versions.setdefault((document, version), text)
        if known != text:
            raise Violation(f"{document}: version {version} is {known} and {text}")


def _all_done(state: State, pairs: Iterable[tuple[DocumentId, str]]) -> State:
    for document, text in pairs:
        state = _after(state, adding(document, (text,)))
    return state


def _in_order(pairs: Iterable[tuple[DocumentId, str]]) -> Iterator[list[tuple[DocumentId, str]]]:
    """Every choice that has, of each document, the first few."""
    of_each: dict[DocumentId, list[tuple[DocumentId, str]]] = {}
    for document, text in pairs:
        of_each.setdefault(document, []).append((document, text))
    prefixes = [[some[:count] for count in range(len(some) + 1)] for some in of_each.values()]
    for chosen in itertools.product(*prefixes):
        yield list(itertools.chain.from_iterable(chosen))


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def canonical_state(state: State) -> str:
    return canonical({f"{name}:{name.kind}": value for name, value in state.items()})


def _after(state: State, effect: Effect) -> State:
    new = copy.deepcopy(state)
    effect(new)
    return new


def _distinct(states: Any) -> list[State]:
    return list({canonical_state(state): state for state in states}.values())


# --- what the documents hold ---


def plain_path(document: DocumentId) -> str:
    """The plain file of a document."""
    return f"{BASE}/{document}" + (".json" if document.kind == "json" else ".md")


def past_path(document: DocumentId) -> str:
    """The file of its history."""
    suffix = ".jsonl" if document.kind == "json" else ".mdl"
    return f"{BASE}/.plainstate/history/{document}{suffix}"


def holding(document: DocumentId, texts: tuple[str, ...]) -> Any:
    """A value with these items."""
    if document.kind == "markdown":
        return "".join(texts)
    return {"items": [item(document, text) for text in texts]}


def item(document: DocumentId, text: str) -> Any:
    """One item: messages of a session have a time, which makes each unlike all others."""
    return {"content": text, "timestamp": text} if document.category == "sessions" else text


def adding(document: DocumentId, texts: tuple[str, ...]) -> Effect:
    """The effect of adding items."""

    def effect(state: State) -> None:
        if document not in state:
            state[document] = holding(document, texts)
        elif document.kind == "markdown":
            state[document] += "".join(texts)
        else:
            state[document]["items"] += [item(document, text) for text in texts]

    return effect


def patching(document: DocumentId, texts: tuple[str, ...]) -> Callable[[Any], Patch]:
    """The change that adds items."""

    def change(head: Any) -> Patch:
        if head.version is None:
            return [{"op": "add", "path": "", "value": holding(document, texts)}]
        if document.kind == "markdown":
            return [{"op": "add", "path": "/-", "value": text} for text in texts]
        added = [item(document, text) for text in texts]
        return [{"op": "add", "path": "/items/-", "value": value} for value in added]

    return change


def edit_text(document: DocumentId, data: bytes, text: str) -> bytes:
    """What a person's editor saves."""
    if document.kind == "markdown":
        return text.encode() + data
    return json.dumps({**json.loads(data), "note": text}).encode()


def write_file(fs: FileSystem, path: str, data: bytes) -> None:
    fd = fs.open_append(path, create=True)
    fs.write(fd, data)
    fs.sync(fd)
    fs.close(fd)


# --- judging what is left ---


def check(
    run: Run,
    fs: CrashFileSystem,
    *,
    use: FileEngine | None = None,
    follow: Callable[[Run, FileEngine], None] | None = None,
) -> None:
    """Judges what the next process finds, and goes on writing.

    Args:
        run: what was done; its `possible` states are those it may find.  Changed.
        fs: the next process's file system.
        use: an engine that was open when another process died; a new one otherwise.
        follow: looks at the change feed before anybody goes on; otherwise that is done afterwards.

    Raises:
        Violation: the engine broke a promise.
    """
    run.tolerant = False
    try:
        engine = use or run.open_engine(fs)
        run.use("a", engine)
        found = _check_reading(run, fs, engine)
        _find_moved(run, engine)
        _check_past(run, engine)
        _check_recovery(engine, found)
        _check_only_past(run, fs, {one for one, value in found.items() if value is not None})
        _check_past(run, engine)
        run.found(found)
        if follow is not None:
            follow(run, engine)
        _check_going_on(run, engine, found)
        _check_past(run, engine)
        if follow is None:
            check_feed(run, engine)
        _check_at_rest(run, fs, engine)
    except BROKEN as error:
        raise Violation(f"{type(error).__name__}: {error}") from error


def go_on(run: Run) -> None:
    """A process reads what another one left, retries what was in flight, and writes on."""
    run.found(_check_reading(run, run.disk, run.engine("a")))
    _find_moved(run, run.engine("a"))
    for document in list(run.documents):
        if run.in_flight is not None and run.in_flight[1] == document:
            run.retry(*run.in_flight)
        else:
            run.append(document, "later;")


def _check_reading(run: Run, fs: CrashFileSystem, engine: FileEngine) -> dict[DocumentId, Any]:
    calls = fs.calls
    found = {document: engine.read(document) for document in run.documents}
    assert fs.calls == calls, "reading wrote something"
    state = narrow(run, engine)
    for name, known in found.items():
        if known is not None:
            assert known.seq >= run.seqs.get(name, 0), f"{name}: number {known.seq} runs backwards"
            run.version_seen(name, known.version, known.value)
    for category in {name.category for name in run.documents}:
        listed = {name for name in run.documents if name.category == category and name in state}
        names = {name for name, _ in engine.documents(category) if engine.read(name)}
        assert names == listed, f"{category} lists other documents"
    pruned = {name for name in state if is_pruned(name) and "user_id" in state[name]}
    assert pruned <= trash_of(engine) <= {*filter(is_pruned, state)}, "the trash lists others"
    return found


def is_pruned(document: DocumentId) -> bool:
    return document.category.startswith(".plainstate/trash/")


def trash_of(engine: FileEngine) -> set[DocumentId]:
    """What can be restored."""
    methods = retention_module.RetentionMethods()
    methods._engine = engine
    return {DocumentId(f".plainstate/trash/{one.run}", one.id) for one in methods.trash()}


def _check_past(run: Run, engine: FileEngine) -> None:
    """Every state that was acknowledged is still to be read, but for the oldest."""
    bounded = run.options.get("history_bytes", 1_000_000) < 1_000_000
    for document, past in run.past.items():
        dropped = False
        for seq, expected in sorted(past.items(), reverse=True):
            try:
                state = engine.read(document, at=seq)
            except NotFoundError:
                assert bounded, f"{document} at {seq} is not kept"
                assert seq < max(past), f"{document}: not even {seq} is kept"
                dropped = True
                continue
            assert not dropped, f"{document}: {seq} is kept, but not what comes behind it"
            found = canonical(None if state is None else state.value)
            assert found == expected, f"{document} at {seq} is {found}, expected {expected}"


def _check_only_past(run: Run, fs: CrashFileSystem, present: set[DocumentId]) -> None:
    """A rename to a new name, cut off or not, leaves the past only where the document is."""
    if run.moved_once is not None:
        for here, gone in itertools.permutations(run.moved_once):
            if here in present and gone not in present:
                assert fs.content(past_path(gone)) is None, f"{gone} has the past of {here}"
        run.moved_once = None


def _find_moved(run: Run, engine: FileEngine) -> None:
    """If a rename was under way, the past is where the document is."""
    for new, old in run.moving.items():
        if old in run.past and engine.read(old) is None:
            run.past[new] = run.past.pop(old)
    run.moving.clear()


def narrow(run: Run, engine: FileEngine) -> State:
    """Reading tells which of the possible states it is."""
    found = {document: engine.read(document) for document in run.documents}
    state = {name: known.value for name, known in found.items() if known is not None}
    possible = {canonical_state(one): one for one in run.possible}
    actual = canonical_state(state)
    assert actual in possible, f"found {actual}, expected {' or '.join(possible)}"
    run.possible = [possible[actual]]
    return state


def _check_recovery(engine: FileEngine, found: dict[DocumentId, Any]) -> None:
    """A writer that recovers the documents changes nothing that a reader saw."""
    for document, before in found.items():
        with engine.lock(document) as locked:
            head = locked.head
            value = head.value()
            head = locked.head
        after = engine.read(document)
        assert after == before, f"{document}: read {before}, after recovery {after}"
        version = None if before is None else before.version
        assert head.version == version, f"{document}: a writer sees {head.version}, not {version}"
        assert canonical(value) == canonical(None if before is None else before.value)


def _check_going_on(run: Run, engine: FileEngine, found: dict[DocumentId, Any]) -> None:
    for tx_id, document in run.acknowledged.items():
        try:
            commit = engine.append(document, patching(document, ("again",)), tx_id=tx_id)
        except ConflictError:
            # edited by hand before anybody saw a replacement take effect: refused, not repeated
            continue
        assert commit.duplicate, f"{document}: {tx_id} was committed again"
    for document, before in found.items():
        run.append(document, f"after crash {run.clock.ms};")
        if before is not None:
            assert run.seqs[document] == before.seq + 1, f"{document}: a number was skipped"
        _compare(run, engine, document)


def _check_at_rest(run: Run, fs: CrashFileSystem, engine: FileEngine) -> None:
    before = {document: engine.read(document) for document in run.documents}
    engine.close()
    later = run.open_engine(fs)
    _check_past(run, later)
    for document in run.documents:
        _compare(run, later, document)
        assert later.read(document) == before[document], f"{document} changed while it was closed"
        data = fs.content(plain_path(document))
        assert data is not None
        plain = json.loads(data) if document.kind == "json" else data.decode()
        assert canonical(plain) == canonical(run.possible[0][document])
    later.close()
    left = [path for path in fs.paths() if ".tmp-" in path or path.endswith((".jsonl", ".mdl"))]
    # heads, history and the change feed are meant to stay
    own = ("/.plainstate/heads/", "/.plainstate/history/", "/.plainstate/feed/")
    left = [path for path in left if not any(map(path.__contains__, own)) or ".tmp-" in path]
    left += [path for path in fs.paths() if "/writers/" in path]
    left = [path for path in left if "/.plainstate/.tmp-" not in path]
    assert not left, f"left behind: {left}"


def _compare(run: Run, engine: FileEngine, document: DocumentId) -> None:
    state = engine.read(document)
    assert state is not None
    expected = canonical(run.possible[0].get(document))
    assert canonical(state.value) == expected, f"{document} is {state.value}, expected {expected}"
    run.version_seen(document, state.version, state.value)


def _backwards(calls: Sequence[Callable[[], object]]) -> None:
    """Runs them one by one, in an order that nobody may count on."""
    for call in reversed(calls):
        call()
