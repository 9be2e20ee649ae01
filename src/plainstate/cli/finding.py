"""`plainstate search`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from plainstate.cli import places, render

if TYPE_CHECKING:
    import argparse

    from plainstate import SearchHit
    from plainstate.types import Json

__all__ = ["search"]

EXIT_NOTHING: Final = 1


def search(args: argparse.Namespace) -> int:
    """`plainstate search TEXT…`: messages and passages, the best first.

    Returns:
        1 if there are none, as grep(1) does, else 0.
    """
    with places.existing_store(args) as store:
        found = store.search(
            " ".join(args.text), category=args.category, user_id=args.user, limit=args.limit
        )
    if args.json:
        for hit in found:
            render.json_line(_as_json(hit))
    else:
        print("\n\n".join(map(_as_text, found)), end="\n" if found else "")
    if found:
        return 0
    if not args.json:
        print("nothing found", file=sys.stderr)
    return EXIT_NOTHING


def _as_text(hit: SearchHit) -> str:
    place = places.file_of(hit.document.category, hit.document.name, hit.document.kind)
    facts = (place, hit.role, render.instant(hit.timestamp), hit.title)
    head = "  ".join(render.one_line(fact) for fact in facts if fact)
    return f"{head}\n    {render.hits(hit.snippet)}"


def _as_json(hit: SearchHit) -> Json:
    return {
        "document": str(hit.document),
        "kind": hit.document.kind,
        "role": hit.role,
        "position": hit.position,
        "timestamp": hit.timestamp and render.rfc3339(hit.timestamp),
        "title": hit.title,
        "snippet": hit.snippet,
        "score": hit.score,
    }
