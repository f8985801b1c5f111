"""Drawing on budgets inside the transaction that books the awards (M16): never exceeded, with no row that all lock.

A draw takes any free slice that covers all it wants and waits for nobody. Only where none does, it locks the period
and then all its slices, spreads what is left anew, and takes what is there. Whoever draws has locked its accounts
before and touches nothing but its own rows afterwards; budgets go by code, a period before its slices, slices by
number. So every wait points the same way, and nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import class_row
from sqlalchemy.orm import Session

from carbonpoints.core.arrays import of_numbers
from carbonpoints.core.db import raw_connection
from carbonpoints.ledger.book import Book
from carbonpoints.ledger.errors import LedgerFault
from carbonpoints.ledger.slices import SLICES, Amount, Limits, Terms, covered, spread

# The end of the three statements below. `changed` is a slice that we have locked: nobody else writes its days then.
BURN = """
INSERT INTO budget_burn AS b (budget_period_id, slice_no, business_date, millicredits, microfen)
SELECT budget_period_id, slice_no, %(business_date)s, %(millicredits)s, %(microfen)s FROM changed
ON CONFLICT (budget_period_id, slice_no, business_date)
    DO UPDATE SET millicredits = b.millicredits + excluded.millicredits, microfen = b.microfen + excluded.microfen
RETURNING budget_period_id, slice_no
"""
DRAW = """
WITH free AS MATERIALIZED (
    SELECT s.budget_period_id, s.slice_no FROM budget_period p JOIN budget_slice s USING (budget_period_id)
    WHERE p.programme_id = %(programme_id)s AND p.code = %(code)s AND p.starts_on = %(starts_on)s
        AND (p.known_version_id > %(known_version_id)s
            OR p.known_version_id = %(known_version_id)s AND p.version_id = %(version_id)s)
        AND coalesce(s.share_millicredits - s.used_millicredits >= %(millicredits)s, true)
        AND coalesce(s.share_microfen - s.used_microfen >= %(microfen)s, true)
    ORDER BY random() LIMIT 1 FOR UPDATE OF s SKIP LOCKED
), changed AS (
    UPDATE budget_slice s SET used_millicredits = used_millicredits + %(millicredits)s,
        used_microfen = used_microfen + %(microfen)s
    FROM free WHERE s.budget_period_id = free.budget_period_id AND s.slice_no = free.slice_no
    RETURNING s.budget_period_id, s.slice_no
)
"""
HAND_BACK = """
WITH changed AS (
    UPDATE budget_slice s SET used_millicredits = used_millicredits + %(millicredits)s,
        used_microfen = used_microfen + %(microfen)s
    WHERE s.budget_period_id = %(budget_period_id)s AND s.slice_no = %(slice_no)s
    RETURNING s.budget_period_id, s.slice_no
)
"""
# The share goes with it: what is free again is spread once it is needed, by whoever then sees the whole period.
GIVE_BACK = """
WITH held AS MATERIALIZED (
    SELECT budget_period_id, slice_no FROM budget_slice WHERE budget_period_id = %(budget_period_id)s
        AND used_millicredits + %(millicredits)s >= 0 AND used_microfen + %(microfen)s >= 0
    ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED
), changed AS (
    UPDATE budget_slice s SET used_millicredits = used_millicredits + %(millicredits)s,
        used_microfen = used_microfen + %(microfen)s, share_millicredits = share_millicredits + %(millicredits)s,
        share_microfen = share_microfen + %(microfen)s
    FROM held WHERE s.budget_period_id = held.budget_period_id AND s.slice_no = held.slice_no
    RETURNING s.budget_period_id, s.slice_no
)
"""
# Waits for whoever makes the same period. Nothing is in the slices yet: it is spread like what is left of a period.
MAKE = """
WITH made AS (
    INSERT INTO budget_period
        (programme_id, code, starts_on, ends_on, version_id, known_version_id, limit_millicredits, limit_microfen)
    VALUES (%(programme_id)s, %(code)s, %(starts_on)s, %(ends_on)s, %(version_id)s, %(known_version_id)s,
        %(limit_millicredits)s, %(limit_microfen)s)
    ON CONFLICT (programme_id, code, starts_on) DO NOTHING RETURNING *
)
INSERT INTO budget_slice
    (budget_period_id, slice_no, share_millicredits, share_microfen, used_millicredits, used_microfen)
