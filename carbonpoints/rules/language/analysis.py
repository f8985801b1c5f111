"""What an expression may come to for all inputs at once: a small abstract interpreter over the checked tree. Pure.

It says too much rather than too little: every value that the evaluator gives lies in what `value` returns, every
division that may fail is among `divisions`, and a condition that some input makes true may be true. What it knows
of an input or of a part of the expression is refined by the guards on the way there: the conditions of `if`, what
stands before in `and` and `or`, chained comparisons, and `assume` for a whole condition known to hold. Relations
between different inputs are not kept: `a / (b - a)` after `a < b` still may fail, after `b - a > 0` it may not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import reduce
from itertools import product
from math import prod
from typing import Any

from carbonpoints.rules.language import possible as sets
from carbonpoints.rules.language.functions import CONTEXT, FAILURES, FUNCTIONS
from carbonpoints.rules.language.possible import Possible, anything, both, chosen, either, numbers
from carbonpoints.rules.language.tree import Literal, Node, Operation, Reference

Key = tuple[object, ...]
"""A part of an expression by its shape, wherever it stands: equal parts have equal values."""
Results = Callable[[list[Possible]], Possible]
TRIALS_MAX = 64
"""A function is tried out on at most so many combinations of texts and single numbers."""

_NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def key_of(node: Node) -> Key:
    """Return the shape of a part."""
    if isinstance(node, Reference):
        return ("name", node.name)
    if isinstance(node, Literal):
        return ("literal", node.type, node.value)
    assert isinstance(node, Operation)  # noqa: S101 - there are three kinds
    return (node.operation, node.signs, *map(key_of, node.operands))


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known at one place: of inputs and of parts by shape."""

    known: Mapping[Key, Possible]

    @classmethod
    def about(cls, inputs: Mapping[str, Possible]) -> Facts:
        """Return what is known of the inputs, by name, before anything is evaluated."""
        return cls({("name", name): found for name, found in inputs.items()})

    def knowing(self, node: Node, found: Possible) -> Facts | None:
        """Return the facts when a part is known to be among `found`; None when that cannot be."""
        if not (found.has_values or found.none):
            return None
        key = key_of(node)
        return self if self.known.get(key) == found else Facts({**self.known, key: found})


def joined(one: Facts | None, other: Facts | None) -> Facts | None:
    """Return what is known where one of two ways was taken; None is a way that cannot be taken."""
    if one is None or other is None:
        return other if one is None else one
    return Facts({key: either(one.known[key], other.known[key]) for key in one.known.keys() & other.known})


