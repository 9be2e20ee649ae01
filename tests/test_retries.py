"""Ids of transactions that others remember (J-8)."""

from contextlib import closing
from pathlib import Path

import pytest

from plainstate.engines.file.engine import FileEngine
from plainstate.limits import RECENT_TX_IDS
from plainstate.types import DocumentId, Head, Patch

X = DocumentId("notes", "x")


def make(head: Head) -> Patch:
    return [{"op": "add", "path": "/x" if head.version else "", "value": {}}]


@pytest.mark.parametrize("seen", [0, 1])
def test_an_id_that_came_again_is_known_by_its_newest_commit(tmp_path: Path, seen: int):
    """Whoever follows all of it at once forgets no more than whoever wrote it."""
    with (
        closing(FileEngine(str(tmp_path), quiet_fold_s=3600)) as writer,
        closing(FileEngine(str(tmp_path), quiet_fold_s=3600)) as other,
    ):
        writer.append(X, make, tx_id="t", durability="os")
        for _ in range(seen):
            other.append(X, make, durability="os")
        for _ in range(RECENT_TX_IDS + 5):
            writer.append(X, make, durability="os")
        again = writer.append(X, make, tx_id="t")
        assert not again.duplicate  # the first one is forgotten
        retry = other.append(X, make, tx_id="t")
        assert (retry.duplicate, retry.version) == (True, again.version)