SELECT budget_period_id, n, limit_millicredits - limit_millicredits, limit_microfen - limit_microfen, 0, 0
FROM made, generate_series(0, %(last_slice)s) AS n
"""
PERIODS = """
SELECT p.budget_period_id, p.code, p.starts_on, p.ends_on, p.version_id, p.known_version_id,
    p.limit_millicredits, p.limit_microfen, sum(s.used_millicredits)::bigint AS used_millicredits,
    sum(s.used_microfen)::bigint AS used_microfen
FROM budget_period p JOIN budget_slice s USING (budget_period_id)
WHERE p.programme_id = %s AND p.code = ANY(%s) AND %s BETWEEN p.starts_on AND p.ends_on
GROUP BY p.budget_period_id
"""
LOCK_PERIOD = """
SELECT version_id, known_version_id, limit_millicredits, limit_microfen FROM budget_period
WHERE budget_period_id = %s FOR UPDATE
"""
LOCK_SLICES = """
SELECT used_millicredits, used_microfen FROM budget_slice WHERE budget_period_id = %s ORDER BY slice_no FOR UPDATE
"""
CUT_BY = """
UPDATE budget_period SET version_id = %(version_id)s, known_version_id = %(known_version_id)s,
    limit_millicredits = %(limit_millicredits)s, limit_microfen = %(limit_microfen)s
WHERE budget_period_id = %(budget_period_id)s
"""
# What was drawn counts as drawn from the first slice from now on.
SPREAD = """
UPDATE budget_slice s
SET used_millicredits = n.used_millicredits, share_millicredits = n.used_millicredits + n.millicredits,
    used_microfen = n.used_microfen, share_microfen = n.used_microfen + n.microfen