class Analysis:
    """Looks through one expression under what is known where it is evaluated."""

    def __init__(self, tree: Node) -> None:
        self._tree = tree
        self.divisions: dict[tuple[int, int], Operation] = {}
        """The divisions that may fail, by their place."""
        self.choices: dict[tuple[int, int], tuple[Node, Possible]] = {}
        """The conditions of `if` that were reached, by their place, and what they may be."""
        # By the identities of a part and of the facts, which are kept so that no others take their place.
        self._values: dict[tuple[int, int], tuple[Facts, Possible]] = {}
        self._assumed: dict[tuple[int, bool, int], tuple[Facts, Facts | None]] = {}
        self._lazy: dict[str, Callable[[Operation, Facts], Possible]] = {
            "if": self._either_branch,
            **dict.fromkeys(("and", "or"), self._logical),
            "compare": self._comparison,
            "coalesce": self._coalesced,
            **dict.fromkeys(("given", "missing"), self._presence),
        }
        self._guards: dict[str, Callable[[Operation, bool, Facts], Facts | None]] = {
            "not": self._negation,
            **dict.fromkeys(("and", "or"), self._junction),
            "compare": self._order,
            **dict.fromkeys(("given", "missing"), self._given),
            **dict.fromkeys(("in", "not in"), self._membership),
        }

    def value(self, facts: Facts) -> Possible:
        """Return what the expression may come to."""
        return self._value(self._tree, facts)

    def assume(self, facts: Facts, *, holds: bool = True) -> Facts | None:
        """Return what is known once the expression, a condition, has come out so; None when it never does."""
        return self._assume(self._tree, holds, facts)

    def _value(self, node: Node, facts: Facts) -> Possible:
        place = id(node), id(facts)
        if place not in self._values:
            found = self._worked_out(node, facts)
            known = facts.known.get(key_of(node))
            self._values[place] = facts, found if known is None else both(found, known)
        return self._values[place][1]

    def _worked_out(self, node: Node, facts: Facts) -> Possible:
        if isinstance(node, Reference):
            return facts.known.get(key_of(node)) or anything(node.type, none=node.nullable)
        if isinstance(node, Literal):
            value = node.value
            return numbers([(value, value)]) if isinstance(value, Decimal) else chosen(node.type, [value])
        assert isinstance(node, Operation)  # noqa: S101 - there are three kinds
        return self._lazy.get(node.operation, self._strict)(node, facts)

    def _coalesced(self, node: Operation, facts: Facts) -> Possible:
        value, default = (self._value(operand, facts) for operand in node.operands)
        return either(value.needed, default) if value.none else value

    def _presence(self, node: Operation, facts: Facts) -> Possible:
        value = self._value(node.operands[0], facts)
        asked = node.operation == "given"
        there = [(True, value.has_values), (False, value.none)]
        return chosen("flag", [is_there is asked for is_there, may_be in there if may_be])

    def _strict(self, node: Operation, facts: Facts) -> Possible:
        """Return the results of an operation that needs all its operands."""
        operands = [self._value(operand, facts) for operand in node.operands]
        if node.operation == "lookup":
            return anything(node.type, none=True)
        if not all(operand.has_values for operand in operands):
            return Possible(node.type)
        if node.operation == "/" and operands[1].may_be_zero:
            self.divisions[(node.column, node.end_column)] = node
        tried = _tried(node.operation, operands)
        if tried is not None:
            return tried
        work = _STRICT.get(node.operation)
        return work(operands) if work is not None else anything(node.type)

    def _either_branch(self, node: Operation, facts: Facts) -> Possible:
        condition, *branches = node.operands
        found = self._value(condition, facts)
        place = (condition.column, condition.end_column)
        earlier = self.choices.get(place)
        self.choices[place] = condition, found if earlier is None else either(found, earlier[1])
        whole = Possible(node.type)
        for holds, branch in zip((True, False), branches, strict=True):
            there = self._assume(condition, holds, facts)
            if there is not None:
                whole = either(whole, self._value(branch, there))
        return whole

    def _logical(self, node: Operation, facts: Facts) -> Possible:
        """Go on while the operands hold for `and`, while they do not for `or`."""
        goes_on = node.operation == "and"
        there: Facts | None = facts
        found: set[bool] = set()
        for operand in node.operands:
            if there is None:
                break
            if self._value(operand, there).may_be(not goes_on):
                found.add(not goes_on)
            there = self._assume(operand, goes_on, there)
        return chosen("flag", found | ({goes_on} if there is not None else set()))

    def _comparison(self, node: Operation, facts: Facts) -> Possible:
        there: Facts | None = facts
        found: set[bool] = set()
        for sign, left, right in _comparisons(node):
            if there is None:
                break
            outcomes = _outcomes(sign, self._value(left, there), self._value(right, there))
            found |= outcomes - {True}
            there = self._compared(sign, left, right, there) if True in outcomes else None
        return chosen("flag", found | ({True} if there is not None else set()))

    def _assume(self, node: Node, holds: bool, facts: Facts) -> Facts | None:  # noqa: FBT001 - the value assumed
        place = id(node), holds, id(facts)
        if place not in self._assumed:
            there = self._value(node, facts).may_be(holds)
            self._assumed[place] = facts, self._refined(node, holds, facts) if there else None
        return self._assumed[place][1]

    def _refined(self, node: Node, holds: bool, facts: Facts) -> Facts | None:  # noqa: FBT001 - the value assumed
        guard = self._guards.get(node.operation) if isinstance(node, Operation) else None
        if guard is None or not isinstance(node, Operation):
            return facts.knowing(node, chosen("flag", [holds]))
        return guard(node, holds, facts)

    def _negation(self, node: Operation, holds: bool, facts: Facts) -> Facts | None:  # noqa: FBT001
        return self._assume(node.operands[0], not holds, facts)

    def _junction(self, node: Operation, holds: bool, facts: Facts) -> Facts | None:  # noqa: FBT001
        return self._all(node, facts) if holds is (node.operation == "and") else self._one(node, facts)

    def _given(self, node: Operation, holds: bool, facts: Facts) -> Facts | None:  # noqa: FBT001
        (value,) = node.operands
        found = self._value(value, facts)
        is_there = holds is (node.operation == "given")
        return facts.knowing(value, found.needed if is_there else Possible(found.type, none=True))

    def _order(self, node: Operation, holds: bool, facts: Facts) -> Facts | None:  # noqa: FBT001
        if not holds and len(node.signs) > 1:  # Which of the comparisons failed is not known.
            return facts
        there: Facts | None = facts
        for sign, left, right in _comparisons(node):
            meant = sign if holds else _NEGATED[sign]
            there = self._compared(meant, left, right, there) if there is not None else None
        return there

    def _membership(self, node: Operation, holds: bool, facts: Facts) -> Facts | None:  # noqa: FBT001
        value, *choices = (self._value(operand, facts).needed for operand in node.operands)
        if holds is (node.operation == "in"):
            return facts.knowing(node.operands[0], both(value, reduce(either, choices)))
        return facts.knowing(node.operands[0], reduce(sets.without, choices, value))

    def _all(self, node: Operation, facts: Facts) -> Facts | None:
        there: Facts | None = facts
        for operand in node.operands:
            there = self._assume(operand, node.operation == "and", there) if there is not None else None
        return there

    def _one(self, node: Operation, facts: Facts) -> Facts | None:
        """Return what is known when one of the operands has ended it."""
        goes_on = node.operation == "and"
        there: Facts | None = facts
        ended: Facts | None = None
        for operand in node.operands:
            if there is None:
                break
            ended = joined(ended, self._assume(operand, not goes_on, there))
            there = self._assume(operand, goes_on, there)
        return ended

    def _compared(self, sign: str, left: Node, right: Node, facts: Facts) -> Facts | None:
        one, other = self._value(left, facts).needed, self._value(right, facts).needed
        there = facts.knowing(left, _narrowed(sign, one, other))
        return there.knowing(right, _narrowed(_MIRRORED[sign], other, one)) if there is not None else None


