"""Counters: a bounded look back over the account's earlier awarded events (M23). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from carbonpoints.rules.definitions import CounterDefinition
from carbonpoints.rules.language import CONTEXT
from carbonpoints.rules.usage import UsageBook, UsageRow


class Counter:
    """A compiled counter: which rows it reads, and what an awarded event adds to it. Immutable."""

    def __init__(self, code: str, definition: CounterDefinition) -> None:
        self.code = code
        self.days = _rolling_days(definition.window)
        """Length of a rolling window in days; 0 for calendar periods."""
        self.period = "day" if self.days else definition.window
        """The period whose rows keep the tallies."""
        measure, _, attribute = definition.measure.partition(":")
        self.is_distinct = measure == "distinct"
        self._party = attribute if self.is_distinct else definition.per
        self._summed = attribute if measure == "sum" else None

    def party(self, values: Mapping[str, object], usage: UsageBook) -> str:
        """Return what stands for the party that an event counts for; empty text for all together."""
        return usage.pseudonym(str(values.get(self._party) or "")) if self._party else ""

    def amount(self, values: Mapping[str, object]) -> Decimal | int:
        """Return what an event adds."""
        if self._summed is None:
            return 1
        value = values.get(self._summed)
        return value if isinstance(value, Decimal) else Decimal(str(value or 0))

    def value(self, scope: str, usage: UsageBook, running: UsageRow, day: date, party: str) -> Decimal | int:
        """Return what the counter shows for a party before this event; `running` is the row of its running period."""
        if not self.days:
            tally = running.tallies.get(self.code)
            if not tally:
                return 0
            return len(tally) if self.is_distinct else _exact(tally.get(party, 0))
        tallies = [
            tally for row in usage.days(scope, day, self.days) if (tally := row.tallies.get(self.code))
        ]
        if self.is_distinct:
            return len(set().union(*tallies))
        total: Decimal | int = 0
        for tally in tallies:
            amount = _exact(tally.get(party, 0))
            total = total + amount if isinstance(amount, int) else CONTEXT.add(total, amount)
        return total


def _exact(amount: str | int) -> Decimal | int:
    """Return a tally's amount: a count, or a sum from its text."""
    return amount if isinstance(amount, int) else Decimal(amount)


def _rolling_days(window: str) -> int:
    return int(window.removesuffix("d")) if window[:1].isdigit() else 0
