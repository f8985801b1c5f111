"""What nobody knows any more of an account's usage, because inputs were erased (M15). Without a database.

Of an erased award stands what it gave. Whom its counters counted it for is gone, and of a rule that posts no milligrams
how many its caps counted.
"""

from __future__ import annotations

from datetime import date, timedelta

from carbonpoints.rules.counters import Counter
from carbonpoints.rules.engine import CompiledRule
from carbonpoints.rules.usage import Key, period_start, usage_keys


class Forgotten:
    """The periods of one account in which tallies or milligrams are not known."""

    def __init__(self) -> None:
        self._tallies: set[Key] = set()
        self._milligrams: set[Key] = set()

    def __bool__(self) -> bool:
        return bool(self._tallies or self._milligrams)

    def forget_tallies(self, compiled: CompiledRule, day: date) -> None:
        """Note that an award of a local date was counted, and nobody knows for whom."""
        self._tallies.update(key for each in compiled.counters for key in _periods(each, compiled, day, 1))

    def forget_milligrams(self, compiled: CompiledRule, day: date) -> None:
        """Note that nobody knows how many milligrams caps counted for an award of a local date."""
        self._milligrams.update(usage_keys(compiled.places[: compiled.own_places], day))

    def touches(self, compiled: CompiledRule, day: date) -> bool:
        """Whether a rule that judges an act of a local date looks at any of it."""
        if not self._milligrams.isdisjoint(usage_keys(compiled.measured, day)):
            return True
        return any(
            key in self._tallies
            for each in compiled.counters
            for key in _periods(each, compiled, day, each.days or 1)
        )


def _periods(counter: Counter, compiled: CompiledRule, day: date, days: int) -> list[Key]:
    """Return the periods in which a counter keeps its tallies for the days that end with `day`."""
    return [
        (compiled.rule.code, counter.period, period_start(counter.period, day - timedelta(days=back)))
        for back in range(days)
    ]
