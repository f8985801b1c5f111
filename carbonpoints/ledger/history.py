"""What accounts' journals say of past events, for replay; read-only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

from sqlalchemy.orm import Session

from carbonpoints.core.db import raw_connection
from carbonpoints.ledger.book import AVAILABLE, CREDIT, HELD, PENDING
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.restating import Restatement

REFUSED_REVERSAL = "refused_reversal"
"""In the trace of an event that would have taken another one back and was refused: it is no act that was judged."""
EVENTS = f"""
SELECT account_id, account_seq, pin_id, disposition, local_date, occurred_at, reduction_mg, amount_millicredits,
    CASE WHEN trace ?| ARRAY['budget', 'budgets', 'bonus_budget', 'boosts', 'granted_mg'] THEN trace END AS trace
FROM decision
WHERE kind = {DecisionKind.EVENT:d} AND account_id BETWEEN %(first_account_id)s AND %(last_account_id)s
    AND account_seq <= %(last_seq)s AND booked_at <= %(booked_until)s AND local_date BETWEEN %(first_day)s AND %(last_day)s
    AND (trace ? '{REFUSED_REVERSAL}') IS NOT TRUE
"""  # noqa: S608 - composed of constants of this module
"""A query, to be a part of another: the decided acts of a range of accounts, up to a number and an instant, with
local dates in a range. Of traces those that tell of budgets and campaigns, which replay takes as inputs, or of mg that
were counted and not posted."""

PARTITIONS = """
WITH journals AS (
    SELECT account_id, (sum(last_seq) OVER (ORDER BY account_id) - 1) / greatest(%(least)s, sum(last_seq) OVER () / %(most)s) AS part
    FROM account WHERE programme_id = %(programme_id)s AND last_seq > 0
)
SELECT min(account_id), max(account_id) FROM journals GROUP BY div(part, 1) ORDER BY 1
"""
# Any account is as likely as its number is far from the one before, any of its events likewise: close enough to chance.
SAMPLE = f"""
WITH bounds AS (
    SELECT min(account_id) AS low, max(account_id) AS high FROM account WHERE programme_id = %(programme_id)s
)
SELECT DISTINCT a.account_id, d.account_seq
FROM bounds, generate_series(1, %(count)s) AS n,
LATERAL (
    SELECT account_id, last_seq FROM account
    WHERE programme_id = %(programme_id)s
        AND account_id >= low + floor(random() * (high - low + 1) + 0 * n)::bigint
    ORDER BY account_id LIMIT 1
) AS a,
LATERAL (
    SELECT account_seq FROM decision
    WHERE account_id = a.account_id AND kind = {DecisionKind.EVENT:d}
        AND account_seq >= 1 + floor(random() * a.last_seq + 0 * n)::bigint
    ORDER BY account_seq LIMIT 1
) AS d
"""  # noqa: S608 - composed of constants of this module
OUTSTANDING = f"""
SELECT coalesce(sum(
    CASE WHEN e.to_kind IN ({AVAILABLE:d}, {PENDING:d}, {HELD:d}) THEN e.amount ELSE 0 END
    - CASE WHEN e.from_kind IN ({AVAILABLE:d}, {PENDING:d}, {HELD:d}) THEN e.amount ELSE 0 END
), 0)::bigint
FROM entry e
JOIN account a ON a.account_id = e.account_id AND a.programme_id = %(programme_id)s
JOIN lot l ON l.account_id = e.account_id AND l.lot_no = e.lot_no AND l.expires_on >= %(day)s
WHERE e.account_id BETWEEN %(first_account_id)s AND %(last_account_id)s AND e.unit_id = {CREDIT:d}
    AND e.occurred_at < %(until)s
"""  # noqa: S608 - composed of constants of this module


# A reversal in another account, after a merge, gives nothing back of what this one used. A correction of an event that
# earned nothing needed no reversal: it takes back what a draft would have given.
TAKEN_BACK = f"""
SELECT account_id, account_seq, (trace ->> 'event_seq')::bigint FROM decision
WHERE kind = {DecisionKind.REVERSAL:d} AND account_id BETWEEN %(first_account_id)s AND %(last_account_id)s
    AND account_seq <= %(last_seq)s AND booked_at <= %(booked_until)s
    AND trace ? 'event_seq' AND NOT trace ? 'home_id'
UNION ALL
SELECT d.account_id, d.account_seq, corrected.account_seq FROM decision d
CROSS JOIN LATERAL (
    SELECT o.account_seq FROM decision o
    WHERE o.account_id = d.account_id AND o.event_hash = d.event_hash AND o.revision < d.revision
    ORDER BY o.revision DESC LIMIT 1
) AS corrected
WHERE d.kind = {DecisionKind.EVENT:d} AND d.revision > 0
    AND d.account_id BETWEEN %(first_account_id)s AND %(last_account_id)s
    AND d.account_seq <= %(last_seq)s AND d.booked_at <= %(booked_until)s
