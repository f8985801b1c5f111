"""Feed profiles: how the lines of one bank's export become events. Pure.

A profile is one YAML file in `feeds/`, stored as a version of kind `feed_profile`. Its expressions are written
in the language of the rules; a column is a variable, and `lookup("table", key)` reads a table that is handed in
with the file. A camt message is first unfolded into lines, one for each transaction, whose columns are the same for
all banks (`CAMT_COLUMNS`). `mapping.py` makes a profile run.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from carbonpoints.behaviours.columns import CAMT_COLUMNS, ColumnDefinition, ColumnType
from carbonpoints.behaviours.date_patterns import DatePatternError, date_reader, instant_reader
from carbonpoints.core.errors import Message
from carbonpoints.rules.definitions import BehaviourDefinition
from carbonpoints.rules.language import Expression, ExpressionError, ValueType, Variable, compile_expression
from carbonpoints.rules.nodes import content_tree, yaml_tree
from carbonpoints.rules.reading import Reader

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_NAME = re.compile(r"[^\W\d]\w{0,63}\Z")

_VALUE_TYPES: Mapping[ColumnType, ValueType] = {
    "number": "number", "date": "date", "instant": "instant", "flag": "flag",
}  # fmt: skip
"""What cells are to expressions; codes are texts."""

Found = Iterator[tuple[str, Message]]


@dataclass(frozen=True, kw_only=True)
class TableDefinition:
    """A table to look things up in, a file of its own in the same format; `key` and `value` are texts."""

    columns: tuple[ColumnDefinition, ...]
    key: str
    value: str


@dataclass(frozen=True, kw_only=True)
class MappingDefinition:
    """What lines become: events of one behaviour with these attributes."""

    behaviour: str
    data: Mapping[str, str]
    """Attribute -> expression. No value, or empty text, leaves the attribute out."""
    keyed: tuple[str, ...] = ()
    """Text attributes that are replaced by their keyed hash before anything is kept."""


@dataclass(frozen=True, kw_only=True)
class SpecialMappingDefinition(MappingDefinition):
    """What lines become instead for which `when` holds."""

    when: str


@dataclass(frozen=True, kw_only=True)
class ProfileDefinition(MappingDefinition):
    """One feed. Expressions are sources in the rules' language.

    `behaviour`, `data` and `keyed` are for all lines that none of `behaviours` takes.
    """

    code: str
    name_en: str
    name_zh: str
    source: str
    """The event source that the events count as; the programme registers it."""
    format: Literal["csv", "camt"] = "csv"
    """`csv`: delimited text. `camt`: ISO 20022 camt.053 and camt.054, versions 2 to 8; encoding, delimiter, quote,
    header and decimal are those of its lookup tables then, for the message says itself how it is written."""
    encoding: Literal["UTF-8", "GB18030"] = "UTF-8"
    delimiter: Literal[",", ";", "|", "\t"] = ","
    quote: Literal['"', "'", ""] = '"'
    """Around cells that hold the delimiter, a line break or the quote itself, written twice; "" for none."""
    header: bool = True
    """Whether the first line names the columns, in any order, more than are declared if need be."""
    decimal: Literal[".", ","] = "."
    time_zone: str
    """Of times without an offset; something known by its date only happened at 12:00 there (M7)."""
    on_bad: Literal["line", "file"]
    """What a bad line costs: itself, or the whole file, of which nothing is credited then."""
    columns: tuple[ColumnDefinition, ...] = ()
    """Of delimited text; a camt message has `CAMT_COLUMNS`."""
    tables: Mapping[str, TableDefinition] = field(default_factory=dict)
    filter: str | None = None
    """Lines for which it is false are no events."""
    behaviours: tuple[SpecialMappingDefinition, ...] = ()
    """Tried in their order: the first that holds takes the line."""
    event_id: str
    subject: str
    occurred_at: str
    """A date or an instant."""
    revision: str = "0"
    reverses: str | None = None
    """The id of the event that a line takes back: such a line is a reversal and has no data. No value, or empty
    text, where a line takes nothing back."""
    reversal_reason: str = '"refunded"'


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
    if table:
        return profile.tables[table].columns
    return CAMT_COLUMNS if profile.format == "camt" else profile.columns


def line_profile(profile: ProfileDefinition) -> ProfileDefinition:
    """Return the profile of the lines that are staged: a camt message is unfolded into lines of one form."""
    if profile.format == "csv":
        return profile
    return replace(profile, encoding="UTF-8", delimiter=",", quote='"', header=False, decimal=".")


def variables_of(columns: tuple[ColumnDefinition, ...]) -> dict[str, Variable]:
    """Return the names that expressions over these columns may use."""
    return {
        column.name: Variable(_VALUE_TYPES.get(column.type, "text"), nullable=column.optional)
        for column in columns
    }


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
        yield "code", Message("must be small letters, digits and underscores")
    for name in ("name_en", "name_zh", "source"):
        if not getattr(profile, name).strip():
            yield name, Message("must not be empty")
    try:
        ZoneInfo(profile.time_zone)
    except (KeyError, ValueError, OSError):
        yield "time_zone", Message("%(name)s is no IANA time zone", name=repr(profile.time_zone))
        return
    if bool(profile.columns) == (profile.format == "camt"):
        yield (
            "columns",
            Message("are declared for csv, and only there: a camt transaction gives the same for all banks"),
        )
    problems = [*_columns(profile, profile.columns, "columns"), *_tables(profile)]
    yield from problems
    if not problems:
        yield from _expressions(profile)


def _tables(profile: ProfileDefinition) -> Found:
    for name, table in profile.tables.items():
        if not _CODE.match(name):
            yield f"tables.{name}", Message("must be small letters, digits and underscores")
        problems = list(_columns(profile, table.columns, f"tables.{name}.columns"))
        yield from problems
        if not problems:
            yield from _expression(profile, f"tables.{name}.key", table.key, "text", table=name)
            yield from _expression(profile, f"tables.{name}.value", table.value, "text", table=name)


def _expressions(profile: ProfileDefinition) -> Found:
    if profile.filter is not None:
        yield from _expression(profile, "filter", profile.filter, "flag")
    for no, special in enumerate(profile.behaviours):
        yield from _expression(profile, f"behaviours.{no}.when", special.when, "flag")
    yield from _expression(profile, "event_id", profile.event_id, "text")
    yield from _expression(profile, "subject", profile.subject, "text")
    yield from _expression(profile, "revision", profile.revision, "number")
    if profile.reverses is not None:
        yield from _expression(profile, "reverses", profile.reverses, "text")
    yield from _expression(profile, "reversal_reason", profile.reversal_reason, "text")
    yield from _occurred_at(profile)
    for path, mapping in mapping_paths(profile):
        for name, source in mapping.data.items():
            yield from _expression(profile, f"{path}data.{name}", source, None)
        for name in mapping.keyed:
            if name not in mapping.data:
                yield f"{path}keyed", Message("%(name)s is not in data", name=name)


def mapping_paths(profile: ProfileDefinition) -> Iterator[tuple[str, MappingDefinition]]:
    """Yield each of the profile's mappings after the path that its fields begin with."""
    for no, special in enumerate(profile.behaviours):
        yield f"behaviours.{no}.", special
    yield "", profile


