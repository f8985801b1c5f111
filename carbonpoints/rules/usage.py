"""What an account has used of its caps and what its counters tallied, in memory. Pure.

A `UsageBook` belongs to one account inside one transaction: loaded under the account's lock, changed by the
engine in booking order, written back by the caller.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache

from carbonpoints.core.crypto import SUITE
from carbonpoints.rules.language import CONTEXT

_encode = json.JSONEncoder(separators=(",", ":")).encode

PERIODS = ("day", "month", "year")
PSEUDONYM_BYTES = 8
"""Enough to tell the parties of one account apart."""
Place = tuple[str, str]
"""(scope, period): the scope is a rule, a shared cap or a campaign, by its code."""
Key = tuple[str, str, date]
"""(scope, period, first day of the period)."""
Tallies = dict[str, dict[str, str | int]]
"""Counter code -> party -> count or exact sum as text; empty text stands for all parties together."""


def period_start(period: str, day: date) -> date:
    """Return the first day of the period that `day` lies in."""
    if period == "day":
        return day
    return day.replace(day=1) if period == "month" else date(day.year, 1, 1)


def usage_keys(places: Iterable[Place], day: date) -> tuple[Key, ...]:
    """Return the key of each place for the period that `day` lies in."""
    return tuple((scope, period, period_start(period, day)) for scope, period in places)


@lru_cache(maxsize=16_384)
def _pseudonym(secret: bytes, party: str) -> str:
    return SUITE.mac(secret, b"party\x1f" + party.encode())[:PSEUDONYM_BYTES].hex()


@dataclass(slots=True)
class UsageRow:
    """One scope in one period: what awards used and what counters tallied."""

    awards: int = 0
    reduction_mg: int = 0
    amount_millicredits: int = 0
    tallies: Tallies = field(default_factory=dict)
    is_stored: bool = False
    """Whether the database has the row already."""

    def tallies_text(self) -> str | None:
        """Return the tallies as they are stored; None when there are none."""
        return _encode(self.tallies) if self.tallies else None

    def tally(self, counter: str, party: str, amount: Decimal | int) -> None:
        """Add to a counter's tally for one party."""
        of_counter = self.tallies.setdefault(counter, {})
        if isinstance(amount, int):
            of_counter[party] = int(of_counter.get(party, 0)) + amount
        else:
            of_counter[party] = str(CONTEXT.add(Decimal(of_counter.get(party, 0)), amount))


def read_tallies(text: str | None) -> Tallies:
    """Return tallies as they were stored."""
    tallies: Tallies = json.loads(text) if text else {}
    return tallies


@dataclass(slots=True)
class UsageBook:
    """The usage rows of one account.

    `secret` keys the pseudonyms under which counters tally parties: what an event says stays in its payload
    (M15).
    """

    secret: bytes = b""
    rows: dict[Key, UsageRow] = field(default_factory=dict)
    touched: set[Key] = field(default_factory=set)
    opened_on: date | None = None
    """The local date on which the account was opened, which campaigns may ask for."""

    def pseudonym(self, party: str) -> str:
        """Return what stands for a party in the tallies; empty text, for all together, stays empty."""
        return _pseudonym(self.secret, party) if party else ""

    def change(self, key: Key) -> UsageRow:
        """Return the row for changing."""
        self.touched.add(key)
        row = self.rows.get(key)
        if row is None:
            row = self.rows[key] = UsageRow()
        return row

    def days(self, scope: str, last: date, count: int) -> Iterable[UsageRow]:
        """Return the rows of the `count` days that end with `last`."""
        for back in range(count):
            row = self.rows.get((scope, "day", last - timedelta(days=back)))
            if row is not None:
                yield row
