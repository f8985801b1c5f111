"""Lines of CSV whose cells no spreadsheet takes for formulas. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV (RFC 4180); a text that a spreadsheet would compute gets an apostrophe before it."""
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerows([_inert(cell) for cell in row] for row in rows)
    return lines.getvalue()


def _inert(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell
