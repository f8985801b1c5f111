"""Figures with their goals: each is the median of several runs, with the least and the greatest beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median


@dataclass(frozen=True)
class Goal:
    """A bound that a figure has to keep."""

    bound: float
    is_most: bool = False

    def is_met(self, value: float) -> bool:
        """Whether `value` keeps the bound."""
        return value <= self.bound if self.is_most else value >= self.bound

    def __str__(self) -> str:
        return f"{'≤' if self.is_most else '≥'} {show(self.bound)}"


def at_least(bound: float) -> Goal:
    """Return the goal of not less than `bound`."""
    return Goal(bound)


def at_most(bound: float) -> Goal:
    """Return the goal of not more than `bound`."""
    return Goal(bound, is_most=True)


@dataclass(frozen=True)
class Figure:
    """One line of the table: the median of `runs` runs, between `low` and `high`; the unit ends the name."""

    name: str
    value: float
    low: float
    high: float
    runs: int
    goal: str = ""
    is_met: bool | None = None


def figure(name: str, values: Iterable[float], goal: Goal | None = None) -> Figure:
    """Return the figure that the values of the single runs make."""
    measured = sorted(values)
    value = median(measured)
    return Figure(
        name=name,
        value=value,
        low=measured[0],
        high=measured[-1],
        runs=len(measured),
        goal=str(goal) if goal else "",
        is_met=goal.is_met(value) if goal else None,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the least value that at least `share` (0 to 1) of the values do not exceed."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


def show(value: float) -> str:
    """Write a figure with as many digits as anybody can use."""
    if abs(value) >= 1_000:  # noqa: PLR2004 - from here on digits after the point say nothing
        return f"{value:,.0f}"
    return f"{value:.3g}"


TITLES = ("name", "value", "least … greatest", "runs", "goal", "met")


def table_rows(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """Return the cells of the table, its titles first."""
    met = {True: "yes", False: "NO", None: ""}
    rows = [TITLES]
    for each in figures:
        noise = f"{show(each.low)} … {show(each.high)}" if each.runs > 1 else ""
        rows.append((each.name, show(each.value), noise, str(each.runs), each.goal, met[each.is_met]))
    return [tuple(row) for row in rows]


def plain_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as lines for a terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a Markdown table, the first being the titles."""
    title, *rest = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join((title, "|" + "---|" * len(rows[0]), *rest))
