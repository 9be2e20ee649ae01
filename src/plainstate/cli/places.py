"""Where a command works: the store, and the document that DOC names."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Final, NamedTuple, Unpack

from plainstate import errors, open_store
from plainstate.store import place_of

if TYPE_CHECKING:
    import argparse

    from plainstate import StateStore
    from plainstate.store import StoreOptions
    from plainstate.types import Kind

__all__ = [
    "DEFAULT_STORE",
    "SUFFIXES",
    "Place",
    "existing_place",
    "existing_store",
    "file_of",
    "locate",
    "locate_past",
    "missing",
    "parse_doc",
    "store_for_writing",
]

DEFAULT_STORE: Final = "./state"

SUFFIXES: Final[dict[Kind, str]] = {"json": ".json", "markdown": ".md"}
"""What the plain file of a document ends in."""


class Place(NamedTuple):
    """What DOC says; `kind` is `None` where it does not say which."""

    category: str
    name: str
    kind: Kind | None

    def __str__(self) -> str:
        return f"{self.category}/{self.name}"


def store_for_writing(args: argparse.Namespace, **options: Unpack[StoreOptions]) -> StateStore:
    """The store that `--store` names; created with the first write."""
    return _open(_named(args), options)


def existing_store(args: argparse.Namespace) -> StateStore:
    """The same, but it must be there, so that a mistyped path is not taken for an empty store.

    Raises:
        NotFoundError: it is not.
    """
    return _open(existing_place(args), {})


def existing_place(args: argparse.Namespace) -> str:
    """Where the store is that `--store` names; it need not be one that can be opened.

    Raises:
        NotFoundError: there is nothing.
    """
    named = _named(args)
    if not os.path.lexists(place_of(named)):
        raise errors.NotFoundError(
            f"no store at {named}",
            hint="Name it with --store or PLAINSTATE_STORE; `put` and `import` create one.",
            document="",
        )
    return named


def _open(named: str, options: StoreOptions) -> StateStore:
    """Opens it, with what the environment says."""
    kept = os.environ.get("PLAINSTATE_HISTORY") or "none"
    if kept not in ("none", "keep"):
        raise errors.UsageError(
            f"PLAINSTATE_HISTORY cannot be {kept!r}", hint="Set it to keep, or to none."
        )
    if kept == "keep":
        options["history"] = "keep"
    return open_store(named, **options)


def _named(args: argparse.Namespace) -> str:
    """The store as the user names it.

    Raises:
        UsageError: it is in memory, where nothing is at the start or stays at the end.
    """
    named: str | None = args.store
    if named is None:
        named = os.environ.get("PLAINSTATE_STORE") or DEFAULT_STORE
    if named == "memory:":
        raise errors.UsageError(
            "a store in memory would be gone when this command ends",
            hint="Name a folder with --store or PLAINSTATE_STORE.",
        )
    return named


def session_id(text: str) -> str:
    """The id of a session, given alone or as DOC without a suffix.

    Example:
        >>> session_id("sessions/s-1"), session_id("s-1")
        ('s-1', 's-1')
    """
    return text.removeprefix("sessions/")


def parse_doc(text: str, kind: Kind | None = None) -> Place:
    """Takes DOC apart.

    Args:
        text: `category/name`, or with the suffix of its file.
        kind: says what it is; then a suffix belongs to the name.

    Raises:
        UsageError: there is no category.

    Example:
        >>> parse_doc("a/b/plan.md")
        Place(category='a/b', name='plan', kind='markdown')
    """
    category, slash, name = text.rpartition("/")
    if not slash:
        session = shlex.quote(f"sessions/{text}")
        raise errors.UsageError(
            f"{text!r} names no document",
            hint=f"DOC is CATEGORY/NAME; the session of that id is {session}.",
        )
    if kind is None:
        for meant, suffix in SUFFIXES.items():
            if name.endswith(suffix):
                return Place(category, name.removesuffix(suffix), meant)
    return Place(category, name, kind)


def locate(store: StateStore, place: Place) -> Kind:
    """Which kind of document is there.

    Raises:
        NotFoundError: none.
        UsageError: both, and the place does not say which.
    """
    kinds = SUFFIXES if place.kind is None else (place.kind,)
    present = [kind for kind in kinds if store.exists(place.category, place.name, kind=kind)]
    if not present:
        raise missing(place)
    if len(present) > 1:
        raise _ambiguous(place)
    return present[0]


def locate_past(store: StateStore, place: Place) -> Kind:
    """Which kind of document is there, or was there as far as its past is kept.

    Raises:
        NotFoundError, UsageError: as `locate`.
    """
    kinds = SUFFIXES if place.kind is None else (place.kind,)
    if any(store.exists(place.category, place.name, kind=kind) for kind in kinds):
        return locate(store, place)
    gone = [kind for kind in kinds if store.history(place.category, place.name, kind=kind, limit=1)]
    if len(gone) > 1:
        raise _ambiguous(place)
    if not gone:
        raise missing(place)
    return gone[0]


def file_of(category: str, name: str, kind: Kind) -> str:
    """A document by its plain file, from the store's folder: what a shell completes."""
    return f"{category}/{name}{SUFFIXES[kind]}"


def _ambiguous(place: Place) -> errors.UsageError:
    return errors.UsageError(
        f"{place} is both a .json and a .md document",
        hint="Say which one: --kind json or --kind markdown.",
    )


def missing(place: Place) -> errors.NotFoundError:
    """The error for a document that is not there."""
    return errors.NotFoundError(
        f"no document {place}",
        hint=f"`plainstate ls {place.category}` lists what is there.",
        document=str(place),
    )
