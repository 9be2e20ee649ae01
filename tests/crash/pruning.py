"""Moving sessions to the trash, back, and out of it, as operations of a run."""

from collections.abc import Callable
from datetime import timedelta

from harness import Effect, Run, State

from plainstate.engines.file.engine import FileEngine
from plainstate.errors import OutcomeUnknownError, PlainstateError
from plainstate.retention import RetentionMethods
from plainstate.session import Session
from plainstate.types import DocumentId

FIRST = DocumentId("sessions", "1")
SECOND = DocumentId("sessions", "2")


class Pruner(RetentionMethods):
    """The store's methods, on an engine."""

    def __init__(self, engine: FileEngine) -> None:
        self._engine = engine


def trashed(session: DocumentId, run_number: int = 1) -> DocumentId:
    return DocumentId(f".plainstate/trash/run-{run_number}", session.name)


def create(run: Run, session: DocumentId) -> None:
    """A session as the store knows it; the harness adds items to it."""
    tree = {**Session.with_id("ada", session.name).to_tree(), "items": []}
    tree["created_at"] = tree["updated_at"] = f"2026-01-01T00:00:0{session.name}Z"
    made = [{"op": "add", "path": "", "value": tree}]
    run._do(
        session,
        lambda state: state.update({session: tree}),
        lambda: run.engine("a").append(session, lambda _: made),
    )


def prune(run: Run, *sessions: DocumentId, run_number: int = 1) -> None:
    for session in sessions:
        run._note(trashed(session, run_number))
    _step_by_step(
        run,
        [moving(session, trashed(session, run_number)) for session in sessions],
        lambda pruner: pruner.prune_sessions(keep_last=0),
    )


def restore(run: Run, session: DocumentId) -> None:
    _step_by_step(
        run,
        [moving(trashed(session), session)],
        lambda pruner: pruner.restore_session(session.name, run="run-1"),
    )


def empty(run: Run, *sessions: DocumentId) -> None:
    for session in sessions:
        run.seqs.pop(trashed(session), None)  # numbers begin anew
    _step_by_step(
        run,
        [forgetting(trashed(session)) for session in sessions],
        lambda pruner: pruner.empty_trash(older_than=timedelta(0)),
    )


def moving(source: DocumentId, target: DocumentId) -> Effect:
    def effect(state: State) -> None:
        if source in state:  # a run before has moved it, or a fault keeps it
            state[target] = state.pop(source)

    return effect


def forgetting(document: DocumentId) -> Effect:
    return lambda state: state.pop(document, None)


def _step_by_step(run: Run, effects: list[Effect], call: Callable[[Pruner], object]) -> None:
    """What may stop after each of its steps, also with an error."""

    def attempt() -> object:
        try:
            return call(Pruner(run.engine("a")))
        except PlainstateError as error:
            raise OutcomeUnknownError(f"{error!r}", errno=0, path="") from error

    run._attempt(None, effects, attempt)
