"""Verbs that find damage and mend it: `check`, `repair`."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Final

from plainstate import check_store
from plainstate.cli import inputs, places, render
from plainstate.cli.progress import progress

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import TextIO

    from plainstate import Finding, RepairReport
    from plainstate.types import Json

__all__ = ["check", "repair"]

_DECLINED: Final = 1
_EXIT_DAMAGED: Final = 5


def check(args: argparse.Namespace) -> int:
    """`plainstate check`: looks for damage, in every file.

    Returns:
        5 if something is worse than a note, else 0.
    """
    with progress("checking") as tick:
        report = check_store(places.existing_place(args), progress=tick)
    if args.json:
        findings = [_as_json(one) for one in report.findings]
        render.json_document({"documents": report.documents, "findings": findings})
    else:
        _print(report.findings)
        count = render.plural(report.documents, "document")
        print(f"checked {count}: {_counts(report.findings)}")
    return 0 if report.is_sound else _EXIT_DAMAGED


def repair(args: argparse.Namespace) -> int:
    """`plainstate repair`: mends what needs no decision; on a terminal it asks first.

    Returns:
        1 if the answer was no, 5 if something worse than a note is left, else 0.
    """
    with places.existing_store(args) as store:

        def run(*, dry_run: bool) -> RepairReport:
            with progress("checking") as tick:
                return store.repair(cut=args.cut, dry_run=dry_run, progress=tick)

        if not (args.yes or args.dry_run):
            inputs.need_consent("repair")
            plan = run(dry_run=True)
            if plan.mended:
                _print_mended(plan, sys.stderr)
                if not inputs.confirm(f"Mend {render.plural(len(plan.mended), 'finding')}?"):
                    return _DECLINED
        report = run(dry_run=args.dry_run)
    if args.json:
        mended = [{**_as_json(one.finding), "action": one.action} for one in report.mended]
        left = [_as_json(one) for one in report.left]
        render.json_document({"dry_run": report.dry_run, "mended": mended, "left": left})
    else:
        _print_mended(report, sys.stdout)
        _print(report.left)
        word = "mendable" if report.dry_run else "mended"
        print(f"{word}: {len(report.mended):,}; left for you to decide: {len(report.left):,}")
    return _EXIT_DAMAGED if report.left else 0


def _print(findings: Sequence[Finding]) -> None:
    for one in findings:
        print(f"{one.severity}: {render.one_line(one.message)} [{one.code}]")
        print(f"    {render.one_line(one.remedy)}")


def _print_mended(report: RepairReport, out: TextIO) -> None:
    done, word = ("to do", "mendable") if report.dry_run else ("done", "mended")
    for one in report.mended:
        print(f"{word}: {render.one_line(one.finding.message)} [{one.finding.code}]", file=out)
        print(f"    {done}: {one.action}", file=out)


def _counts(findings: Sequence[Finding]) -> str:
    counts = Counter(one.severity for one in findings)
    return (
        f"{counts['damage']:,} damaged, {render.plural(counts['problem'], 'problem')}, "
        f"{render.plural(counts['note'], 'note')}"
    )


def _as_json(one: Finding) -> dict[str, Json]:
    return {
        "code": one.code,
        "severity": one.severity,
        "document": None if one.document is None else str(one.document),
        "kind": None if one.document is None else one.document.kind,
        "file": one.path,
        "line": one.line,
        "message": one.message,
        "remedy": one.remedy,
    }
