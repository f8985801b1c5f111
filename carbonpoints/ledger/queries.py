"""What the ledger answers: heads, balances now and as of any instant, decisions, entries, statements.

Reads take no locks. "As of t" means booked by t, with expiry judged on t's business date (M7). Balances come
from the balance rows, or from the last snapshot before t and the entries after it: the cost does not grow with
the journal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from psycopg.rows import class_row
from sqlalchemy.orm import Session

from carbonpoints.core import clock
from carbonpoints.core.clock import Calendar
from carbonpoints.core.db import raw_connection
from carbonpoints.ledger.book import AVAILABLE, CREDIT, HELD, MG_CO2E, PENDING, Book
from carbonpoints.ledger.chart import FIRST_HOUSE_KIND, DecisionKind, Kind

EXPIRING_DAYS = 30
LAST_SEQ = 2**63 - 1


@dataclass(frozen=True, slots=True)
class AccountHead:
    """An account without its balances."""

    account_id: int
    programme_id: int
    holder_kind: str
    status: str
    last_seq: int
    last_booked_at: datetime
    opened_at: datetime


class Balances(NamedTuple):
    """What an account has at an instant."""

    available_millicredits: int
    """Can be spent on the instant's business date: lots past their expiry count no more, swept or not."""
    held_millicredits: int
    pending_millicredits: int
    expiring_30d_millicredits: int
    """The part of the available whose last usable date is at most 30 days away."""
    clawback_due_millicredits: int
    """What reversals could not take back; later earnings settle it."""
    lifetime_reduction_mg: int
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Ending:
    """Credits, available or pending, that end together."""

    expires_on: date
    """The last date on which they can be used."""
    amount_millicredits: int


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A decision as it was stored; `carbonpoints.ledger.models.Decision` says what the fields mean."""

    account_id: int
    account_seq: int
    occurred_at: datetime
    received_at: datetime
    booked_at: datetime
    reduction_mg: int
    amount_millicredits: int
    pin_id: int | None
    source_id: int | None
    local_date: date
    business_date: date
    kind: int
    disposition: int
    revision: int | None
    event_hash: bytes | None
    commitment: bytes | None
    trace: Any


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """An event that was decided before: its highest revision."""

    account_id: int
    account_seq: int
    revision: int
    commitment: bytes
    disposition: int


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry with what its lot and its cause say about it."""

    account_id: int
    account_seq: int
    occurred_at: datetime
    booked_at: datetime
    amount: int
    cause_seq: int
    business_date: date
    lot_no: int
    unit_id: int
    flow: int
    from_kind: int
    to_kind: int
    expires_on: date | None
    """The last usable date of its lot; None without one."""
    cause_kind: int
    pin_id: int | None
    event_seq: int | None
    """The event that it follows from; None where none is behind it."""


@dataclass(frozen=True, slots=True)
class MovementTotal:
    """All entries of one movement in a period."""

    flow: int
    unit_id: int
    from_kind: int
    to_kind: int
    entry_count: int
    amount: int


@dataclass(frozen=True, slots=True)
class Statement:
    """A period of business dates, both included: what there was, what moved, what there is."""

    account_id: int
    start: date
    end: date
    opening: Balances
    """At the end of the day before, so that it is the closing of the period before."""
    closing: Balances
    """At the end of the last day, or now where that is earlier."""
    movements: tuple[MovementTotal, ...]


