"""Feed profiles: how the lines of one bank's export become events. Pure.

A profile is one YAML file in `feeds/`, stored as a version of kind `feed_profile`. Its expressions are written
in the language of the rules; a column is a variable, and `lookup("table", key)` reads a table that is handed in
with the file. `mapping.py` makes a profile run.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from carbonpoints.behaviours.date_patterns import DatePatternError, date_reader, instant_reader
from carbonpoints.rules.definitions import BehaviourDefinition
from carbonpoints.rules.language import Expression, ExpressionError, ValueType, Variable, compile_expression
from carbonpoints.rules.nodes import content_tree, yaml_tree
from carbonpoints.rules.reading import Reader

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_NAME = re.compile(r"[^\W\d]\w{0,63}\Z")

Found = Iterator[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class ColumnDefinition:
    """A column of the file, or a value made of several cells, under the name that expressions use.

    Cells of numbers and dates are read only on lines that the filter keeps, except those it asks about.
    """

    name: str
    title: str = ""
    """What the header calls it, where that is no name."""
    type: Literal["text", "number", "date", "instant"] = "text"
    format: str = ""
    """How a date or instant is written (`date_patterns`)."""
    optional: bool = False
    """Whether an empty cell is no value; otherwise a number or date must be there. Empty text is empty text."""
    of: tuple[str, ...] = ()
    """The text columns whose cells, with a space between them, make up this value: a date and a time."""


@dataclass(frozen=True, kw_only=True)
class TableDefinition:
    """A table to look things up in, a file of its own in the same format; `key` and `value` are texts."""

    columns: tuple[ColumnDefinition, ...]
    key: str
    value: str


@dataclass(frozen=True, kw_only=True)
class ProfileDefinition:
    """One feed. Expressions are sources in the rules' language; the format holds for file and tables alike."""

    code: str
    name_en: str
    name_zh: str
    source: str
    """The event source that the events count as; the programme registers it."""
    encoding: Literal["UTF-8", "GB18030"]
    delimiter: Literal[",", ";", "|", "\t"]
    quote: Literal['"', "'", ""] = '"'
    """Around cells that hold the delimiter, a line break or the quote itself, written twice; "" for none."""
    header: bool
    """Whether the first line names the columns, in any order, more than are declared if need be."""
    decimal: Literal[".", ","] = "."
    time_zone: str
    """Of times without an offset; something known by its date only happened at 12:00 there (M7)."""
    on_bad: Literal["line", "file"]
    """What a bad line costs: itself, or the whole file, of which nothing is credited then."""
    columns: tuple[ColumnDefinition, ...]
    tables: Mapping[str, TableDefinition] = field(default_factory=dict)
    filter: str | None = None
    """Lines for which it is false are no events."""
    behaviour: str
    event_id: str
    subject: str
    occurred_at: str
    """A date or an instant."""
    revision: str = "0"
    data: Mapping[str, str]
    """Attribute -> expression. No value, or empty text, leaves the attribute out."""
    keyed: tuple[str, ...] = ()
    """Text attributes that are replaced by their keyed hash before anything is kept."""


@dataclass(frozen=True)
class _ProfileFile:
    feed: ProfileDefinition


def parse_profile(text: str, file: str) -> ProfileDefinition:
    """Return the profile of a YAML text, `feed:`; DefinitionError with line and field of every problem."""
    reader = Reader(file, yaml_tree(text, file))
    profile = reader.read(_ProfileFile).feed
    for path, message in validate_profile(profile):
        reader.note(f"feed.{path}", message)
    reader.finish()
    return profile


def profile_from_content(content: object) -> ProfileDefinition:
    """Return the profile of a version row."""
    return Reader("feed_profile", content_tree(content)).read(ProfileDefinition)


def shipped_profiles() -> tuple[ProfileDefinition, ...]:
    """Return the profiles that come with the product, by code."""
    folder = Path(__file__).parent / "feeds"
    return tuple(parse_profile(path.read_text("UTF-8"), path.name) for path in sorted(folder.glob("*.yaml")))


def table_columns(profile: ProfileDefinition, table: str) -> tuple[ColumnDefinition, ...]:
    """Return the columns of a table, or of the file itself for "" as its name."""
    return profile.tables[table].columns if table else profile.columns


def variables_of(columns: tuple[ColumnDefinition, ...]) -> dict[str, Variable]:
    """Return the names that expressions over these columns may use."""
    return {column.name: Variable(column.type, nullable=column.optional) for column in columns}


def expression(
    profile: ProfileDefinition, source: str, expects: ValueType | None, *, table: str = ""
) -> Expression:
    """Return a compiled expression over the columns of the file, or of `table`; raises ExpressionError."""
    variables = variables_of(table_columns(profile, table))
    texts: dict[str, ValueType] = {} if table else dict.fromkeys(profile.tables, "text")
    return compile_expression(source, variables, expects=expects, tables=texts)


