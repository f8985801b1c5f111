"""The checked tree of an expression: what the reader builds and everything else walks."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal as OneOf
from typing import get_args

ValueType = OneOf["number", "text", "flag", "date", "instant"]
VALUE_TYPES: tuple[ValueType, ...] = get_args(ValueType)


@dataclass(frozen=True)
class Variable:
    """A name that an expression may use. `unit` "" is dimensionless; `nullable` values may be None."""

    type: ValueType
    unit: str = ""
    nullable: bool = False


@dataclass(frozen=True, kw_only=True)
class Node:
    """A part of an expression: its type, whether it may be None, and its place in the source (1-based)."""

    type: ValueType
    nullable: bool = False
    column: int
    end_column: int


@dataclass(frozen=True, kw_only=True)
class Literal(Node):
    """A value written in the source."""

    value: Decimal | str | bool


@dataclass(frozen=True, kw_only=True)
class Reference(Node):
    """A variable, under the name it was declared with."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Operation(Node):
    """An operator or function applied to its operands.

    `operation` is one of `+ - * / negate and or not if compare given missing coalesce lookup`,
    `in`, `not in`, or the name of a function in `FUNCTIONS`. Operands of `if` are condition, then, else; of `in` the value and the choices; of
    `lookup` the table's name (a Literal) and the key. `signs` are the comparison signs of `compare`.
    """

    operation: str
    operands: tuple[Node, ...]
    signs: tuple[str, ...] = ()