def _comparisons(node: Operation) -> list[tuple[str, Node, Node]]:
    return list(zip(node.signs, node.operands[:-1], node.operands[1:], strict=True))


def _outcomes(sign: str, one: Possible, other: Possible) -> set[bool]:
    """Return how a comparison of two values may come out."""
    if not (one.has_values and other.has_values):
        return set()
    return {
        holds
        for holds, meant in ((True, sign), (False, _NEGATED[sign]))
        if _narrowed(meant, one, other).has_values and _narrowed(_MIRRORED[meant], other, one).has_values
    }


def _narrowed(sign: str, one: Possible, other: Possible) -> Possible:
    """Return what is left of `one` where it compares so with some value of `other`."""
    if sign == "==":
        return both(one, other)
    if sign == "!=":
        return sets.without(one, other)
    if one.type != "number":
        return one
    narrow = sets.below if sign.startswith("<") else sets.above
    return narrow(one, other, strictly=len(sign) == 1)


def _tried(operation: str, operands: list[Possible]) -> Possible | None:
    """Return the results of a function for few enough operands by calling it; None where they are too many."""
    function = FUNCTIONS.get(operation)
    listed = [_listed(operand) for operand in operands]
    known = [values for values in listed if values is not None]
    if function is None or len(known) < len(listed) or prod(map(len, known)) > TRIALS_MAX:
        return None
    results: list[Any] = []
    for values in product(*known):
        try:
            results.append(reduce(function.call, values) if operation in _FOLDED else function.call(*values))
        except FAILURES:
            continue
    if function.result == "number":
        return numbers([(result, result) for result in results])
    return chosen(function.result, results)


def _listed(operand: Possible) -> list[Any] | None:
    if operand.type == "number":
        return [operand.single] if operand.single is not None else None
    return list(operand.choices) if operand.choices is not None else None


def _quotient(operands: list[Possible]) -> Possible:
    value, divisor = operands
    return sets.combined(value, numbers([part for part in divisor.ranges if any(part)]), Context.divide)


def _folded(work: sets.Work) -> Results:
    return lambda operands: reduce(lambda one, other: sets.combined(one, other, work), operands)


def _mapped(work: Callable[[Decimal], Decimal]) -> Results:
    return lambda operands: sets.mapped(operands[0], work)


def _between(low: int, high: int | Decimal) -> Results:
    return lambda _operands: numbers([(Decimal(low), Decimal(high))])


def _opposite(operands: list[Possible]) -> Possible:
    return chosen("flag", [not flag for flag in operands[0].choices or ()])


def _contained(operands: list[Possible]) -> Possible:
    """Return whether the first may be among the others, and whether it may differ from each of them."""
    value, *choices = operands
    may_be = any(True in _outcomes("==", value, choice) for choice in choices)
    may_differ = reduce(sets.without, choices, value).has_values
    return chosen("flag", [True] * may_be + [False] * may_differ)


def _rounded(operands: list[Possible]) -> Possible:
    """Return the results of `round_half_up`, which lie between the wholes around a number."""
    value, digits = operands
    whole = numbers([(_floor(low), _ceiling(high)) for low, high in value.ranges])
    if digits.single is None:
        return whole
    try:
        call = FUNCTIONS["round_half_up"].call
        return sets.mapped(value, lambda number: call(number, digits.single))
    except FAILURES:  # An end of a range has too many digits; what lies between may not.
        return whole


_floor: Callable[[Decimal], Decimal] = FUNCTIONS["floor"].call
_ceiling: Callable[[Decimal], Decimal] = FUNCTIONS["ceil"].call
_FOLDED = {"min", "max"}
_STRICT: Mapping[str, Results] = {
    "+": _folded(Context.add),
    "-": _folded(Context.subtract),
    "*": _folded(Context.multiply),
    "/": _quotient,
    "negate": _mapped(CONTEXT.minus),
    "abs": _mapped(CONTEXT.abs),
    "floor": _mapped(_floor),
    "ceil": _mapped(_ceiling),
    "min": _folded(Context.min),
    "max": _folded(Context.max),
    "round_half_up": _rounded,
    "length": _between(0, sets.LARGEST),
    "year": _between(1, 9999),
    "month": _between(1, 12),
    "day": _between(1, 31),
    "not": _opposite,
    "in": _contained,
    "not in": lambda operands: _opposite([_contained(operands)]),
}
"""What comes out of the operations that need all their operands; of all others only the type is known."""
