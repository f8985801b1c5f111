"""From YAML or stored JSON to definitions and back: one reader for both, driven by the dataclasses.

Every problem names file, line and field, and all problems of a file are reported together. Unknown fields are
refused, and numbers where an exact decimal belongs in quotes. `as_content` writes the JSON that a version row
stores, with every field spelled out, so that a later change of a default changes no stored version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from carbonpoints.core.errors import Message
from carbonpoints.rules.nodes import DefinitionError, Node, Problem, join_path

T = TypeVar("T")

_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?\Z")
_DECIMAL_LENGTH = 34


class _WrongError(Exception):
    """The value at hand is unusable and the problem is noted."""


class Reader:
    """Reads one tree into definitions and collects what is wrong with it."""

    def __init__(self, file: str, root: Node) -> None:
        self.file = file
        self.root = root
        self.problems: list[Problem] = []

    def note(self, path: str, message: Message) -> None:
        """Add a problem at a path of the tree."""
        self.problems.append(Problem(self.file, self.root.at(path).line, path, message))

    def finish(self) -> None:
        """Raise DefinitionError when anything was noted."""
        if self.problems:
            raise DefinitionError(tuple(sorted(self.problems, key=lambda problem: problem.line)))

    def read(self, kind: type[T]) -> T:
        """Return the whole tree as an instance of the dataclass `kind`; raises DefinitionError."""
        try:
            instance: T = self._value(kind, self.root, "")
        except _WrongError:
            self.finish()
            raise  # unreachable: a wrong value is always noted first
        return instance

    def _refuse(self, node: Node, path: str, message: Message, code: str = "wrong_type") -> _WrongError:
        self.problems.append(Problem(self.file, node.line, path, message, code))
        return _WrongError()

    def _value(self, hint: Any, node: Node, path: str) -> Any:
        origin = get_origin(hint)
        if origin in (Union, UnionType):
            return self._union(get_args(hint), node, path)
        if is_dataclass(hint) and isinstance(hint, type):
            return self._dataclass(hint, node, path)
        if origin is tuple:
            return self._list(get_args(hint)[0], node, path)
        if origin is Mapping:
            return self._mapping(get_args(hint)[1], node, path)
        if origin is Literal:
            choices = get_args(hint)
            if node.value not in choices:
                message = Message(
                    "must be one of %(choices)s, not %(value)s",
                    choices=", ".join(choices),
                    value=_shown(node),
                )
                raise self._refuse(node, path, message, "not_a_choice")
            return node.value
        convert, expectation = _SCALARS[hint]
        try:
            return convert(node.value)
        except (ValueError, TypeError, ArithmeticError):
            raise self._refuse(node, path, expectation.filling(value=_shown(node))) from None

    def _union(self, hints: tuple[Any, ...], node: Node, path: str) -> Any:
        if node.value is None and NoneType in hints:
            return None
        rest = [hint for hint in hints if hint is not NoneType]
        if len(rest) == 1:
            return self._value(rest[0], node, path)
        if type(node.value) not in rest:
            message = Message(
                "must be text, a whole number, true or false, not %(value)s", value=_shown(node)
            )
            raise self._refuse(node, path, message)
        return node.value

    def _dataclass(self, kind: type[Any], node: Node, path: str) -> Any:
        entries = self._entries(node, path)
        known = {item.name: item for item in fields(kind)}
        wrong = False
        for key in entries.keys() - known.keys():
            self._refuse(
                entries[key], join_path(path, key), Message("is not a known field here"), "unknown_field"
            )
            wrong = True
        hints, values = get_type_hints(kind), {}
        for name, item in known.items():
            if name not in entries:
                if item.default is MISSING and item.default_factory is MISSING:
                    self._refuse(node, join_path(path, name), Message("is missing"), "required")
                    wrong = True
                continue
            try:
                values[name] = self._value(hints[name], entries[name], join_path(path, name))
            except _WrongError:
                wrong = True
        if wrong:
            raise _WrongError
        return kind(**values)

    def _mapping(self, hint: Any, node: Node, path: str) -> dict[str, Any]:
        entries = self._entries(node, path)
        return self._all({key: (hint, item, join_path(path, key)) for key, item in entries.items()})

    def _list(self, hint: Any, node: Node, path: str) -> tuple[Any, ...]:
        if not isinstance(node.value, list):
            raise self._refuse(node, path, Message("must be a list, not %(value)s", value=_shown(node)))
        parts = {str(no): (hint, item, join_path(path, str(no))) for no, item in enumerate(node.value)}
        return tuple(self._all(parts).values())

    def _all(self, parts: Mapping[str, tuple[Any, Node, str]]) -> dict[str, Any]:
        values, wrong = {}, False
        for key, (hint, node, path) in parts.items():
            try:
                values[key] = self._value(hint, node, path)
            except _WrongError:
                wrong = True
        if wrong:
            raise _WrongError
        return values

    def _entries(self, node: Node, path: str) -> dict[str, Node]:
        if not isinstance(node.value, dict):
            message = Message("must be a group of fields, not %(value)s", value=_shown(node))
            raise self._refuse(node, path, message)
        return node.value


def _shown(node: Node) -> str:
    if isinstance(node.value, dict):
        return Message("a group of fields")
    if isinstance(node.value, list):
        return Message("a list")
    return Message("nothing") if node.value is None else repr(node.value)


def exact_decimal(value: object) -> Decimal:
    """Return the exact decimal written in a text such as "26.9"; ValueError for anything else."""
    if not isinstance(value, str) or not _DECIMAL.match(value) or len(value) > _DECIMAL_LENGTH:
        raise ValueError(value)
    return Decimal(value)


def _only(kind: type[T]) -> Callable[[object], T]:
    def convert(value: object) -> T:
        if type(value) is not kind:
            raise TypeError(value)
        return value

    return convert


def _date(value: object) -> date:
    return date.fromisoformat(_only(str)(value))


def _time(value: object) -> time:
    return time.fromisoformat(_only(str)(value))


def _instant(value: object) -> datetime:
    instant = datetime.fromisoformat(_only(str)(value))
    if instant.tzinfo is None:
        raise ValueError(value)
    return instant


_SCALARS: dict[Any, tuple[Callable[[object], Any], Message]] = {
    str: (_only(str), Message("must be text, not %(value)s")),
    int: (_only(int), Message("must be a whole number, not %(value)s")),
    bool: (_only(bool), Message("must be true or false, not %(value)s")),
    Decimal: (exact_decimal, Message('must be an exact decimal in quotes, as in "26.9", not %(value)s')),
    date: (_date, Message("must be a date, as in 2026-01-31, not %(value)s")),
    time: (_time, Message('must be a time in quotes, as in "22:30", not %(value)s')),
    datetime: (
        _instant,
        Message(
            'must be an instant with its offset in quotes, as in "2026-01-31T00:00:00+08:00", not %(value)s'
        ),
    ),
}


def as_content(value: Any) -> Any:
    """Return a definition, or a part of one, as JSON-able content; `parsing.from_content` gives the same back."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: as_content(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {key: as_content(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [as_content(item) for item in value]
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date | time):
        return value.isoformat()
    return value