FROM (
    SELECT place - 1 AS slice_no, millicredits, microfen,
        CASE place WHEN 1 THEN %s ELSE 0 END AS used_millicredits, CASE place WHEN 1 THEN %s ELSE 0 END AS used_microfen
    FROM unnest(%s::bigint[], %s::bigint[]) WITH ORDINALITY AS p (millicredits, microfen, place)
) AS n
WHERE s.budget_period_id = %s AND s.slice_no = n.slice_no
"""
BURNT = """
SELECT business_date, sum(millicredits)::bigint, sum(microfen)::bigint
FROM budget_period p JOIN budget_burn b USING (budget_period_id)
WHERE p.programme_id = %s AND p.code = %s AND business_date >= %s GROUP BY business_date
"""
# What is undone is unlocked.
SAVEPOINT = "SAVEPOINT budget"
RELEASE = "RELEASE SAVEPOINT budget"
UNDO = "ROLLBACK TO SAVEPOINT budget; RELEASE SAVEPOINT budget"
DRAWN_ON = "budgets"
"""Where a decision's trace says what it drew: millicredits and their cost, by the budget's code."""
_TRACE = 16

Connection = psycopg.Connection[Any]


class Wanted(NamedTuple):
    """What the awards of a delivery draw on one budget, in millicredits."""

    millicredits: int
    least: int
    """The smallest award among them: less than this is of no use here."""


class Draw(NamedTuple):
    """What a budget gave, and out of which slice."""

    terms: Terms
    millicredits: int
    budget_period_id: int
    slice_no: int


@dataclass(frozen=True)
class BudgetPeriod:
    """A period that was drawn on: what limits it and what it gave out."""

    budget_period_id: int
    code: str
    starts_on: date
    ends_on: date
    version_id: int
    known_version_id: int
    limit_millicredits: int | None
    limit_microfen: int | None
    used_millicredits: int
    used_microfen: int

    @property
    def limits(self) -> Limits:
        """What its slices were cut by."""
        return Limits(self.limit_millicredits, self.limit_microfen)

    @property
    def used(self) -> Amount:
        """What it gave out and did not get back."""
        return Amount(self.used_millicredits, self.used_microfen)


def wanted_by(books: Iterable[Book]) -> dict[str, Wanted]:
    """Return what the new events of these books draw on each budget, by its code."""
    wanted: dict[str, Wanted] = {}
    for book in books:
        for decision in book.decisions:
            drawn = decision[_TRACE].get(DRAWN_ON) if decision[_TRACE] else None
            for code, (millicredits, _) in (drawn or {}).items():
                known = wanted.get(code, Wanted(0, millicredits))
                wanted[code] = Wanted(known.millicredits + millicredits, min(known.least, millicredits))
    return wanted


def draw(session: Session, terms: Terms, wanted: Wanted) -> Draw | None:
    """Take millicredits out of a budget's period: all that are wanted, or what is left; None where that is no use.

    The caller's transaction has locked its accounts before, draws on budgets in the order of their codes, and locks
    nothing else afterwards. Waits only where no slice has enough, at the most for the lock timeout: then Busy.
    """
    connection = raw_connection(session)
    drawn = _take(connection, terms, wanted.millicredits)
    if drawn is not None:
        return drawn
    period = _find(session, terms)
    if period is None:
        connection.execute(MAKE, _parameters(terms))
        period = _find(session, terms)
        assert period is not None  # noqa: S101 - made by us, or by whoever we have waited for
    elif not terms.replaces(period.version_id, period.known_version_id):
        left = period.limits.left(period.used)
        if covered(left, terms.cost(wanted.millicredits)) < wanted.least:
            return None
        # Whoever spreads has ended when this comes back, and may have left enough for all who wait here.
        connection.execute(SAVEPOINT)
        connection.execute(LOCK_PERIOD, (period.budget_period_id,))
        connection.execute(UNDO)
    drawn = _take(connection, terms, wanted.millicredits)
    if drawn is None:
        millicredits = _collect(connection, terms, period.budget_period_id, wanted.millicredits)
        drawn = _take(connection, terms, millicredits) if millicredits else None
    return drawn


def hand_back(session: Session, drawn: Draw, millicredits: int) -> None:
    """Return what was drawn and is not used, in the same transaction, to the slice it came from."""
    parameters = {
        **_parameters(drawn.terms, -millicredits),
        "budget_period_id": drawn.budget_period_id,
        "slice_no": drawn.slice_no,
    }
    raw_connection(session).execute(HAND_BACK + BURN, parameters)


def give_back(
    session: Session, *, programme_id: int, business_date: date, amounts: Mapping[str, Amount]
) -> None:
    """Return what an award drew to the period of its business date, whatever limits that by now (M6).

    `amounts` are those of the award's trace, by the budget's code. What `draw` says of locks holds here too: who gives
    back and draws in one transaction does both for one budget before the next. LedgerFault where that much was never
    drawn.
    """
    connection = raw_connection(session)
    periods = {period.code: period for period in read_periods(session, programme_id, amounts, business_date)}
    for code in sorted(amounts):
        period, amount = periods.get(code), amounts[code]
        if period is None:
            raise LedgerFault(f"nothing was drawn on the budget {code} in the period of {business_date}")
        parameters = {
            "budget_period_id": period.budget_period_id,
            "business_date": business_date,
            "millicredits": -amount.millicredits,
            "microfen": -amount.microfen,
        }
        if _change(connection, GIVE_BACK, parameters) is None:
            _, _, limits, used = _lock(connection, period.budget_period_id)
            _spread(connection, period.budget_period_id, used, spread(limits.left(used), amount))
            if _change(connection, GIVE_BACK, parameters) is None:
                raise LedgerFault(f"less was drawn on the budget {code} in the period of {business_date}")


def read_periods(
    session: Session, programme_id: int, codes: Iterable[str], business_date: date
) -> list[BudgetPeriod]:
    """Return the periods of these budgets around a business date; one that was not drawn on is absent."""
    with raw_connection(session).cursor(row_factory=class_row(BudgetPeriod)) as cursor:
        return cursor.execute(PERIODS, (programme_id, [*codes], business_date)).fetchall()


def read_burn(session: Session, programme_id: int, code: str, first: date) -> dict[date, Amount]:
    """Return what a budget gave out by business date, from `first` on; days without awards are absent."""
    rows = raw_connection(session).execute(BURNT, (programme_id, code, first))
    return {day: Amount(millicredits, microfen) for day, millicredits, microfen in rows}


def _parameters(terms: Terms, millicredits: int = 0) -> dict[str, object]:
    return {
        "programme_id": terms.programme_id,
        "code": terms.code,
        "business_date": terms.business_date,
        "starts_on": terms.starts_on,
        "ends_on": terms.ends_on,
        "version_id": terms.version_id,
        "known_version_id": terms.known_version_id,
        "limit_millicredits": terms.limits.millicredits,
        "limit_microfen": terms.limits.microfen,
        "last_slice": SLICES - 1,
        **terms.cost(millicredits)._asdict(),
    }


def _take(connection: Connection, terms: Terms, millicredits: int) -> Draw | None:
    """Draw from any free slice that has as much, waiting for nobody; None where there is none."""
    row = _change(connection, DRAW, _parameters(terms, millicredits))
    return None if row is None else Draw(terms, millicredits, *row)


def _change(connection: Connection, change: str, parameters: Mapping[str, object]) -> tuple[int, int] | None:
    """Change any free slice that allows it and return which; None where there is none, and then none is locked.

    A slice that changed between being found and being locked stays locked although it does not do any more: whoever
    waited for a period with such a slice in hand would wait in a circle.
    """
    connection.execute(SAVEPOINT)
    row: tuple[int, int] | None = connection.execute(change + BURN, parameters).fetchone()
    connection.execute(RELEASE if row is not None else UNDO)
    return row


def _find(session: Session, terms: Terms) -> BudgetPeriod | None:
    found = read_periods(session, terms.programme_id, [terms.code], terms.business_date)
    return found[0] if found else None


def _collect(connection: Connection, terms: Terms, budget_period_id: int, millicredits: int) -> int:
    """Lock a period and all its slices, spread what is left; return how much of the wanted there is.

    The first slice has as much afterwards. Where the terms are newer than what the slices were cut by, they hold
    from now on; what was given out stays.
    """
    version_id, known_version_id, limits, used = _lock(connection, budget_period_id)
    if terms.replaces(version_id, known_version_id):
        connection.execute(CUT_BY, {**_parameters(terms), "budget_period_id": budget_period_id})
        limits = terms.limits
    left, wanted = limits.left(used), terms.cost(millicredits)
    _spread(connection, budget_period_id, used, spread(left, wanted))
    return covered(left, wanted)


def _lock(connection: Connection, budget_period_id: int) -> tuple[int, int, Limits, Amount]:
    """Wait for everybody who draws on a period; return what it was cut by, and what was drawn."""
    row = connection.execute(LOCK_PERIOD, (budget_period_id,)).fetchone()
    assert row is not None  # noqa: S101 - periods stay
    slices = connection.execute(LOCK_SLICES, (budget_period_id,)).fetchall()
    used = Amount(sum(each[0] for each in slices), sum(each[1] for each in slices))
    return row[0], row[1], Limits(*row[2:]), used


def _spread(connection: Connection, budget_period_id: int, used: Amount, parts: list[Limits]) -> None:
    columns = [of_numbers(column) for column in zip(*parts, strict=True)]
    connection.execute(SPREAD, (*used, *columns, budget_period_id))
