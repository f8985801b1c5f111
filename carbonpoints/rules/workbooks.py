"""XLSX out and in: sheets of texts, and where each cell stands.

Everything is written as text: a spreadsheet keeps numbers as binary floats, and takes a text that begins like a
formula for one. So a figure that comes back as a number is refused, and so is a formula. What unpacks to too much
is not unpacked; entities and external references of the XML inside are refused (defusedxml).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from io import BytesIO
from typing import Any
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile, ZipFile

from openpyxl import Workbook, load_workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException

from carbonpoints.core.errors import FieldError, InvalidRequest, Message
from carbonpoints.core.spreadsheets import as_written, inert
from carbonpoints.rules.findings import Finding

UNPACKED_BYTES_MAX = 64 * 1024 * 1024
ROWS_MAX = 5_000
COLUMNS_MAX = 200
TEXT_FORMAT = "@"
_WIDTH = 24
_UNREADABLE = (
    *(BadZipFile, InvalidFileException, ParseError),
    *(ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError),
    zlib.error,
)
"""What openpyxl raises on what is no workbook."""

Value = str | int | bool | date | None


@dataclass(frozen=True)
class Cell:
    """A cell below the header: its reference (`B3`) and what it holds; None where it is empty.

    A date or instant is as its text would be, without time where it is midnight.
    """

    reference: str
    value: Value


@dataclass(frozen=True)
class Table:
    """A sheet as it was read: the names of its header, and its rows without the empty ones."""

    title: str
    header: Mapping[str, str]
    """The reference of each name's cell."""
    rows: Sequence[Mapping[str, Cell]]

    def reference(self, row: int, name: str) -> str:
        """Return the cell of a row under a name; the row's first where there is no such column."""
        cells = self.rows[row]
        cell = cells.get(name) or next(iter(cells.values()))
        return cell.reference


@dataclass(frozen=True)
class CellFinding:
    """A finding and the cell that it is about; empty texts where no cell of the workbook is."""

    sheet: str
    cell: str
    finding: Finding


def write_workbook(sheets: Mapping[str, Sequence[Sequence[str]]]) -> bytes:
    """Return an XLSX file with these sheets, each a header and rows; every cell is a text."""
    workbook = Workbook(write_only=True)
    for title, rows in sheets.items():
        sheet = workbook.create_sheet(title)
        sheet.freeze_panes = "A2"
        for number in range(1, len(rows[0]) + 1):
            column = sheet.column_dimensions[get_column_letter(number)]
            column.width, column.number_format = _WIDTH, TEXT_FORMAT
        for row in rows:
            cells = []
            for text in row:
                cell = WriteOnlyCell(sheet, inert(ILLEGAL_CHARACTERS_RE.sub("", text)))
                cell.number_format = TEXT_FORMAT
                cells.append(cell)
            sheet.append(cells)
    file = BytesIO()
    workbook.save(file)
    return file.getvalue()


def read_workbook(content: bytes) -> tuple[dict[str, Table], list[CellFinding]]:
    """Return the sheets of an XLSX file by title, and what is wrong with single cells.

    InvalidRequest where it is no such file, or unpacks to too much.
    """
    found: list[CellFinding] = []
    try:
        with ZipFile(BytesIO(content)) as archive:
            if sum(part.file_size for part in archive.infolist()) > UNPACKED_BYTES_MAX:
                raise InvalidRequest(
                    fields=[FieldError("", "too_large", "The workbook unpacks to more than is accepted.")]
                )
        workbook = load_workbook(BytesIO(content), read_only=True, data_only=False, keep_links=False)
        tables = {sheet.title: _table(sheet, found) for sheet in workbook.worksheets}
    except _UNREADABLE:
        wrong = FieldError("", "not_a_workbook", "This is no XLSX file that can be read.")
        raise InvalidRequest(fields=[wrong]) from None
    return tables, found


def _table(sheet: Any, found: list[CellFinding]) -> Table:
    sheet.reset_dimensions()  # What a file says of its own size is not believed.
    rows = sheet.iter_rows(max_row=ROWS_MAX + 2, max_col=COLUMNS_MAX)
    names: dict[int, str] = {}
    header: dict[str, str] = {}
    for cell in next(rows, ()):
        name = _read(sheet.title, cell, found)
        if name.value is None:
            continue
        if not isinstance(name.value, str) or name.value in header:
            message = Message("a header is a text that occurs once")
            found.append(CellFinding(sheet.title, name.reference, Finding("", 0, "header", message)))
            continue
        names[cell.column] = name.value
        header[name.value] = name.reference
    return Table(sheet.title, header, list(_rows(sheet.title, rows, names, found)))


def _rows(
    title: str, rows: Iterator[Any], names: Mapping[int, str], found: list[CellFinding]
) -> Iterator[Mapping[str, Cell]]:
    for number, row in enumerate(rows, 2):
        if number > ROWS_MAX + 1:
            message = Message("a sheet has at most %(most)s rows", most=ROWS_MAX)
            found.append(CellFinding(title, f"A{number}", Finding("", 0, "too_many_rows", message)))
            return
        given = {cell.column: _read(title, cell, found) for cell in row if cell.value is not None}
        for column in given.keys() - names.keys():
            message = Message("there is no header above this cell")
            finding = Finding("", 0, "header", message)
            found.append(CellFinding(title, given[column].reference, finding))
        if given:
            empty = {column: Cell(f"{get_column_letter(column)}{number}", None) for column in names}
            yield {name: given.get(column) or empty[column] for column, name in names.items()}


def _read(title: str, cell: Any, found: list[CellFinding]) -> Cell:
    value = cell.value
    if value is None:
        return Cell("", None)
    message = None
    if cell.data_type == "f":
        message = Message("a formula is not taken over: put its value here, as text")
    elif isinstance(value, float):
        message = Message(
            "a fraction in a number cell is not exact: format the cell as text and write it again"
        )
    elif cell.data_type == "e" or isinstance(value, time) or not isinstance(value, str | int | date):
        message = Message("what this cell holds is not taken over: write it as text")
    if message is not None:
        found.append(CellFinding(title, cell.coordinate, Finding("", 0, "cell_type", message)))
        return Cell(cell.coordinate, None)
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    return Cell(cell.coordinate, as_written(value.strip()) or None if isinstance(value, str) else value)