def validate_profile(profile: ProfileDefinition) -> Found:
    """Yield (path, sentence) for every problem that the profile shows by itself."""
    if not _CODE.match(profile.code):
        yield "code", "must be small letters, digits and underscores"
    for name in ("name_en", "name_zh", "source"):
        if not getattr(profile, name).strip():
            yield name, "must not be empty"
    try:
        ZoneInfo(profile.time_zone)
    except (KeyError, ValueError, OSError):
        yield "time_zone", f"{profile.time_zone!r} is no IANA time zone"
        return
    problems = [*_columns(profile, profile.columns, "columns"), *_tables(profile)]
    yield from problems
    if not problems:
        yield from _expressions(profile)


def _tables(profile: ProfileDefinition) -> Found:
    for name, table in profile.tables.items():
        if not _CODE.match(name):
            yield f"tables.{name}", "must be small letters, digits and underscores"
        problems = list(_columns(profile, table.columns, f"tables.{name}.columns"))
        yield from problems
        if not problems:
            yield from _expression(profile, f"tables.{name}.key", table.key, "text", table=name)
            yield from _expression(profile, f"tables.{name}.value", table.value, "text", table=name)


def _expressions(profile: ProfileDefinition) -> Found:
    if profile.filter is not None:
        yield from _expression(profile, "filter", profile.filter, "flag")
    yield from _expression(profile, "event_id", profile.event_id, "text")
    yield from _expression(profile, "subject", profile.subject, "text")
    yield from _expression(profile, "revision", profile.revision, "number")
    yield from _occurred_at(profile)
    for name, source in profile.data.items():
        yield from _expression(profile, f"data.{name}", source, None)
    for name in profile.keyed:
        if name not in profile.data:
            yield "keyed", f"{name} is not in data"


def validate_mapping(profile: ProfileDefinition, behaviour: BehaviourDefinition) -> Found:
    """Yield (path, sentence) for everything in the mapping that the behaviour does not take."""
    for name, source in profile.data.items():
        attribute = behaviour.attributes.get(name)
        if attribute is None:
            yield f"data.{name}", f"{behaviour.code} has no such attribute"
        elif name in profile.keyed and attribute.type != "text":
            yield "keyed", f"{name} is no text"
        else:
            yield from _expression(profile, f"data.{name}", source, attribute.type)
    needed = {name for name, attribute in behaviour.attributes.items() if attribute.required}
    for name in sorted((needed | set(behaviour.evidence)) - profile.data.keys()):
        yield "data", f"{name} is missing: {behaviour.code} needs it"


def _expression(
    profile: ProfileDefinition, path: str, source: str, expects: ValueType | None, *, table: str = ""
) -> Found:
    try:
        expression(profile, source, expects, table=table)
    except ExpressionError as error:
        yield path, f"column {error.column}: {error.message}"


def _occurred_at(profile: ProfileDefinition) -> Found:
    try:
        found = expression(profile, profile.occurred_at, None)
    except ExpressionError as error:
        yield "occurred_at", f"column {error.column}: {error.message}"
    else:
        if found.type not in ("date", "instant"):
            yield "occurred_at", "must be a date or an instant"


def _columns(profile: ProfileDefinition, columns: tuple[ColumnDefinition, ...], path: str) -> Found:
    texts = {column.name for column in columns if column.type == "text" and not column.of}
    seen: set[str] = set()
    for no, column in enumerate(columns):
        here = f"{path}.{no}"
        if not _NAME.match(column.name):
            yield f"{here}.name", "must be a name: a letter, then letters, digits and underscores"
        if unicodedata.normalize("NFKC", column.name) in seen:
            yield f"{here}.name", f"{column.name} is there twice"
        seen.add(unicodedata.normalize("NFKC", column.name))
        for part in column.of:
            if part not in texts:
                yield f"{here}.of", f"{part} is no text column"
        if column.of and column.type == "text":
            yield f"{here}.type", "must be number, date or instant where cells are joined"
        if column.type in ("date", "instant"):
            try:
                cell_pattern(profile, column)
            except DatePatternError as error:
                yield f"{here}.format", str(error)
        elif column.format:
            yield f"{here}.format", "is for dates and instants only"


def cell_pattern(profile: ProfileDefinition, column: ColumnDefinition) -> Callable[[str], object]:
    """Return the reader of a date's or instant's text; raises DatePatternError for a wrong format."""
    if column.type == "date":
        return date_reader(column.format)
    return instant_reader(column.format, profile.time_zone)