HEAD = """
SELECT account_id, programme_id, holder_kind, status, last_seq, last_booked_at, opened_at
FROM account WHERE account_id = %s
"""
BALANCES_NOW = """
SELECT b.unit_id, b.kind, l.expires_on, b.amount
FROM balance b LEFT JOIN lot l ON l.account_id = b.account_id AND l.lot_no = b.lot_no
WHERE b.account_id = %s AND b.amount > 0
"""
ENDINGS = """
SELECT l.expires_on, sum(b.amount)::bigint AS amount_millicredits
FROM balance b JOIN lot l ON l.account_id = b.account_id AND l.lot_no = b.lot_no
WHERE b.account_id = %s AND b.kind = ANY(%s) AND b.amount > 0 AND l.expires_on >= %s
GROUP BY l.expires_on ORDER BY l.expires_on
"""
# Entries booked in [from, to) have numbers between two snapshots: the cost follows the period, not the journal.
BOUNDS = """
WITH before AS (
    SELECT account_seq, balances FROM balance_snapshot WHERE account_id = %(account_id)s AND booked_at < %(from)s
    ORDER BY booked_at DESC, account_seq DESC LIMIT 1
),
after AS (
    SELECT account_seq FROM balance_snapshot WHERE account_id = %(account_id)s AND booked_at >= %(to)s
    ORDER BY booked_at, account_seq LIMIT 1
),
"""
WITHIN = f"""
account_id = %(account_id)s
AND account_seq > coalesce((SELECT account_seq FROM before), 0)
AND account_seq <= coalesce((SELECT account_seq FROM after), {LAST_SEQ})
"""  # noqa: S608 - composed of constants of this module
BALANCES_AT = f"""{BOUNDS}
moved AS (
    SELECT unit_id, from_kind, to_kind, lot_no, amount FROM entry WHERE {WITHIN} AND booked_at < %(to)s
),
part AS (
    SELECT (item ->> 0)::smallint AS unit_id, (item ->> 1)::smallint AS kind, (item ->> 2)::int AS lot_no,
        (item ->> 3)::bigint AS amount
    FROM before, jsonb_array_elements(before.balances) AS item
    UNION ALL SELECT unit_id, to_kind, lot_no, amount FROM moved WHERE to_kind < {FIRST_HOUSE_KIND}
    UNION ALL SELECT unit_id, from_kind, lot_no, -amount FROM moved WHERE from_kind < {FIRST_HOUSE_KIND}
)
SELECT p.unit_id, p.kind, l.expires_on, sum(p.amount)::bigint
FROM part p LEFT JOIN lot l ON l.account_id = %(account_id)s AND l.lot_no = p.lot_no
GROUP BY p.unit_id, p.kind, p.lot_no, l.expires_on
"""  # noqa: S608 - composed of constants of this module
DECISION = "SELECT * FROM decision WHERE account_id = %s AND account_seq = %s"
EVENTS = """
SELECT DISTINCT ON (d.account_id, d.event_hash)
    d.account_id, d.account_seq, d.revision, d.commitment, d.disposition, d.event_hash
FROM unnest(%s::bigint[], %s::bytea[]) AS asked (account_id, event_hash)
JOIN decision d ON d.account_id = asked.account_id AND d.event_hash = asked.event_hash
ORDER BY d.account_id, d.event_hash, d.revision DESC
"""
ENTRIES = f"""{BOUNDS}
found AS (
    SELECT * FROM entry
    WHERE {WITHIN}
        AND account_seq < %(before_seq)s
        AND (%(from)s::timestamptz IS NULL OR booked_at >= %(from)s)
        AND (%(to)s::timestamptz IS NULL OR booked_at < %(to)s)
        AND (%(flows)s::smallint[] IS NULL OR flow = ANY(%(flows)s))
        AND (%(units)s::smallint[] IS NULL OR unit_id = ANY(%(units)s))
    ORDER BY account_seq DESC LIMIT %(limit)s
)
SELECT f.*, l.expires_on, d.kind AS cause_kind, d.pin_id,
    CASE WHEN d.kind = {int(DecisionKind.EVENT)} OR d.event_hash IS NOT NULL THEN d.account_seq
    ELSE coalesce(d.trace -> 'event_seq', d.trace -> 'award_seq')::bigint END AS event_seq
FROM found f
JOIN decision d ON d.account_id = f.account_id AND d.account_seq = f.cause_seq
LEFT JOIN lot l ON l.account_id = f.account_id AND l.lot_no = f.lot_no
ORDER BY f.account_seq DESC
"""  # noqa: S608 - composed of constants of this module
MOVEMENTS = f"""{BOUNDS}
moved AS (SELECT * FROM entry WHERE {WITHIN} AND booked_at >= %(from)s AND booked_at < %(to)s)
SELECT flow, unit_id, from_kind, to_kind, count(*) AS entry_count, sum(amount)::bigint AS amount
FROM moved GROUP BY flow, unit_id, from_kind, to_kind ORDER BY flow, unit_id, from_kind, to_kind
"""  # noqa: S608 - composed of constants of this module
INCOMING = """
SELECT EXISTS (
    SELECT FROM transfer_leg o WHERE o.counterpart_account_id = %(account_id)s AND o.direction = 'out'
    AND NOT EXISTS (
        SELECT FROM transfer_leg i WHERE i.account_id = %(account_id)s AND i.transfer_id = o.transfer_id
        AND i.direction = 'in'
    )
)
"""


def read_head(session: Session, account_id: int) -> AccountHead | None:
    """Return the account without its balances; None where there is none."""
    with raw_connection(session).cursor(row_factory=class_row(AccountHead)) as cursor:
        return cursor.execute(HEAD, (account_id,)).fetchone()


BalanceRow = tuple[int, int, date | None, int]
"""Unit, kind, last usable date of the lot, amount."""
# Plain integers: an enumeration costs more to look up than everything else of a balance.
HELD_KEY, PENDING_KEY = (CREDIT, HELD), (CREDIT, PENDING)
DUE_KEY, REDUCTION_KEY = (CREDIT, int(Kind.CLAWBACK_DUE)), (MG_CO2E, int(Kind.REDUCTION))


def _summarise(rows: Iterable[BalanceRow], business_date: date, as_of: datetime) -> Balances:
    soon = business_date + timedelta(days=EXPIRING_DAYS)
    totals = dict.fromkeys((HELD_KEY, PENDING_KEY, DUE_KEY, REDUCTION_KEY), 0)
    available = expiring = 0
    for unit_id, kind, expires_on, amount in rows:
        if kind != AVAILABLE or expires_on is None:
            totals[unit_id, kind] = totals.get((unit_id, kind), 0) + amount
        elif expires_on >= business_date:
            available += amount
            expiring += amount if expires_on <= soon else 0
    return Balances(
        available_millicredits=available,
        held_millicredits=totals[HELD_KEY],
        pending_millicredits=totals[PENDING_KEY],
        expiring_30d_millicredits=expiring,
        clawback_due_millicredits=totals[DUE_KEY],
        lifetime_reduction_mg=totals[REDUCTION_KEY],
        as_of=as_of,
    )


