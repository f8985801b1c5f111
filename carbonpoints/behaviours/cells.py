"""The columns of a feed's file or table, and their cells as the values that expressions read. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from babel.numbers import is_currency
from iso18245 import MCCNotFound, get_mcc

from carbonpoints.behaviours.columns import ColumnDefinition
from carbonpoints.behaviours.profiles import ProfileDefinition, cell_pattern, table_columns
from carbonpoints.core.errors import Message
from carbonpoints.rules.attributes import NUMBER, RefusedValueError

_MERCHANT_CATEGORY = re.compile("[0-9]{4}")
_FLAGS = {"true": True, "false": False}


class BadLineError(ValueError):
    """A line that is no event: the field at fault ("" for the line), a stable code and a sentence."""

    def __init__(self, field: str, code: str, detail: Message) -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.field = field
        self.code = code
        self.detail = detail

    @property
    def sentence(self) -> Message:
        """The detail after the field."""
        if not self.field:
            return self.detail
        return Message("%(field)s: %(detail)s", field=self.field, detail=self.detail)


@dataclass(frozen=True)
class _Column:
    """A column as a variable: `source` is its code over `cells`, `read` the function in it, if any."""

    name: str
    code: str
    read: Callable[[str], object] | None
    parts: tuple[int, ...]

    def value(self, cells: Sequence[str]) -> object:
        text = " ".join(cells[part] for part in self.parts)
        return text if self.read is None else self.read(text)


class Columns:
    """The columns of a file or table, found by their places in its lines."""

    def __init__(self, profile: ProfileDefinition, table: str, places: Mapping[str, int], width: int) -> None:
        self.width = width
        self._is_unfolded = profile.format == "camt" and not table
        self.readers: dict[str, Callable[[str], object]] = {}
        self.columns: dict[str, _Column] = {}
        for number, column in enumerate(table_columns(profile, table)):
            parts = tuple(places[name] for name in column.of or (column.name,))
            read = _cell_reader(profile, column)
            cell = " + ' ' + ".join(f"cells[{part}]" for part in parts)
            code = cell if read is None else f"r_{number}({cell})"
            self.columns[column.name] = _Column(column.name, code, read, parts)
            if read is not None:
                self.readers[f"r_{number}"] = read

    def values(self, cells: Sequence[str], names: frozenset[str]) -> dict[str, object]:
        """Return these columns of a line; raises BadLineError at the first that cannot be read."""
        values: dict[str, object] = {}
        for name in sorted(names, key=list(self.columns).index):
            try:
                values[name] = self.columns[name].value(cells)
            except RefusedValueError as refused:
                raise BadLineError(name, refused.code, refused.sentence) from None
        return values

    def place(self, cells: Sequence[str]) -> Message | None:
        """Return what a report says about the place of a transaction in its message; nothing for a line."""
        if not self._is_unfolded:
            return None
        element, line = (self.columns[name].parts[0] for name in ("element", "source_line"))
        return Message("%(element)s in line %(line)s", element=cells[element], line=cells[line])

    def check_width(self, cells: Sequence[str]) -> None:
        """Raise BadLineError when a line has more or fewer cells than columns."""
        if len(cells) != self.width:
            message = Message(
                "Expected %(width)s cells, found %(found)s.", width=self.width, found=len(cells)
            )
            raise BadLineError("", "wrong_columns", message)


def find_columns(profile: ProfileDefinition, header: Sequence[str] | None, table: str = "") -> Columns:
    """Return where the columns are, by the names in the header or, without one, by their order.

    Raises BadLineError when the header lacks a column or names one twice.
    """
    declared = [column for column in table_columns(profile, table) if not column.of]
    if header is None:
        return Columns(profile, table, {column.name: no for no, column in enumerate(declared)}, len(declared))
    titles = [title.strip() for title in header]
    places = {}
    for column in declared:
        title = column.title or column.name
        if titles.count(title) != 1:
            message = Message("The header must name %(title)s exactly once.", title=repr(title))
            raise BadLineError(column.name, "wrong_header", message)
        places[column.name] = titles.index(title)
    return Columns(profile, table, places, len(titles))


def _cell_reader(profile: ProfileDefinition, column: ColumnDefinition) -> Callable[[str], object] | None:
    if column.type == "text":
        return None
    if column.type == "currency":
        return _code_cell(is_currency, "unknown_currency", Message("Expected a currency of ISO 4217."))
    if column.type == "merchant_category":
        return _code_cell(
            _is_merchant_category,
            "unknown_merchant_category",
            Message("Expected a merchant category of ISO 18245."),
        )
    if column.type == "flag":
        read: Callable[[str], object] = _flag
    elif column.type == "number":
        read = _number_cell(profile.decimal)
    else:
        read = _pattern_cell(profile, column)

    def read_cell(cell: str) -> object:
        text = cell.strip()
        if text:
            return read(text)
        if column.optional:
            return None
        raise RefusedValueError("missing", "A value is needed.")

    return read_cell


def _code_cell(is_known: Callable[[str], bool], code: str, message: Message) -> Callable[[str], object]:
    known = {""}

    def read(cell: str) -> str:
        text = cell.strip()
        if text not in known:
            if not is_known(text):
                raise RefusedValueError.saying(code, message)
            known.add(text)
        return text

    return read


def _is_merchant_category(text: str) -> bool:
    if _MERCHANT_CATEGORY.fullmatch(text) is None:
        return False
    try:
        get_mcc(text)
    except MCCNotFound:
        return False
    return True


def _flag(text: str) -> bool:
    if text not in _FLAGS:
        raise RefusedValueError("not_a_flag", "Expected true or false.")
    return _FLAGS[text]


def _number_cell(decimal: str) -> Callable[[str], object]:
    def read(text: str) -> Decimal:
        point = text.replace(",", ".") if decimal == "," and "." not in text else text
        if NUMBER.fullmatch(point) is None or (decimal == "," and "." in text):
            raise RefusedValueError(
                "not_a_number", "Expected a number such as %(number)s.", number=f"12{decimal}50"
            )
        return Decimal(point)

    return read


def _pattern_cell(profile: ProfileDefinition, column: ColumnDefinition) -> Callable[[str], object]:
    read_pattern = cell_pattern(profile, column)

    def read(text: str) -> object:
        try:
            return read_pattern(text)
        except ValueError:
            code = "not_a_date" if column.type == "date" else "not_an_instant"
            raise RefusedValueError(code, "Expected %(format)s.", format=column.format) from None

    return read