def validate_mapping(profile: ProfileDefinition, behaviours: Mapping[str, BehaviourDefinition]) -> Found:
    """Yield (path, sentence) for everything in the mappings that their behaviours, by code, do not take."""
    for path, mapping in mapping_paths(profile):
        behaviour = behaviours.get(mapping.behaviour)
        if behaviour is None:
            yield f"{path}behaviour", Message("%(code)s is no behaviour type", code=mapping.behaviour)
        else:
            yield from _mapping(profile, path, mapping, behaviour)


def _mapping(
    profile: ProfileDefinition, path: str, mapping: MappingDefinition, behaviour: BehaviourDefinition
) -> Found:
    for name, source in mapping.data.items():
        attribute = behaviour.attributes.get(name)
        if attribute is None:
            yield f"{path}data.{name}", Message("%(code)s has no such attribute", code=behaviour.code)
        elif name in mapping.keyed and attribute.type != "text":
            yield f"{path}keyed", Message("%(name)s is no text", name=name)
        else:
            yield from _expression(profile, f"{path}data.{name}", source, attribute.type)
    needed = {name for name, attribute in behaviour.attributes.items() if attribute.required}
    for name in sorted((needed | set(behaviour.evidence)) - mapping.data.keys()):
        yield f"{path}data", Message("%(name)s is missing: %(code)s needs it", name=name, code=behaviour.code)


def _expression(
    profile: ProfileDefinition, path: str, source: str, expects: ValueType | None, *, table: str = ""
) -> Found:
    try:
        expression(profile, source, expects, table=table)
    except ExpressionError as error:
        yield path, Message("column %(column)s: %(message)s", column=error.column, message=error.message)


def _occurred_at(profile: ProfileDefinition) -> Found:
    try:
        found = expression(profile, profile.occurred_at, None)
    except ExpressionError as error:
        yield (
            "occurred_at",
            Message("column %(column)s: %(message)s", column=error.column, message=error.message),
        )
    else:
        if found.type not in ("date", "instant"):
            yield "occurred_at", Message("must be a date or an instant")


def _columns(profile: ProfileDefinition, columns: tuple[ColumnDefinition, ...], path: str) -> Found:
    texts = {column.name for column in columns if column.type == "text" and not column.of}
    seen: set[str] = set()
    for no, column in enumerate(columns):
        here = f"{path}.{no}"
        if not _NAME.match(column.name):
            yield f"{here}.name", Message("must be a name: a letter, then letters, digits and underscores")
        if unicodedata.normalize("NFKC", column.name) in seen:
            yield f"{here}.name", Message("%(name)s is there twice", name=column.name)
        seen.add(unicodedata.normalize("NFKC", column.name))
        for part in column.of:
            if part not in texts:
                yield f"{here}.of", Message("%(name)s is no text column", name=part)
        if column.of and column.type == "text":
            yield f"{here}.type", Message("must be number, date or instant where cells are joined")
        if column.type in ("date", "instant"):
            try:
                cell_pattern(profile, column)
            except DatePatternError as error:
                yield f"{here}.format", error.message
        elif column.format:
            yield f"{here}.format", Message("is for dates and instants only")


def cell_pattern(profile: ProfileDefinition, column: ColumnDefinition) -> Callable[[str], object]:
    """Return the reader of a date's or instant's text; raises DatePatternError for a wrong format."""
    if column.type == "date":
        return date_reader(column.format)
    return instant_reader(column.format, profile.time_zone)
