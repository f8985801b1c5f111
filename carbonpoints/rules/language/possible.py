"""What a part of an expression may come to: numbers as ranges, texts and flags as sets, or nothing at all.

Every range is closed. Numbers lie in at most three of them: below zero, zero itself, above zero, so that "may be
zero" is a question of its own. The bounds of arithmetic are rounded outwards in the evaluator's own precision,
which makes them hold for its rounded results as well. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from itertools import product

from carbonpoints.rules.language.functions import CONTEXT
from carbonpoints.rules.language.tree import ValueType

Range = tuple[Decimal, Decimal]
Work = Callable[[Context, Decimal, Decimal], Decimal]
Choices = frozenset[str | bool] | None
"""The texts or flags there may be; None for any value of the type."""

ZERO = Decimal(0)
LARGEST = Decimal("9." + "9" * (CONTEXT.prec - 1) + f"E{CONTEXT.Emax}")
LEAST = LARGEST.copy_negate()
SMALLEST = Decimal(f"1E{CONTEXT.Etiny()}")
"""The number next to zero: whatever is not zero is at least as far from it."""
CHOICES_MAX = 64
"""Larger sets count as any value."""
FLAGS: Choices = frozenset({True, False})


def _outwards(rounding: str) -> Context:
    return Context(prec=CONTEXT.prec, rounding=rounding, Emin=CONTEXT.Emin, Emax=CONTEXT.Emax, traps=[])


DOWN, UP = _outwards(ROUND_FLOOR), _outwards(ROUND_CEILING)


@dataclass(frozen=True)
class Possible:
    """The values that a part may have, by its type, and whether it may have none.

    `ranges` is for numbers, `choices` for everything else: any date or instant, or none of them.
    """

    type: ValueType
    ranges: tuple[Range, ...] = ()
    choices: Choices = frozenset()
    none: bool = False

    @property
    def has_values(self) -> bool:
        """Whether there is a value at all: a part that fails for every input has none."""
        return bool(self.ranges) or self.choices is None or bool(self.choices)

    @property
    def may_be_zero(self) -> bool:
        """Whether the number may be zero."""
        return any(low <= ZERO <= high for low, high in self.ranges)

    def may_be(self, value: str | bool) -> bool:  # noqa: FBT001 - a flag is a value here
        """Whether a text or flag may be `value`."""
        return self.choices is None or value in self.choices

    @property
    def needed(self) -> Possible:
        """What is left where a value must be there."""
        return replace(self, none=False)

    @property
    def single(self) -> Decimal | str | bool | None:
        """The only value there may be; None where there are several."""
        if len(self.ranges) == 1 and self.ranges[0][0] == self.ranges[0][1]:
            return self.ranges[0][0]
        return next(iter(self.choices)) if self.choices is not None and len(self.choices) == 1 else None


def anything(kind: ValueType, *, none: bool = False) -> Possible:
    """Return every value of a type."""
    if kind == "number":
        return numbers([(LEAST, LARGEST)], none=none)
    return Possible(kind, choices=FLAGS if kind == "flag" else None, none=none)


def numbers(ranges: Iterable[Range], *, none: bool = False, nearest: Decimal = SMALLEST) -> Possible:
    """Return the numbers of these ranges, those of one sign joined; `nearest` is how close to zero they come."""
    below: list[Range] = []
    zero: list[Range] = []
    above: list[Range] = []
    for given_low, given_high in ranges:
        low, high = max(given_low, LEAST), min(given_high, LARGEST)
        if low < ZERO:
            below.append((low, min(high, nearest.copy_negate())))
        if low <= ZERO <= high:
            zero = [(ZERO, ZERO)]
        if high > ZERO:
            above.append((max(low, nearest), high))
    joined = [
        (min(low for low, _ in part), max(high for _, high in part)) for part in (below, zero, above) if part
    ]
    return Possible("number", ranges=tuple(part for part in joined if part[0] <= part[1]), none=none)


def chosen(kind: ValueType, choices: Iterable[str | bool], *, none: bool = False) -> Possible:
    """Return these texts or flags; any of the type where they are too many."""
    found = frozenset(choices)
    return Possible(kind, choices=found if len(found) <= CHOICES_MAX else None, none=none)


def either(one: Possible, other: Possible) -> Possible:
    """Return what may be in one or the other."""
    none = one.none or other.none
    if one.type == "number":
        return numbers([*one.ranges, *other.ranges], none=none)
    if one.choices is None or other.choices is None:
        return Possible(one.type, choices=None, none=none)
    return chosen(one.type, one.choices | other.choices, none=none)


def both(one: Possible, other: Possible) -> Possible:
    """Return what may be in both."""
    none = one.none and other.none
    if one.type == "number":
        common = ((max(a[0], b[0]), min(a[1], b[1])) for a, b in product(one.ranges, other.ranges))
        return numbers([(low, high) for low, high in common if low <= high], none=none)
    if one.choices is None or other.choices is None:
        return Possible(one.type, choices=other.choices if one.choices is None else one.choices, none=none)
    return Possible(one.type, choices=one.choices & other.choices, none=none)


def without(one: Possible, other: Possible) -> Possible:
    """Return what is left of `one` where it must differ from `other`; only a single value takes anything away."""
    value = other.single
    if isinstance(value, Decimal):
        left = ((CONTEXT.next_plus(a) if a == value else a, b) for a, b in one.ranges)
        cut = [(a, CONTEXT.next_minus(b) if b == value else b) for a, b in left]
        return numbers([(low, high) for low, high in cut if low <= high], none=one.none)
    if value is None or one.choices is None:
        return one
    return replace(one, choices=one.choices - {value})


def below(one: Possible, other: Possible, *, strictly: bool) -> Possible:
    """Return what is left of the numbers of `one` where they must be below some number of `other`."""
    if not other.ranges:
        return replace(one, ranges=())
    bound = max(high for _, high in other.ranges)
    limit = CONTEXT.next_minus(bound) if strictly else bound
    return both(one, numbers([(LEAST, limit)], none=one.none))


def above(one: Possible, other: Possible, *, strictly: bool) -> Possible:
    """Return what is left of the numbers of `one` where they must be above some number of `other`."""
    if not other.ranges:
        return replace(one, ranges=())
    bound = min(low for low, _ in other.ranges)
    limit = CONTEXT.next_plus(bound) if strictly else bound
    return both(one, numbers([(limit, LARGEST)], none=one.none))


def combined(one: Possible, other: Possible, work: Work) -> Possible:
    """Return the results of an operation that is monotone in each operand while the other one stays.

    The least and the largest result then lie at the ends of the ranges.
    """
    found = []
    for left, right in product(one.ranges, other.ranges):
        ends = list(product(left, right))
        found.append((min(work(DOWN, *end) for end in ends), max(work(UP, *end) for end in ends)))
    return numbers([(low, high) for low, high in found if low <= LARGEST and high >= LEAST])


def mapped(one: Possible, work: Callable[[Decimal], Decimal]) -> Possible:
    """Return the results of an operation on one number that is monotone within a sign."""
    ends = [sorted((work(low), work(high))) for low, high in one.ranges]
    return numbers([(low, high) for low, high in ends])
