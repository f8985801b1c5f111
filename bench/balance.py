"""How long a balance read takes on an account with 1,000 and with 1,000,000 entries, now and as of a past instant.

`balance_read_` is the database's own time for planning and running the statement, as EXPLAIN ANALYZE tells it;
`balance_call_` the time from the call in Python to its answer. `_as_of_` reads a random past instant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from time import perf_counter

from sqlalchemy.orm import Session

from bench.figures import Figure, at_most, figure, percentile
from bench.sizes import Sizes
from bench.stage import Stage, say
from bench.world import MIGRATED
from carbonpoints.core.clock import Calendar, add_months
from carbonpoints.core.db import db, raw_connection, transaction
from carbonpoints.core.models import Bank, Programme
from carbonpoints.ledger import flows, posting, queries
from carbonpoints.ledger.book import Book, Moment
from carbonpoints.ledger.chart import DecisionKind

SMALL, LARGE = 1_000, 1_000_000
"""Entries of the two accounts."""
RUNS = 7
READS = 300
CHUNK_EVENTS = 100
"""Events booked at one instant at the most, as a file brings them."""
START = datetime(2025, 1, 1, tzinfo=UTC)
YEARS = 3
MONTHS = 12 * YEARS
"""Both accounts have credits of each: they differ in the number of their entries and in nothing else."""
CALENDAR = Calendar("Asia/Shanghai")
GOALS = {
    "balance_read_p99_ms": at_most(5.0),
    "balance_read_1m_to_1k_ratio": at_most(1.5),
    "balance_read_as_of_1m_to_1k_ratio": at_most(1.5),
}

Read = Callable[[Session, int, datetime | None], float]
"""Reads an account's balances, now or as of an instant, and returns the milliseconds it took."""


def measure_balance(stage: Stage, _sizes: Sizes) -> list[Figure]:
    """Return p50 and p99 of balance reads, and how the large account's median compares with the small one's."""
    figures: list[Figure] = []
    with stage.database("balance", template=MIGRATED) as database, database.app.app_context():
        say(f"Booking accounts with {SMALL:,} and {LARGE:,} entries ...")
        small, large = (_open_account(entries) for entries in (SMALL, LARGE))
        with transaction() as session:
            raw_connection(session).execute("ANALYZE")
        stage.checkpoint()
        for past in ("", "as_of_"):
            figures += _compare(f"balance_read_{past}", _read_in_database, small, large, past=bool(past))
            figures += _compare(f"balance_call_{past}", _read_in_python, small, large, past=bool(past))
    return figures


def _compare(name: str, read: Read, small: int, large: int, *, past: bool) -> list[Figure]:
    of_small, of_large = (
        [list(_read_often(read, account_id, run, past=past)) for run in range(RUNS)]
        for account_id in (small, large)
    )
    p50_small, p50_large = ([percentile(run, 0.5) for run in runs] for runs in (of_small, of_large))
    p99_small, p99_large = ([percentile(run, 0.99) for run in runs] for runs in (of_small, of_large))
    ratios = [more / less for more, less in zip(p50_large, p50_small, strict=True)]
    return [
        figure(f"{name}1k_entries_p50_ms", p50_small),
        figure(f"{name}1k_entries_p99_ms", p99_small),
        figure(f"{name}p50_ms", p50_large),
        figure(f"{name}p99_ms", p99_large, GOALS.get(f"{name}p99_ms")),
        figure(f"{name}1m_to_1k_ratio", ratios, GOALS.get(f"{name}1m_to_1k_ratio")),
    ]


def _read_often(read: Read, account_id: int, seed: int, *, past: bool) -> Iterator[float]:
    random = Random(seed)
    session: Session = db.session()
    for _ in range(READS):
        at = START + timedelta(days=random.uniform(1, 365 * YEARS)) if past else None
        yield read(session, account_id, at)
    session.rollback()


def _read_in_python(session: Session, account_id: int, at: datetime | None) -> float:
    started = perf_counter()
    queries.read_balances(session, account_id, CALENDAR, at)
    return (perf_counter() - started) * 1_000


def _read_in_database(session: Session, account_id: int, at: datetime | None) -> float:
    explain = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) "
    connection = raw_connection(session)
    if at is None:
        row = connection.execute(explain + queries.BALANCES_NOW, (account_id,)).fetchone()
    else:
        parameters = {"account_id": account_id, "from": at, "to": at}
        row = connection.execute(explain + queries.BALANCES_AT, parameters).fetchone()
    assert row is not None  # noqa: S101 - EXPLAIN always answers
    plan = row[0][0]
    return float(plan["Planning Time"]) + float(plan["Execution Time"])


def _open_account(entries: int) -> int:
    """Book an account with so many entries, spread over the years; returns its id."""
    events = entries // 2
    chunk_events = min(CHUNK_EVENTS, events // MONTHS)
    chunks = events // chunk_events
    with transaction() as session:
        bank = Bank(code=f"bank{entries}", issuer=f"https://{entries}.example", name_en="B", name_zh="行")
        session.add(bank)
        session.flush()
        programme = Programme(
            bank_id=bank.bank_id,
            code="p",
            name_en="P",
            name_zh="P",
            time_zone=CALENDAR.time_zone,
            currency="CNY",
        )
        session.add(programme)
        session.flush()
        moment = Moment.at(START, CALENDAR)
        book = posting.open_account(
            session, programme_id=programme.programme_id, holder_kind="person", moment=moment
        )
        for chunk in range(chunks):
            share = chunk / chunks
            at = START + timedelta(days=365 * YEARS * share)
            _book_events(book, Moment.at(at, CALENDAR), chunk_events)
            posting.write_books(session, [book])
    return book.account_id


def _book_events(book: Book, moment: Moment, count: int) -> None:
    expires_on = add_months(moment.local_date, 24)
    for _ in range(count):
        seq = book.decide(
            DecisionKind.EVENT,
            moment,
            occurred_at=moment.booked_at,
            received_at=moment.booked_at,
            local_date=moment.local_date,
            disposition=1,
            reduction_mg=1_000,
            amount_millicredits=500,
        )
        flows.earn(
            book,
            moment,
            cause_seq=seq,
            occurred_at=moment.booked_at,
            amount_millicredits=500,
            expires_on=expires_on,
        )
        flows.quantify(book, moment, cause_seq=seq, occurred_at=moment.booked_at, reduction_mg=1_000)
