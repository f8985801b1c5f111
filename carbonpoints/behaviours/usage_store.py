"""Usage rows of many accounts, read and written set-based under the accounts' locks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from struct import Struct

from sqlalchemy.orm import Session

from carbonpoints.behaviours.candidates import Candidate
from carbonpoints.core.arrays import of_numbers, of_texts, of_times
from carbonpoints.core.copying import JSONB_VERSION, NULL, days_of
from carbonpoints.core.db import copy_rows, raw_connection, settings
from carbonpoints.rules.engine import CompiledRule
from carbonpoints.rules.usage import Place, UsageBook, UsageRow, period_start, read_tallies

LOAD = """
SELECT u.account_id, u.scope, u.period, u.period_start, u.awards, u.reduction_mg, u.amount_millicredits, u.tallies::text
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::date[], %s::date[]) AS w (account_id, scope, period, first, last)
JOIN usage u ON u.account_id = w.account_id AND u.scope = w.scope AND u.period = w.period
    AND u.period_start BETWEEN w.first AND w.last
"""
USAGE = "usage (account_id, scope, period, period_start, awards, reduction_mg, amount_millicredits, tallies)"
UPDATE = """
UPDATE usage SET awards = new.awards, reduction_mg = new.reduction_mg,
    amount_millicredits = new.amount_millicredits, tallies = new.tallies
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::date[], %s::int[], %s::bigint[], %s::bigint[], %s::jsonb[])
    AS new (account_id, scope, period, period_start, awards, reduction_mg, amount_millicredits, tallies)
WHERE usage.account_id = new.account_id AND usage.scope = new.scope AND usage.period = new.period
    AND usage.period_start = new.period_start
"""
_LENGTH = Struct(">i")
_HEAD = Struct(">h iq")
_AMOUNTS = Struct(">ii ii iq iq")

Ranges = Mapping[tuple[int, str, str], tuple[date, date]]
"""First and last period start wanted, per account, scope and period."""


def load(session: Session, candidates: Sequence[Candidate]) -> dict[int, UsageBook]:
    """Return the usage that each candidate's rule looks at, by account."""
    return load_ranges(session, _ranges(candidates))


def load_ranges(session: Session, ranges: Ranges) -> dict[int, UsageBook]:
    """Return the usage in these periods, by account; an account without any is absent."""
    books: dict[int, UsageBook] = {}
    if not ranges:
        return books
    secret = settings().identity_key
    parameters = (
        of_numbers(account_id for account_id, _, _ in ranges),
        of_texts(scope for _, scope, _ in ranges),
        of_texts(period for _, _, period in ranges),
        of_times(first for first, _ in ranges.values()),
        of_times(last for _, last in ranges.values()),
    )
    found = raw_connection(session).execute(LOAD, parameters, binary=True).fetchall()
    for account_id, scope, period, start, awards, reduction_mg, amount_millicredits, tallies in found:
        book = books.get(account_id)
        if book is None:
            book = books[account_id] = UsageBook(secret=secret)
        book.rows[scope, period, start] = UsageRow(
            awards, reduction_mg, amount_millicredits, read_tallies(tallies), is_stored=True
        )
    return books


def ranges_of(acts: Iterable[tuple[int, CompiledRule, date]]) -> Ranges:
    """Return the periods that rules look at for acts: account, rule and local date of each."""
    return _merged((account_id, _reach(compiled.looks_at, day, day)) for account_id, compiled, day in acts)


def _ranges(candidates: Sequence[Candidate]) -> Ranges:
    spans: dict[tuple[int, CompiledRule], tuple[date, date]] = {}
    for candidate in candidates:
        if candidate.compiled is None or candidate.local_date is None:
            continue
        key, day = (candidate.account_id, candidate.compiled), candidate.local_date
        first, last = spans.get(key, (day, day))
        spans[key] = (min(first, day), max(last, day))
    return _merged(
        (account_id, _reach(compiled.looks_at, first, last))
        for (account_id, compiled), (first, last) in spans.items()
    )


def _merged(reaches: Iterable[tuple[int, Mapping[Place, tuple[date, date]]]]) -> Ranges:
    """Return for each account and place the least range that holds all: rules share caps, versions their rule."""
    ranges: dict[tuple[int, str, str], tuple[date, date]] = {}
    for account_id, reach in reaches:
        for (scope, period), (low, high) in reach.items():
            known = ranges.get((account_id, scope, period))
            ranges[account_id, scope, period] = (
                (low, high) if known is None else (min(low, known[0]), max(high, known[1]))
            )
    return ranges


@lru_cache(maxsize=4_096)
def _reach(
    looks_at: tuple[tuple[Place, int], ...], first: date, last: date
) -> dict[Place, tuple[date, date]]:
    """Return the first and last period of each place that a rule looks at for acts on these days."""
    return {
        (scope, period): (
            period_start(period, first - timedelta(days=days_back)),
            period_start(period, last),
        )
        for (scope, period), days_back in looks_at
    }


def write(session: Session, books: Mapping[int, UsageBook]) -> None:
    """Write what the engine touched.

    What `load` did not find is new for certain: whoever writes an account's usage holds its lock.
    """
    touched = [
        (account_id, *key, book.rows[key])
        for account_id, book in books.items()
        for key in sorted(book.touched)
    ]
    copy_rows(session, USAGE, [_packed(*each) for each in touched if not each[4].is_stored])
    rows = [each for each in touched if each[4].is_stored]
    if rows:
        parameters = (
            of_numbers(row[0] for row in rows),
            of_texts(row[1] for row in rows),
            of_texts(row[2] for row in rows),
            of_times(row[3] for row in rows),
            of_numbers(row[4].awards for row in rows),
            of_numbers(row[4].reduction_mg for row in rows),
            of_numbers(row[4].amount_millicredits for row in rows),
            of_texts(row[4].tallies_text() for row in rows),
        )
        if raw_connection(session).execute(UPDATE, parameters).rowcount != len(rows):
            raise RuntimeError("usage that was loaded under its account's lock is gone")


@lru_cache(maxsize=256)
def _packed_text(text: str) -> bytes:
    value = text.encode()
    return len(value).to_bytes(4, "big") + value


def _packed(account_id: int, scope: str, period: str, start: date, row: UsageRow) -> bytes:
    """Return a row as binary COPY takes it."""
    text = row.tallies_text()
    amounts = _AMOUNTS.pack(4, days_of(start), 4, row.awards, 8, row.reduction_mg, 8, row.amount_millicredits)
    tallies = (
        NULL if text is None else _LENGTH.pack(len(document := JSONB_VERSION + text.encode())) + document
    )
    return _HEAD.pack(8, 8, account_id) + _packed_text(scope) + _packed_text(period) + amounts + tallies
