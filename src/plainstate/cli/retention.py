"""Verbs for old sessions: `prune`, `trash`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from plainstate import errors
from plainstate.cli import inputs, places, render

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from datetime import timedelta

    from plainstate import EmptyReport, PruneReport, StateStore, TrashedSession
    from plainstate.retention import PrunedSession
    from plainstate.types import Json

__all__ = ["prune", "trash"]

_DECLINED: Final = 1
_EXIT_DAMAGED: Final = 5

_SHOWN: Final = 20
"""How many sessions are listed before the question."""


def prune(args: argparse.Namespace) -> int:
    """`plainstate prune`: moves old sessions to the trash; on a terminal it asks first.

    Returns:
        1 if the answer was no, else 0.
    """
    # One moment for the question and the deed: nothing grows too old between them.
    before = None if args.older_than is None else _ago(args.older_than)
    rules: dict[str, Any] = {
        "older_than": before,
        "keep_last": args.keep_last,
        "max_bytes": args.max_bytes,
        "user_id": args.user,
    }
    asks = not (args.yes or args.dry_run)
    with places.existing_store(args) as store:
        if asks:
            plan = store.prune_sessions(**rules, dry_run=True)
            inputs.need_consent("prune")
            if plan.sessions and not _agreed(plan):
                return _DECLINED
        report = store.prune_sessions(**rules, dry_run=args.dry_run)
    if args.json:
        render.json_document(_report_json(report))
        return 0
    if args.dry_run:
        _print_sessions(report.sessions, None, sys.stdout)
    count = render.plural(len(report.sessions), "session")
    did = "would move" if report.dry_run else "moved"
    print(f"{did} {count} to the trash ({render.size(report.bytes)})")
    for name in report.busy:
        print(f"stays: {render.one_line(name)} was written meanwhile")
    for name, reason in report.damaged.items():
        print(f"DAMAGED: {render.one_line(name)}: {render.one_line(reason)}")
    return 0


def _agreed(plan: PruneReport) -> bool:
    _print_sessions(plan.sessions, _SHOWN, sys.stderr)
    count = render.plural(len(plan.sessions), "session")
    return inputs.confirm(f"Move {count} ({render.size(plan.bytes)}) to the trash?")


def _print_sessions(sessions: Sequence[PrunedSession], limit: int | None, out: Any) -> None:
    if not sessions:
        return
    rows = [
        (one.id, one.user_id, render.instant(one.updated_at), render.size(one.bytes), one.rule)
        for one in sessions[:limit]
    ]
    heads = ("SESSION", "USER", "CHANGED (UTC)", " SIZE", "RULE")
    print(render.table(heads, rows), file=out)
    if len(rows) < len(sessions):
        print(f"… and {len(sessions) - len(rows):,} more", file=out)


def trash(args: argparse.Namespace) -> int:
    """`plainstate trash`: what was pruned; `--restore` moves back, `--empty` deletes for good.

    Returns:
        1 if the answer was no, 5 if something could not be deleted, else 0.
    """
    _check(args)
    if args.empty:
        return _empty(args)
    with places.existing_store(args) as store:
        if args.restore is not None:
            return _restore(store, args)
        found = store.trash()
    if args.json:
        for one in found:
            render.json_line(_trashed_json(one))
    elif found:
        heads = ("SESSION", "USER", "CHANGED (UTC)", " SIZE", "TRASHED (UTC)", "RUN")
        print(render.table(heads, list(map(_trashed_row, found))))
    else:
        print("the trash is empty")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuses options that would mean nothing."""
    if args.of_run is not None and args.restore is None:
        raise errors.UsageError("--run is for --restore", hint="Add --restore ID.")
    if not args.empty and (args.older_than is not None or args.dry_run or args.yes):
        raise errors.UsageError(
            "--older-than, --dry-run and --yes are for --empty", hint="Add --empty."
        )


def _restore(store: StateStore, args: argparse.Namespace) -> int:
    commit = store.restore_session(args.restore, run=args.of_run)
    if args.json:
        render.json_line({"session": args.restore, "restored": True, "version": commit.version})
    else:
        print(f"sessions/{args.restore}: restored as version {commit.version}")
    return 0


def _empty(args: argparse.Namespace) -> int:
    before = None if args.older_than is None else _ago(args.older_than)
    asks = not (args.yes or args.dry_run)
    with places.existing_store(args) as store:
        if asks:
            inputs.need_consent("trash --empty")
            plan = store.empty_trash(older_than=before, dry_run=True)
            count = render.plural(len(plan.sessions), "session")
            question = f"Delete {count} ({render.size(plan.bytes)}) for good?"
            if plan.sessions and not inputs.confirm(question):
                return _DECLINED
        report = store.empty_trash(older_than=before, dry_run=args.dry_run)
    if args.json:
        render.json_document(_emptied_json(report))
    else:
        count = render.plural(len(report.sessions), "session")
        did = "would delete" if report.dry_run else "deleted"
        print(f"{did} {count} for good ({render.size(report.bytes)})")
        if not report.sessions and args.older_than is None:
            print("what was pruned within seven days stays; --older-than AGE decides")
        for name, reason in report.damaged.items():
            print(f"DAMAGED: {render.one_line(name)}: {render.one_line(reason)}")
    return _EXIT_DAMAGED if report.damaged else 0


def _ago(age: timedelta) -> datetime:
    try:
        return datetime.now(UTC) - age
    except OverflowError:
        raise errors.UsageError(
            "so long ago there was nothing", hint="Give a shorter age: 90d."
        ) from None


def _trashed_row(one: TrashedSession) -> tuple[str, ...]:
    if one.damaged is not None:
        told = (f"DAMAGED: {one.damaged}", "?", "?")
    else:
        told = (one.user_id, render.instant(one.updated_at), render.size(one.bytes))
    return (one.id, *told, render.instant(one.trashed_at), one.run)


def _trashed_json(one: TrashedSession) -> Json:
    return {
        "id": one.id,
        "run": one.run,
        "trashed_at": render.rfc3339(one.trashed_at),
        "user_id": one.user_id,
        "updated_at": one.updated_at and render.rfc3339(one.updated_at),
        "bytes": one.bytes,
        "damaged": one.damaged,
    }


def _report_json(report: PruneReport) -> Json:
    return {
        "sessions": [
            {
                "id": one.id,
                "user_id": one.user_id,
                "updated_at": render.rfc3339(one.updated_at),
                "bytes": one.bytes,
                "rule": one.rule,
            }
            for one in report.sessions
        ],
        "bytes": report.bytes,
        "busy": report.busy,
        "damaged": _reasons(report.damaged),
        "run": report.run,
        "dry_run": report.dry_run,
    }


def _emptied_json(report: EmptyReport) -> Json:
    return {
        "sessions": [_trashed_json(one) for one in report.sessions],
        "bytes": report.bytes,
        "damaged": _reasons(report.damaged),
        "dry_run": report.dry_run,
    }


def _reasons(damaged: dict[str, str]) -> Json:
    return [{"session": name, "reason": reason} for name, reason in damaged.items()]
