"""Usage rows of many accounts, read and written set-based under the accounts' locks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from sqlalchemy.orm import Session

from carbonpoints.behaviours.candidates import Candidate
from carbonpoints.core.arrays import of_numbers, of_texts, of_times
from carbonpoints.core.db import raw_connection, settings
from carbonpoints.rules.usage import UsageBook, UsageRow, period_start

LOAD = """
SELECT u.account_id, u.scope, u.period, u.period_start, u.awards, u.reduction_mg, u.amount_millicredits, u.tallies::text
FROM unnest(%s::text[], %s::text[], %s::date[], %s::date[]) AS w (scope, period, first, last)
JOIN usage u ON u.scope = w.scope AND u.period = w.period AND u.period_start BETWEEN w.first AND w.last
WHERE u.account_id = ANY(%s)
"""
WRITE = """
INSERT INTO usage (account_id, scope, period, period_start, awards, reduction_mg, amount_millicredits, tallies)
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::date[], %s::int[], %s::bigint[], %s::bigint[], %s::jsonb[])
ON CONFLICT (account_id, scope, period, period_start) DO UPDATE
SET awards = excluded.awards, reduction_mg = excluded.reduction_mg,
    amount_millicredits = excluded.amount_millicredits, tallies = excluded.tallies
"""


Ranges = Mapping[tuple[str, str], tuple[date, date]]
"""First and last period start wanted, per scope and period."""


def load(
    session: Session, account_ids: Sequence[int], candidates: Sequence[Candidate]
) -> dict[int, UsageBook]:
    """Return the usage that the candidates' rules look at, by account."""
    return load_ranges(session, account_ids, _ranges(candidates))


def load_ranges(session: Session, account_ids: Sequence[int], ranges: Ranges) -> dict[int, UsageBook]:
    """Return the usage in these periods, by account; an account without any is absent."""
    books: dict[int, UsageBook] = {}
    secret = settings().identity_key
    if not ranges or not account_ids:
        return books
    keys = list(ranges)
    rows = raw_connection(session).execute(
        LOAD,
        (
            [scope for scope, _ in keys],
            [period for _, period in keys],
            [ranges[key][0] for key in keys],
            [ranges[key][1] for key in keys],
            list(account_ids),
        ),
        binary=True,
    )
    for account_id, scope, period, start, awards, reduction_mg, amount_millicredits, tallies in rows:
        book = books.get(account_id)
        if book is None:
            book = books[account_id] = UsageBook(secret=secret)
        book.rows[scope, period, start] = UsageRow(awards, reduction_mg, amount_millicredits, tallies)
    return books


def _ranges(candidates: Sequence[Candidate]) -> Ranges:
    """Return the periods that any candidate needs."""
    spans: dict[int, tuple[Candidate, date, date]] = {}
    for candidate in candidates:
        if candidate.compiled is None or candidate.local_date is None:
            continue
        span = spans.get(id(candidate.compiled))
        day = candidate.local_date
        if span is None:
            spans[id(candidate.compiled)] = (candidate, day, day)
        elif day < span[1] or day > span[2]:
            spans[id(candidate.compiled)] = (candidate, min(day, span[1]), max(day, span[2]))
    ranges: dict[tuple[str, str], tuple[date, date]] = {}
    for candidate, first, last in spans.values():
        compiled = candidate.compiled
        assert compiled is not None  # noqa: S101 - only candidates with a rule have a span
        for period in compiled.periods:
            reach = first - timedelta(days=compiled.look_back_days) if period == "day" else first
            low, high = period_start(period, reach), period_start(period, last)
            known = ranges.get((compiled.rule.code, period), (low, high))
            ranges[compiled.rule.code, period] = (min(low, known[0]), max(high, known[1]))
    return ranges


def write(session: Session, books: Mapping[int, UsageBook]) -> None:
    """Write what the engine touched."""
    rows = [
        (account_id, *key, book.rows[key])
        for account_id, book in books.items()
        for key in sorted(book.touched)
    ]
    if not rows:
        return
    raw_connection(session).execute(
        WRITE,
        (
            of_numbers(row[0] for row in rows),
            of_texts(row[1] for row in rows),
            of_texts(row[2] for row in rows),
            of_times(row[3] for row in rows),
            of_numbers(row[4].awards for row in rows),
            of_numbers(row[4].reduction_mg for row in rows),
            of_numbers(row[4].amount_millicredits for row in rows),
            of_texts(row[4].tallies_text() for row in rows),
        ),
    )
