"""What generated code may call: exact arithmetic in one context, and the functions of the language.

None of it keeps state, so that one expression serves many threads.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
)
from functools import reduce
from typing import Any, TypeVar

from carbonpoints.core.errors import Message
from carbonpoints.rules.language.tree import ValueType

DIGITS = 34
EXPONENT_MAX = 6144
"""The range of IEEE decimal128: far beyond any quantity, and small enough that no value is slow to print."""

ROUNDING_DIGITS_MAX = 12
TEXT_MAX = 1_000_000
"""Positions beyond this are refused in `substring`: no text is longer."""

FAILURES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What generated code raises when it has no value for its inputs."""

Value = TypeVar("Value")

_NUMBER = re.compile(r"-?[0-9]{1,34}(\.[0-9]{1,34})?", re.ASCII)


def _context(rounding: str) -> Context:
    return Context(
        prec=DIGITS,
        rounding=rounding,
        Emin=-EXPONENT_MAX + 1,
        Emax=EXPONENT_MAX,
        traps=[DivisionByZero, InvalidOperation, Overflow],
    )


CONTEXT = _context(ROUND_HALF_EVEN)
"""The one context of all arithmetic: 34 digits, half-even, no division by zero, no infinity, no NaN."""

_HALF_UP = _context(ROUND_HALF_UP)
_QUANTA = {Decimal(digits): Decimal(f"1e-{digits}") for digits in range(ROUNDING_DIGITS_MAX + 1)}


class Refused(ValueError):
    """A function has no answer for its arguments; the message is the sentence to show."""

    def __init__(self, message: Message) -> None:
        super().__init__(message)
        self.message = message


class Missing(ValueError):
    """A value is needed and there is none."""


def _need(value: Value | None) -> Value:
    if value is None:
        raise Missing
    return value


def _decimal(value: Decimal | int | None) -> Decimal | None:
    return Decimal(value) if isinstance(value, int) else value


def _round_half_up(value: Decimal | int, digits: Decimal | int) -> Decimal:
    quantum = _QUANTA.get(Decimal(digits))
    if quantum is None:
        raise Refused(Message("round_half_up takes 0 to %(most)s digits", most=ROUNDING_DIGITS_MAX))
    return _HALF_UP.quantize(value, quantum)


def _number(text: str) -> Decimal:
    stripped = text.strip()
    if _NUMBER.fullmatch(stripped) is None:
        raise Refused(Message("this text is no number"))
    value = Decimal(stripped)
    if len(value.as_tuple().digits) > DIGITS:
        raise Refused(Message("this text is a number of more than %(most)s digits", most=DIGITS))
    return value


def _text(value: Decimal | int) -> str:
    """Write a number plainly: no exponent, no trailing zeros, so that equal numbers give equal texts."""
    written = format(CONTEXT.normalize(value), "f")
    return "0" if written == "-0" else written


def _substring(text: str, start: Decimal | int, length: Decimal | int) -> str:
    # The range comes first: turning a huge decimal into an integer is slow.
    inside = 1 <= start <= TEXT_MAX and 0 <= length <= TEXT_MAX
    if not inside or int(start) != start or int(length) != length:
        raise Refused(
            Message("substring takes a first position from 1 and a length from 0, both whole numbers")
        )
    first = int(start) - 1
    return text[first : first + int(length)]


def _concat(*texts: str) -> str:
    return "".join(texts)


def _length(text: str) -> Decimal:
    return Decimal(len(text))


def _year(day: date) -> Decimal:
    return Decimal(day.year)


def _month(day: date) -> Decimal:
    return Decimal(day.month)


def _day(day: date) -> Decimal:
    return Decimal(day.day)


@dataclass(frozen=True)
class Function:
    """A function of the language: its parameters' types, its result and what it means.

    `repeats` lets the last parameter be given any number of further times.
    """

    parameters: tuple[ValueType, ...]
    result: ValueType
    meaning: str
    call: Callable[..., Any]
    repeats: bool = False


FUNCTIONS: Mapping[str, Function] = {
    "min": Function(("number", "number"), "number", "the smallest", CONTEXT.min, repeats=True),
    "max": Function(("number", "number"), "number", "the largest", CONTEXT.max, repeats=True),
    "abs": Function(("number",), "number", "without its sign", CONTEXT.abs),
    "floor": Function(
        ("number",), "number", "rounded down to a whole", _context(ROUND_FLOOR).to_integral_value
    ),
    "ceil": Function(
        ("number",), "number", "rounded up to a whole", _context(ROUND_CEILING).to_integral_value
    ),
    "round_half_up": Function(
        ("number", "number"), "number", "rounded to so many digits, ties away from zero", _round_half_up
    ),
    "number": Function(("text",), "number", "the number that the text writes, as in -12.50", _number),
    "length": Function(("text",), "number", "how many characters", _length),
    "year": Function(("date",), "number", "the year of a date", _year),
    "month": Function(("date",), "number", "the month of a date, 1 to 12", _month),
    "day": Function(("date",), "number", "the day of a date, 1 to 31", _day),
    "text": Function(("number",), "text", "the number written plainly", _text),
    "lower": Function(("text",), "text", "in small letters", str.lower),
    "upper": Function(("text",), "text", "in capital letters", str.upper),
    "strip": Function(("text",), "text", "without white space around it", str.strip),
    "concat": Function(("text", "text"), "text", "the texts one after another", _concat, repeats=True),
    "substring": Function(
        ("text", "number", "number"), "text", "so many characters from a position, counted from 1", _substring
    ),
    "starts_with": Function(
        ("text", "text"), "flag", "whether the first begins with the second", str.startswith
    ),
    "contains": Function(
        ("text", "text"), "flag", "whether the second occurs in the first", operator.contains
    ),
}
"""The ordinary functions. `given`, `coalesce` and `lookup` take any type and are known to the reader."""

OPERATORS: Mapping[str, tuple[str, Callable[..., Any]]] = {
    "+": ("x_add", CONTEXT.add),
    "-": ("x_subtract", CONTEXT.subtract),
    "*": ("x_multiply", CONTEXT.multiply),
    "/": ("x_divide", CONTEXT.divide),
    "negate": ("x_negate", CONTEXT.minus),
}
"""The arithmetic operators: the name that generated code calls, and what it calls."""

RUNTIME: Mapping[str, Callable[..., Any]] = {
    "x_need": _need,
    "x_decimal": _decimal,
    "x_reduce": reduce,
    **dict(OPERATORS.values()),
    **{f"x_{name}": function.call for name, function in FUNCTIONS.items()},
}
"""Every name that generated code may call, all beginning with `x_`."""
