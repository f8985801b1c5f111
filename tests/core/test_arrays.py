from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.core.arrays import of_bytes, of_numbers, of_texts, of_times

TEXTS = ["", "a", 'with "quotes"', "back\\slash", "comma, {brace}", "NULL", None, "碳", "line\nbreak"]
INSTANT = datetime(2026, 6, 1, 4, 0, 0, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("array", "kind", "expected"),
    [
        (of_numbers([1, -(2**62), None]), "bigint", [1, -(2**62), None]),
        (of_bytes([b"", b"\x00\xff\\\"'"]), "bytea", [b"", b"\x00\xff\\\"'"]),
        (of_texts(TEXTS), "text", TEXTS),
        (of_times([date(2026, 6, 1), None]), "date", [date(2026, 6, 1), None]),
        (of_times([INSTANT]), "timestamptz", [INSTANT]),
        (of_numbers([]), "int", []),
    ],
)
def test_an_array_comes_back_as_it_went_in(session: Session, array: str, kind: str, expected: object) -> None:
    assert session.scalar(text(f"SELECT CAST(:array AS {kind}[])"), {"array": array}) == expected
