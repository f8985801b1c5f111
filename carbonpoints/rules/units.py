"""Units of formulas, checked when a rule is loaded; nothing here runs when an event is evaluated.

A unit is written in ASCII with `*` and `/`: `g/person_km`. Nothing is converted silently: km and m, or g and
kg, do not fit each other, and the message says the factor between them. What is counted (rides, sheets,
kilograms of textile) is a dimension of its own, so that two counts never cancel by accident.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any, Never

from carbonpoints.core.errors import Message
from carbonpoints.rules.language import (
    Expression,
    ExpressionError,
    Literal,
    Node,
    Operation,
    Reference,
    Variable,
)

SIZES = (
    "g = [mass]",
    "mg = 0.001 * g",
    "kg = 1000 * g",
    "t = 1000000 * g",
    "km = [length]",
    "m = 0.001 * km",
    "kJ = [energy]",
    "MJ = 1000 * kJ",
    "GJ = 1000000 * kJ",
    "TJ = 1000000000 * kJ",
    "kWh = 3600 * kJ",
    "MWh = 3600000 * kJ",
    "m3 = [volume]",
    "L = 0.001 * m3",
    "mu = [area]",
    "ha = 15 * mu",
    "m2 = 0.0015 * mu",
    "s = [time]",
    "minute = 60 * s",
    "h = 3600 * s",
    "CNY = [money]",
    "fen = 0.01 * CNY",
)
"""Units that convert into each other, each family by its first."""

COUNTS = (
    *("person", "person_km", "vehicle", "vehicle_km", "trip", "passenger_trip", "ride", "step"),
    *("transaction", "receipt", "statement", "bill", "sheet", "case", "action", "order", "item", "donation"),
    *("point", "plant", "tree", "day", "month", "year", "kg_textile", "kg_material", "kgce"),
)
"""Units that convert into nothing: what is counted, and masses and energies that are no plain mass or energy."""

_PLAIN_NUMBER = Message("a plain number")
_UNIT = re.compile(r"(?:1|[A-Za-z]\w*)(?:[*/][A-Za-z]\w*)*", re.ASCII)
_NOT_COMPARED = Message("%(one)s and %(other)s cannot be compared%(sizes)s")
_NOT_COMBINED = Message("%(one)s and %(other)s cannot be combined%(sizes)s")
_NOT_TOGETHER = {
    "+": Message("%(one)s and %(other)s cannot be added%(sizes)s"),
    "-": Message("%(one)s and %(other)s cannot be subtracted%(sizes)s"),
    **dict.fromkeys(("compare", "in", "not in"), _NOT_COMPARED),
}
_NOT_NEEDED = Message("this gives %(one)s, but %(other)s is needed%(sizes)s")
_NOT_PLAIN = Message("this has the unit %(one)s, but a plain number is needed%(sizes)s")


@cache
def _registry() -> Any:
    # Half a second that only a check needs: no process pays for it at its start.
    import pint  # noqa: PLC0415

    registry: Any = pint.UnitRegistry(None, non_int_type=Fraction)
    for definition in SIZES:
        registry.define(definition)
    for count in COUNTS:
        registry.define(f"{count} = [{count}]")
    return registry


_NAMES = frozenset(definition.split(" ")[0] for definition in SIZES) | frozenset(COUNTS)


def parse_unit(text: str) -> str:
    """Return the canonical text of a unit: `g/person_km`; "" for a plain number, written "" or "1".

    Names stand in alphabetical order, a power is the name repeated. Raises ValueError, with a sentence for
    the person who wrote it, for a name that is not known and for anything but names, `*` and `/`.
    """
    return _written(_parsed(text))


def conversion_factor(from_unit: str, to_unit: str) -> Decimal:
    """Return the exact number of `to_unit` in one `from_unit`: 1000 for kg/kWh to g/kWh.

    Raises ValueError when a unit is bad, when they measure different things, and when the factor is no
    exact decimal (1 kJ is 1/3600 kWh).
    """
    ratio = _ratio(_parsed(from_unit), _parsed(to_unit))
    if ratio is None:
        raise ValueError(
            Message(
                "%(one)s and %(other)s measure different things",
                one=_said(_parsed(from_unit)),
                other=_said(_parsed(to_unit)),
            )
        )
    factor = _exact(ratio)
    if factor is None:
        raise ValueError(
            Message(
                "one %(one)s is %(ratio)s %(other)s, which is no exact decimal",
                one=from_unit,
                ratio=ratio,
                other=to_unit,
            )
        )
    return factor


def check_units(expression: Expression, variables: Mapping[str, Variable], expected_unit: str | None) -> str:
    """Return the canonical unit of the expression's value, "" for a plain number and for what is no number.

    `expected_unit` is the unit that the result must have exactly, None for any. A literal zero fits every
    unit, and so does a threshold in a comparison (`energy_kwh >= 5`); any other literal is a plain number,
    because figures with a unit belong into factors. Raises
    ExpressionError with code `unit_mismatch` at the part that does not fit, and `unit_unknown` at a
    variable whose unit is bad.
    """
    tree = expression.tree
    unit = _Checker(variables).unit(tree)
    if expected_unit is None:
        return "" if unit is None else _written(unit)
    expected = _parsed(expected_unit)
    if unit is not None and unit != expected:
        _mismatch(tree, _NOT_NEEDED, unit, expected, one=_said(unit), other=_said(expected))
    return _written(expected)


class _Checker:
    """Works out the unit of every part; None stands for the unit of a literal zero, which fits all."""

    def __init__(self, variables: Mapping[str, Variable]) -> None:
        self._variables = variables

    def unit(self, node: Node) -> Any:
        if isinstance(node, Reference):
            return self._variable(node)
        if isinstance(node, Literal):
            return None if node.type == "number" and node.value == 0 else _PLAIN
        if not isinstance(node, Operation):
            raise TypeError(node)
        units = [self.unit(operand) for operand in node.operands]
        rule = _RULES.get(node.operation, _plain)
        return rule(node, units)

    def _variable(self, node: Reference) -> Any:
        try:
            return _parsed(self._variables[node.name].unit)
        except ValueError as error:
            message = Message("the unit of %(name)s is wrong: %(error)s", name=node.name, error=error.args[0])
            raise ExpressionError("unit_unknown", message, node.column, node.end_column) from None


def _same(node: Operation, units: Sequence[Any], operands: Sequence[Node] | None = None) -> Any:
    """All operands have one unit, and so has the result."""
    known: Any = None
    for operand, unit in zip(node.operands if operands is None else operands, units, strict=True):
        if known is None:
            known = unit
        elif unit is not None and unit != known:
            template = _NOT_TOGETHER.get(node.operation, _NOT_COMBINED)
            _mismatch(operand, template, unit, known, one=_said(known), other=_said(unit))
    return known


def _compared(node: Operation, units: Sequence[Any]) -> Any:
    """Compare values of one unit; a written threshold is meant in the unit of what it is held against."""
    written = [isinstance(operand, Literal) for operand in node.operands]
    _same(node, [None if literal else unit for literal, unit in zip(written, units, strict=True)])
    return _PLAIN


def _chosen(node: Operation, units: Sequence[Any]) -> Any:
    return _same(node, units[1:], node.operands[1:])


def _product(node: Operation, units: Sequence[Any]) -> Any:
    left, right = (_PLAIN if unit is None else unit for unit in units)
    return left * right if node.operation == "*" else left / right


def _kept(_node: Operation, units: Sequence[Any]) -> Any:
    return units[0]


def _rounded(node: Operation, units: Sequence[Any]) -> Any:
    _plain(node, (_PLAIN, *units[1:]))
    return units[0]


def _free(_node: Operation, _units: Sequence[Any]) -> Any:
    return _PLAIN


def _plain(node: Operation, units: Sequence[Any]) -> Any:
    """Every operand is a plain number or no number at all."""
    for operand, unit in zip(node.operands, units, strict=True):
        if unit is not None and unit != _PLAIN:
            _mismatch(operand, _NOT_PLAIN, unit, _PLAIN, one=_said(unit))
    return _PLAIN


_RULES: Mapping[str, Callable[[Operation, Sequence[Any]], Any]] = {
    **dict.fromkeys(("+", "-", "min", "max", "coalesce"), _same),
    **dict.fromkeys(("compare", "in", "not in"), _compared),
    **dict.fromkeys(("*", "/"), _product),
    **dict.fromkeys(("negate", "abs", "floor", "ceil"), _kept),
    **dict.fromkeys(("given", "missing", "text"), _free),
    "round_half_up": _rounded,
    "if": _chosen,
}
"""How an operation treats units; every other one wants plain numbers."""


def _parsed(text: str) -> Any:
    compact = text.replace(" ", "") or "1"
    if _UNIT.fullmatch(compact) is None:
        raise ValueError(
            Message("%(text)s is no unit: write names with * and /, as in g/person_km", text=repr(text))
        )
    for name in re.split(r"[*/]", compact):
        if name != "1" and name not in _NAMES:
            raise ValueError(Message("%(name)s is no unit that is known here", name=repr(name)))
    return _registry().parse_units(compact)


_PLAIN = _parsed("1")


def _written(unit: Any) -> str:
    powers = sorted(_registry().Quantity(1, unit).unit_items())
    above = [name for name, power in powers for _ in range(int(power))]
    below = [name for name, power in powers for _ in range(-int(power))]
    if not below:
        return "*".join(above)
    return "/".join(["*".join(above) or "1", *below])


def _said(unit: Any) -> str:
    return _written(unit) or _PLAIN_NUMBER


def _ratio(unit: Any, other: Any) -> Fraction | None:
    if unit.dimensionality != other.dimensionality:
        return None
    return Fraction(_registry().convert(Fraction(1), unit, other))


def _exact(ratio: Fraction) -> Decimal | None:
    value = Decimal(ratio.numerator) / Decimal(ratio.denominator)
    return value if Fraction(value) == ratio else None


def _mismatch(node: Node, template: Message, found: Any, wanted: Any, **words: object) -> Never:
    """Refuse, and name the factor where two units measure the same thing in different sizes."""
    large, small, ratio = found, wanted, _ratio(found, wanted)
    if ratio is not None and ratio < 1:
        large, small, ratio = wanted, found, 1 / ratio
    sizes = "" if ratio is None else f" (1 {_said(large)} = {_exact(ratio) or ratio} {_said(small)})"
    message = template.filling(**words, sizes=sizes)
    raise ExpressionError("unit_mismatch", message, node.column, node.end_column)