def balances_of(book: Book, business_date: date) -> Balances:
    """Return what a book in memory has, as it is answered to a write."""
    rows = (
        (unit_id, kind, book.lots[lot_no].expires_on if lot_no else None, amount)
        for (unit_id, kind, lot_no), amount in book.balances.items()
    )
    return _summarise(rows, business_date, book.last_booked_at)


def read_balances(session: Session, account_id: int, calendar: Calendar, at: datetime | None) -> Balances:
    """Return what the account has now (`at` None), or had at an instant: booked by then, expiry as of that day."""
    if at is None:
        instant = clock.now()
        rows = raw_connection(session).execute(BALANCES_NOW, (account_id,)).fetchall()
    else:
        instant = at
        rows = _rows_before(session, account_id, at + timedelta(microseconds=1))
    return _summarise(rows, calendar.business_date(instant), instant)


def read_endings(session: Session, account_id: int, business_date: date) -> list[Ending]:
    """Return the credits that are available or pending, by their last usable date from `business_date` on."""
    with raw_connection(session).cursor(row_factory=class_row(Ending)) as cursor:
        parameters = (account_id, [int(Kind.AVAILABLE), int(Kind.PENDING)], business_date)
        return cursor.execute(ENDINGS, parameters).fetchall()


def _rows_before(session: Session, account_id: int, instant: datetime) -> list[BalanceRow]:
    """Return what was booked before an instant."""
    parameters = {"account_id": account_id, "from": instant, "to": instant}
    return raw_connection(session).execute(BALANCES_AT, parameters).fetchall()


def read_decision(session: Session, account_id: int, account_seq: int) -> StoredDecision | None:
    """Return one decision; None where the number is not a decision's."""
    with raw_connection(session).cursor(row_factory=class_row(StoredDecision)) as cursor:
        return cursor.execute(DECISION, (account_id, account_seq)).fetchone()


def find_events(session: Session, pairs: Collection[tuple[int, bytes]]) -> dict[bytes, KnownEvent]:
    """Return, of (account, event hash) pairs, those that were decided before, by event hash."""
    if not pairs:
        return {}
    account_ids, hashes = zip(*pairs, strict=True)
    rows = raw_connection(session).execute(EVENTS, (list(account_ids), list(hashes)))
    return {row[5]: KnownEvent(*row[:5]) for row in rows}


def list_entries(
    session: Session,
    account_id: int,
    *,
    flows: Sequence[int] | None = None,
    units: Sequence[int] | None = None,
    from_: datetime | None = None,
    to: datetime | None = None,
    before_seq: int | None = None,
    limit: int,
) -> list[StoredEntry]:
    """Return entries, latest first, booked in [from_, to) and numbered below `before_seq`."""
    parameters = {
        "account_id": account_id,
        "flows": None if flows is None else [int(flow) for flow in flows],
        "units": None if units is None else [int(unit) for unit in units],
        "from": from_,
        "to": to,
        "before_seq": LAST_SEQ if before_seq is None else before_seq,
        "limit": limit,
    }
    with raw_connection(session).cursor(row_factory=class_row(StoredEntry)) as cursor:
        return cursor.execute(ENTRIES, parameters).fetchall()


def statement(session: Session, account_id: int, calendar: Calendar, start: date, end: date) -> Statement:
    """Return the statement of the business dates `start` to `end`, both included."""
    eve = start - timedelta(days=1)
    opens, closes = calendar.opens(start), calendar.opens(end + timedelta(days=1))
    instant = min(closes, clock.now())
    parameters = {"account_id": account_id, "from": opens, "to": closes}
    with raw_connection(session).cursor(row_factory=class_row(MovementTotal)) as cursor:
        movements = tuple(cursor.execute(MOVEMENTS, parameters))
    return Statement(
        account_id=account_id,
        start=start,
        end=end,
        opening=_summarise(_rows_before(session, account_id, opens), eve, opens),
        closing=_summarise(
            _rows_before(session, account_id, closes), min(end, calendar.business_date(instant)), instant
        ),
        movements=movements,
    )


def has_incoming_transfer(session: Session, account_id: int) -> bool:
    """Whether something left another account for this one and has not arrived."""
    row = raw_connection(session).execute(INCOMING, {"account_id": account_id}).fetchone()
    return bool(row and row[0])


def award_expiry(session: Session, account_id: int, award_seq: int) -> date | None:
    """Return the last date on which the credits of an award may be spent; None when it gave none."""
    row = (
        raw_connection(session)
        .execute(
            "SELECT l.expires_on FROM entry e JOIN lot l USING (account_id, lot_no) "
            "WHERE e.account_id = %s AND e.cause_seq = %s AND e.account_seq = %s",
            (account_id, award_seq, award_seq + 1),
        )
        .fetchone()
    )
    return None if row is None else row[0]
