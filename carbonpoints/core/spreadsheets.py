"""Texts in cells that a spreadsheet might take for formulas. Pure."""

from __future__ import annotations

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
MARK = "'"
"""What tells a spreadsheet that a text follows."""


def inert(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return MARK + cell if cell.lstrip(MARK).startswith(FORMULA_STARTS) else cell


def as_written(cell: str) -> str:
    """Return what `inert` was given."""
    is_marked = cell.startswith(MARK) and cell.lstrip(MARK).startswith(FORMULA_STARTS)
    return cell.removeprefix(MARK) if is_marked else cell
