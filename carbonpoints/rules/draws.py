"""What an award asks of budgets, and what they say to it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

Amounts = Mapping[str | None, int]
"""Millicredits of one award: all of them under None, the bonus of a campaign under its code."""


class Drawn(NamedTuple):
    """What budgets say to the credits of one award: all of them are covered, or none."""

    short: str | None
    """The budget that does not cover them."""
    costs: Mapping[str, list[int]]
    """Millicredits and what they cost in millionths of a fen, by budget; empty where none limits, or one is short."""

    def trace(self) -> dict[str, object]:
        """Return what a decision keeps of it."""
        if self.short is not None:
            return {"budget": self.short}
        return {"budgets": self.costs} if self.costs else {}


Draw = Callable[[Amounts], Drawn]
"""Asked once for each award that gives credits, in order."""
UNLIMITED = Drawn(None, {})


def no_budget(_: Amounts) -> Drawn:
    """Cover everything, as in a programme without budgets."""
    return UNLIMITED
