"""Who writes what in the demo, and whether it all arrived: data in, data out.

Four writers share the conversations out among them; one conversation is written by all four at
once.  A turn carries its transaction id in its metadata, so that each stored message can be
told from every other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from plainstate import UserMessage
from plainstate.cli import importing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from plainstate import Session

__all__ = ["TX_KEY", "Ack", "Findings", "Turn", "examine", "make_plans"]

TX_KEY: Final = "tx"
"""The metadata key that holds a turn's transaction id."""

MAX_MESSAGES: Final = 480
"""More of a large file would only make the demo longer, not clearer."""


class Turn(Struct):
    """One message that a writer has to store."""

    tx_id: str
    session_id: str
    user_id: str
    by_user: bool
    content: str
    metadata: dict[str, Any]


class Ack(Struct):
    """What a writer notes when a call has returned."""

    tx_id: str
    seconds: float
    duplicate: bool


class Findings(Struct):
    """What the check found.

    Attributes:
        messages: how many are stored.
        lost: acknowledged, but not there; also if a retry put it there again.
        doubled: there more than once.
        altered: there, but not as it was sent, or never sent.
        disordered: behind a message that the same writer sent later.
    """

    messages: int
    lost: list[str]
    doubled: list[str]
    altered: list[str]
    disordered: list[str]

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.doubled or self.altered or self.disordered)


def make_plans(dialogues: Iterable[importing.Dialogue], writers: int) -> list[list[Turn]]:
    """Shares conversations out among writers.

    The first conversation is the shared one: each writer stores its share of it between the turns
    of its own conversations.
    """
    sessions: list[Session] = []
    messages = 0
    for dialogue in dialogues:
        session = importing.make_session(dialogue)
        messages += len(session.turns())
        if sessions and messages > MAX_MESSAGES:
            break
        sessions.append(session)
    plans: list[list[Turn]] = []
    for writer in range(writers):
        own = [session for n, session in enumerate(sessions[1:]) if n % writers == writer]
        turns = [turn for session in own for turn in _turns(session)]
        shared = _turns(sessions[0])[writer::writers] if sessions else []
        plans.append(_numbered(_interleaved(turns, shared), writer + 1))
    return plans


def examine(
    plans: Iterable[Iterable[Turn]], acks: Sequence[Ack], sessions: Mapping[str, Session]
) -> Findings:
    """Compares what is stored with what was planned and what was acknowledged.

    Args:
        plans: what each writer had to store, in its order.
        acks: what was acknowledged, each writer's in its order.
        sessions: what is stored, by id.
    """
    planned = {turn.tx_id: (place, turn) for plan in plans for place, turn in enumerate(plan)}
    findings = Findings(0, [], [], [], [])
    seen: set[str] = set()
    for session in sessions.values():
        newest: dict[str, int] = {}  # of each writer in this session
        for message in session.turns():
            findings.messages += 1
            tx_id = message.metadata.get(TX_KEY, "?")
            place, turn = planned.get(tx_id, (-1, None))
            if tx_id in seen:
                findings.doubled.append(tx_id)
            elif turn is None or not _is_as_sent(message, turn, str(session.id)):
                findings.altered.append(tx_id)
            seen.add(tx_id)
            writer = tx_id.partition("-")[0]
            if place < newest.get(writer, -1):
                findings.disordered.append(tx_id)
            newest[writer] = max(place, newest.get(writer, -1))
    findings.lost = sorted(_forgotten(acks) | {ack.tx_id for ack in acks} - seen)
    return findings


def _forgotten(acks: Iterable[Ack]) -> set[str]:
    """Turns that were acknowledged, and stored anew when they were sent again."""
    told: set[str] = set()
    forgotten: set[str] = set()
    for ack in acks:
        if ack.tx_id in told and not ack.duplicate:
            forgotten.add(ack.tx_id)
        told.add(ack.tx_id)
    return forgotten


def _is_as_sent(message: object, turn: Turn, session_id: str) -> bool:
    sent = (session_id, turn.by_user, turn.content, turn.metadata)
    content, metadata = getattr(message, "content", None), getattr(message, "metadata", None)
    return sent == (turn.session_id, isinstance(message, UserMessage), content, metadata)


def _turns(session: Session) -> list[Turn]:
    """The turns of a conversation, not yet numbered."""
    return [
        Turn(
            tx_id="",
            session_id=str(session.id),
            user_id=session.user_id,
            by_user=isinstance(message, UserMessage),
            content=message.content,
            metadata=dict(message.metadata),
        )
        for message in session.turns()
    ]


def _interleaved(turns: list[Turn], others: list[Turn]) -> list[Turn]:
    """Both lists in their order, the second spread evenly over the first."""
    placed = [((n + 0.5) / len(turns), 0, turn) for n, turn in enumerate(turns)]
    placed += [((n + 0.5) / len(others), 1, turn) for n, turn in enumerate(others)]
    return [turn for _, _, turn in sorted(placed, key=lambda entry: entry[:2])]


def _numbered(turns: list[Turn], writer: int) -> list[Turn]:
    for number, turn in enumerate(turns, 1):
        turn.tx_id = f"w{writer}-{number}"
        turn.metadata[TX_KEY] = turn.tx_id
    return turns
