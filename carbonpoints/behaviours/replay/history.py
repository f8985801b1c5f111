"""Past events out of the database, account by account, with the inputs that judging them again needs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

import psycopg
from sqlalchemy.orm import Session

from carbonpoints.accounts.identities import surviving_accounts
from carbonpoints.behaviours.replay.accounts import Facts, PastEvent
from carbonpoints.behaviours.replay.judges import Judge
from carbonpoints.behaviours.staged import data_text
from carbonpoints.core.clock import Calendar
from carbonpoints.core.db import raw_connection
from carbonpoints.ledger import history
from carbonpoints.ledger.flows import MERGED
from carbonpoints.ledger.queries import LAST_SEQ, read_head

LAST_INSTANT = datetime.max.replace(tzinfo=UTC)
BLOCK_EVENTS = 5_000
"""So many events are in memory at a time."""

# Range and order of the accounts are said of both, so that the two are merged in the order of their primary keys.
WITH_INPUTS = f"""
SELECT d.*, p.content FROM ({history.EVENTS}) AS d
LEFT JOIN (
    SELECT * FROM event_payload WHERE account_id BETWEEN %(first_account_id)s AND %(last_account_id)s
) AS p ON p.account_id = d.account_id AND p.account_seq = d.account_seq AND d.pin_id = ANY(%(pins)s)
ORDER BY d.account_id, d.account_seq
"""  # noqa: S608 - composed of constants
# Where no event of the period needs its inputs, those few that lie around it are looked up one by one.
WITH_INPUTS_AROUND = f"""
SELECT d.*, CASE WHEN d.pin_id = ANY(%(pins_around)s) AND d.local_date NOT BETWEEN %(from)s AND %(to)s THEN (
    SELECT content FROM event_payload p WHERE p.account_id = d.account_id AND p.account_seq = d.account_seq
) END
FROM ({history.EVENTS}) AS d ORDER BY d.account_id, d.account_seq
"""  # noqa: S608 - composed of constants
# The cursor is read to its end, and the other workers have the other cores.
PLAN_FOR_ALL = "SET LOCAL cursor_tuple_fraction = 1; SET LOCAL max_parallel_workers_per_gather = 0"


@dataclass(frozen=True)
class Period:
    """Local dates, both included."""

    first_day: date
    last_day: date


@dataclass(frozen=True)
class Extent:
    """A range of account numbers, both included, and up to which number and instant their journals are looked at."""

    first_account_id: int
    last_account_id: int
    last_seq: int = LAST_SEQ
    booked_until: datetime = LAST_INSTANT


def read_events(
    session: Session, extent: Extent, period: Period, reach: Period, judges: Mapping[int, Judge]
) -> Iterator[PastEvent]:
    """Yield the decided events of a period and of what lies around it, in the order of accounts and numbers.

    Data come with those whose judge looks at them.
    """
    replayed = {pin_id: judge for pin_id, judge in judges.items() if judge.is_replayed}
    pins = [pin_id for pin_id, judge in replayed.items() if judge.reads_inputs]
    pins_around = [pin_id for pin_id, judge in replayed.items() if judge.recorded_reads_inputs]
    parameters = {
        **asdict(extent),
        **asdict(reach),
        "from": period.first_day,
        "to": period.last_day,
        "pins": sorted({*pins, *pins_around}),
        "pins_around": pins_around,
    }
    connection = raw_connection(session)
    connection.execute(PLAN_FOR_ALL)
    with psycopg.ServerCursor(connection, "past_events") as cursor:
        cursor.execute(WITH_INPUTS if pins else WITH_INPUTS_AROUND, parameters, binary=True)
        while rows := cursor.fetchmany(BLOCK_EVENTS):
            yield from _decoded(rows)


def _decoded(rows: list[tuple[Any, ...]]) -> Iterator[PastEvent]:
    """Read the data of a whole block at once: one text costs less than many."""
    texts = [data_text(row[-1]) for row in rows if row[-1] is not None]
    data = iter(json.loads(f"[{','.join(texts)}]"))
    for row in rows:
        yield PastEvent._make((*row[:-1], None if row[-1] is None else next(data)))


def read_facts(session: Session, extent: Extent, calendar: Calendar) -> Facts:
    """Return what replaying a range of accounts needs to know of them beside their events."""
    accounts = history.read_accounts(session, extent.first_account_id, extent.last_account_id)
    return Facts(
        opened_on={account_id: calendar.local_date(opened_at) for account_id, opened_at, _ in accounts},
        taken_back=history.taken_back(session, asdict(extent)),
        restated=history.restated(session, asdict(extent)),
        adjusted=history.adjusted(session, asdict(extent)),
        statuses=_statuses(session, accounts),
    )


def _statuses(session: Session, accounts: Sequence[tuple[int, datetime, str]]) -> dict[int, str]:
    """Return the status, for each account, of the one that has today what it earned."""
    statuses = {account_id: status for account_id, _, status in accounts}
    merged = [account_id for account_id, status in statuses.items() if status == MERGED]
    for account_id, survivor_id in surviving_accounts(session, merged).items():
        head = read_head(session, survivor_id)
        statuses[account_id] = head.status if head is not None else MERGED
    return statuses