ORDER BY account_id, account_seq
"""  # noqa: S608 - composed of constants of this module
RESTATED = f"""
SELECT account_id, account_seq, booked_at, pin_id, trace FROM decision
WHERE kind = {DecisionKind.RESTATEMENT:d} AND account_id BETWEEN %(first_account_id)s AND %(last_account_id)s
    AND account_seq <= %(last_seq)s AND booked_at <= %(booked_until)s AND trace ? 'event_seq'
ORDER BY account_id, account_seq
"""  # noqa: S608 - composed of constants of this module
ADJUSTED = f"""
SELECT account_id, (trace ->> 'event_seq')::bigint, reduction_mg, amount_millicredits FROM decision
WHERE kind = {DecisionKind.ADJUSTMENT:d} AND account_id BETWEEN %(first_account_id)s AND %(last_account_id)s
    AND account_seq <= %(last_seq)s AND booked_at <= %(booked_until)s AND trace ? 'event_seq'
"""  # noqa: S608 - composed of constants of this module
BETWEEN = """
SELECT account_id FROM account WHERE programme_id = %s AND account_id BETWEEN %s AND %s ORDER BY account_id
"""
ACCOUNTS = "SELECT account_id, opened_at, status FROM account WHERE account_id BETWEEN %s AND %s"


def accounts_between(
    session: Session, programme_id: int, first_account_id: int, last_account_id: int
) -> list[int]:
    """Return the accounts of a programme in a range, by number."""
    rows = raw_connection(session).execute(BETWEEN, (programme_id, first_account_id, last_account_id))
    return [account_id for (account_id,) in rows]


def read_accounts(
    session: Session, first_account_id: int, last_account_id: int
) -> list[tuple[int, datetime, str]]:
    """Return of each account of a range when it was opened, and its status."""
    return raw_connection(session).execute(ACCOUNTS, (first_account_id, last_account_id)).fetchall()


def taken_back(session: Session, extent: Mapping[str, object]) -> dict[int, list[tuple[int, int]]]:
    """Return what reversals and corrections took back, by account: their number and that of the event, in order.

    A correction is named with its reversal, where it needed one, and with itself.

    `extent` holds the parameters of EVENTS that are no dates.
    """
    found: dict[int, list[tuple[int, int]]] = {}
    for account_id, account_seq, event_seq in raw_connection(session).execute(TAKEN_BACK, extent):
        found.setdefault(account_id, []).append((account_seq, event_seq))
    return found


def restated(session: Session, extent: Mapping[str, object]) -> dict[int, list[Restatement]]:
    """Return what restatements posted, by account and in order; `extent` as of `taken_back`."""
    found: dict[int, list[Restatement]] = {}
    for account_id, *row in raw_connection(session).execute(RESTATED, extent):
        found.setdefault(account_id, []).append(Restatement.of(*row))
    return found


def adjusted(session: Session, extent: Mapping[str, object]) -> dict[tuple[int, int], tuple[int, int]]:
    """Return what adjustments gave for events: mg and millicredits by account and event; `extent` as of `taken_back`."""
    rows = raw_connection(session).execute(ADJUSTED, extent)
    return {(account_id, event_seq): (mg, millicredits) for account_id, event_seq, mg, millicredits in rows}


def partition_accounts(
    session: Session, programme_id: int, *, least: int, most: int
) -> list[tuple[int, int]]:
    """Return ranges of account numbers whose journals are about equally long: `least` numbers at least, `most` ranges."""
    parameters = {"programme_id": programme_id, "least": least, "most": most}
    return raw_connection(session).execute(PARTITIONS, parameters).fetchall()


def sample_events(session: Session, programme_id: int, count: int) -> list[tuple[int, int]]:
    """Return account and number of about `count` decided events that chance has chosen; fewer where there are few."""
    parameters = {"programme_id": programme_id, "count": count}
    return raw_connection(session).execute(SAMPLE, parameters).fetchall()


def outstanding_millicredits(
    session: Session, programme_id: int, accounts: tuple[int, int], *, day: date, until: datetime
) -> int:
    """Return what a range of a programme's accounts could still spend on `day`, by what had happened until then.

    Available, pending and held credits in lots that had not expired.
    """
    parameters = {
        "programme_id": programme_id,
        "first_account_id": accounts[0],
        "last_account_id": accounts[1],
        "day": day,
        "until": until,
    }
    row = raw_connection(session).execute(OUTSTANDING, parameters).fetchone()
    assert row is not None  # noqa: S101 - an aggregate has a row
    total: int = row[0]
    return total
