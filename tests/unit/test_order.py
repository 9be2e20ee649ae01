"""Each transaction has the number behind the line before it (J-4)."""

import pytest

from plainstate.core.record import HeadRecord, Record, TransactionRecord
from plainstate.engines.file.reader import check_records
from plainstate.errors import DamagedError
from plainstate.types import DocumentId

A = DocumentId("c", "a")


def journal(*lines: str) -> list[Record]:
    """Of heads and transactions with these numbers: `H1`, `T2`."""
    return [
        HeadRecord(1, str(A), A.kind, int(line[1:]), None, None, "")
        if line[0] == "H"
        else TransactionRecord(int(line[1:]), "", "", [], "")
        for line in lines
    ]


@pytest.mark.parametrize(
    "lines", ["H0", "H4 T5 T6", "H1 H2 H3 T4", "H1 T2 H2 T3", "H1 H2 H1 T2 H3 T4", "H3 H1 T2"]
)
def test_numbers_in_order_are_read(lines: str) -> None:
    check_records(journal(*lines.split()), A, "c/a.jsonl")


@pytest.mark.parametrize(
    ("lines", "bad"), [("H1 T3", 2), ("H1 T2 T2", 3), ("H1 T2 H1", 3), ("H1 H2 T2", 3)]
)
def test_a_number_that_is_missing_or_comes_again_is_damage(lines: str, bad: int) -> None:
    with pytest.raises(DamagedError, match=f"line {bad}: "):
        check_records(journal(*lines.split()), A, "c/a.jsonl")
