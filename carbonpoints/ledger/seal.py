"""Sealing the journal (M15): digests over canonical bytes, chained from batch to batch.

A batch seals, for every account, the numbers since those sealed before, in ranges of at most RANGE_NUMBERS. The
canonical bytes of a range are one line for each decision and entry, in the order of the numbers: its letter and
fields, in the order below, separated by commas and ended by a line feed. Integers are decimal; instants are
microseconds since 1970-01-01 UTC; dates are days since 1970-01-01; bytes, and the trace as the UTF-8 text that
PostgreSQL renders, are hexadecimal; a null is empty.

    D  account_id account_seq occurred_at received_at booked_at reduction_mg amount_millicredits pin_id source_id
       local_date business_date kind disposition revision event_hash commitment trace
    E  account_id account_seq occurred_at booked_at amount cause_seq business_date lot_no unit_id flow from_kind
       to_kind

The digest of a range is the suite's digest of its bytes. The batch's root starts as the root before it (32 zero
bytes for the first). For each block of BLOCK_RANGES ranges, in the order of (account_id, from_seq), it becomes
digest(root, then a line `account_id,from_seq,to_seq,digest` for each range), and at last digest(root, then the
line `sealed_at,range_count,row_count,suite`). Payloads are not sealed, so they may be erased.

Whoever can write to everything can cut the chain back to an earlier batch, or replace it from there on, so that what
is left agrees with itself. A root kept outside the database (printed, filed, with the auditor) shows it: the chain
then has no batch of that root. The root of a batch says nothing about the batches after it, so all that were filed are
compared, the newest above all; and what is not sealed is counted, with the instant since when.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from sqlalchemy.orm import Session

from carbonpoints.core import clock
from carbonpoints.core.crypto import SUITE
from carbonpoints.core.db import raw_connection

RANGE_NUMBERS = 10_000
BLOCK_RANGES = 1_000
FIRST_ROOT = bytes(32)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# One seal at a time; posting goes on meanwhile.
LOCK = "LOCK TABLE seal_batch IN SHARE ROW EXCLUSIVE MODE"
LAST_ROOT = "SELECT root FROM seal_batch ORDER BY seal_batch_id DESC LIMIT 1"
# What is committed up to an account's last number is all there: the account's lock covers its numbering.
UNSEALED = """
SELECT a.account_id, part.from_seq, least(part.from_seq + %(numbers)s - 1, a.last_seq)
FROM account a
LEFT JOIN LATERAL (
    SELECT to_seq FROM sealed_range r WHERE r.account_id = a.account_id ORDER BY from_seq DESC LIMIT 1
) AS done ON true
CROSS JOIN LATERAL generate_series(coalesce(done.to_seq, 0) + 1, a.last_seq, %(numbers)s) AS part (from_seq)
WHERE a.account_id >= %(from_account)s
ORDER BY a.account_id, part.from_seq LIMIT %(limit)s
"""
MICROSECONDS = "(extract(epoch FROM {0}) * 1000000)::bigint"
DAYS = "{0} - date '1970-01-01'"
HEX = "encode({0}, 'hex')"
DECISION_FIELDS = (
    "account_id",
    "account_seq",
    MICROSECONDS.format("occurred_at"),
    MICROSECONDS.format("received_at"),
    MICROSECONDS.format("booked_at"),
    "reduction_mg",
    "amount_millicredits",
    "pin_id",
    "source_id",
    DAYS.format("local_date"),
    DAYS.format("business_date"),
    "kind",
    "disposition",
    "revision",
    HEX.format("event_hash"),
    HEX.format("commitment"),
    HEX.format("convert_to(trace::text, 'UTF8')"),
)
ENTRY_FIELDS = (
    "account_id",
    "account_seq",
    MICROSECONDS.format("occurred_at"),
    MICROSECONDS.format("booked_at"),
    "amount",
    "cause_seq",
    DAYS.format("business_date"),
    "lot_no",
    "unit_id",
    "flow",
    "from_kind",
    "to_kind",
)


def _lines(letter: str, table: str, fields: Sequence[str]) -> str:
    """Return the SELECT of a table's canonical lines in the asked ranges; format() renders null as nothing."""
    places = ",".join([letter, *["%%s"] * len(fields)])
    return (
        f"SELECT range_no, account_seq, format('{places}', {', '.join(fields)}) AS line "  # noqa: S608 - constants
        f"FROM asked CROSS JOIN LATERAL (SELECT * FROM {table} t WHERE t.account_id = asked.in_account "
        "AND t.account_seq BETWEEN asked.from_seq AND asked.to_seq) AS row"
    )


CANONICAL = f"""
COPY (
    WITH asked AS (
        SELECT * FROM unnest(%(accounts)s::bigint[], %(from)s::bigint[], %(to)s::bigint[])
        WITH ORDINALITY AS asked (in_account, from_seq, to_seq, range_no)
    )
    SELECT range_no, line FROM (
        {_lines("D", "decision", DECISION_FIELDS)}
        UNION ALL
        {_lines("E", "entry", ENTRY_FIELDS)}
    ) AS row ORDER BY range_no, account_seq, line
) TO STDOUT
"""  # noqa: S608 - composed of constants of this module
WRITE_RANGES = """
INSERT INTO sealed_range (account_id, from_seq, to_seq, seal_batch_id, digest)
SELECT account_id, from_seq, to_seq, %s, digest
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bytea[]) AS new (account_id, from_seq, to_seq, digest)
"""
NEXT_BATCH = "SELECT nextval(pg_get_serial_sequence('seal_batch', 'seal_batch_id'))"
WRITE_BATCH = """
INSERT INTO seal_batch (seal_batch_id, sealed_at, suite, range_count, row_count, previous_root, root)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
BATCHES = """
SELECT seal_batch_id, sealed_at, suite, range_count, row_count, previous_root, root
FROM seal_batch ORDER BY seal_batch_id
"""
RANGES = """
SELECT account_id, from_seq, to_seq, digest FROM sealed_range
WHERE seal_batch_id = %s AND (account_id, from_seq) > (%s, %s) ORDER BY account_id, from_seq LIMIT %s
"""
MISPLACED = """
SELECT account_id, from_seq, to_seq FROM (
    SELECT account_id, from_seq, to_seq, b.seal_batch_id,
        lag(to_seq, 1, 0::bigint) OVER (PARTITION BY account_id ORDER BY from_seq) AS before
    FROM sealed_range r LEFT JOIN seal_batch b USING (seal_batch_id)
) AS ordered
WHERE from_seq <> before + 1 OR seal_batch_id IS NULL ORDER BY account_id, from_seq
"""
# A seal ends with an account's last number, so the first number after it is a decision's.
NOT_SEALED = """
SELECT coalesce(sum(a.last_seq - sealed.to_seq), 0)::bigint, min(d.booked_at) FROM account a
CROSS JOIN LATERAL (SELECT coalesce(max(to_seq), 0) FROM sealed_range WHERE account_id = a.account_id) AS sealed (to_seq)
LEFT JOIN decision d ON d.account_id = a.account_id AND d.account_seq = sealed.to_seq + 1
WHERE a.last_seq > sealed.to_seq
"""

Connection = psycopg.Connection[Any]
Range = tuple[int, int, int]
"""Account, first and last number."""


@dataclass(frozen=True, slots=True)
class Seal:
    """A batch that was sealed."""

    seal_batch_id: int
    root: bytes
    range_count: int
    row_count: int


@dataclass(frozen=True, slots=True)
class Verification:
    """What the sealed batches look like now."""

    roots: tuple[bytes, ...]
    """Each batch's root as its ranges give it, in the order of the chain."""
    rows_examined: int
    rows_not_sealed: int
    not_sealed_since: datetime | None
    """When the earliest of them was booked."""
    differences: tuple[str, ...]


@dataclass(slots=True)
class _Chain:
    """A batch's root while its ranges are read."""

    root: bytes
    range_count: int = 0
    row_count: int = 0

    def add(self, ranges: Sequence[Range], digests: Sequence[bytes], rows: int) -> None:
        lines = [
            f"{account_id},{from_seq},{to_seq},{digest.hex()}\n"
            for (account_id, from_seq, to_seq), digest in zip(ranges, digests, strict=True)
        ]
        self.root = SUITE.digest(self.root + "".join(lines).encode())
        self.range_count += len(ranges)
        self.row_count += rows

    def close(self, sealed_at: datetime, suite: str) -> bytes:
        instant = (sealed_at - _EPOCH) // timedelta(microseconds=1)
        line = f"{instant},{self.range_count},{self.row_count},{suite}\n"
        return SUITE.digest(self.root + line.encode())


def seal(session: Session) -> Seal | None:
    """Seal every number that is not sealed yet; None when there is none.

    A second seal waits for the first up to the lock timeout.
    """
    connection = raw_connection(session)
    connection.execute(LOCK)
    last = connection.execute(LAST_ROOT).fetchone()
    previous_root = last[0] if last else FIRST_ROOT
    chain = _Chain(previous_root)
    seal_batch_id = 0
    for ranges in _unsealed(connection):
        digests, rows = _digests(connection, ranges)
        chain.add(ranges, digests, rows)
        if not seal_batch_id:
            seal_batch_id = _next_batch(connection)
        accounts, firsts, lasts = (list(column) for column in zip(*ranges, strict=True))
        connection.execute(WRITE_RANGES, (seal_batch_id, accounts, firsts, lasts, digests))
    if not seal_batch_id:
        return None
    sealed_at = clock.now()
    root = chain.close(sealed_at, SUITE.name)
    connection.execute(
        WRITE_BATCH,
        (seal_batch_id, sealed_at, SUITE.name, chain.range_count, chain.row_count, previous_root, root),
    )
    return Seal(seal_batch_id, root, chain.range_count, chain.row_count)


def _next_batch(connection: Connection) -> int:
    row = connection.execute(NEXT_BATCH).fetchone()
    assert row is not None  # noqa: S101 - nextval always answers
    return int(row[0])


def _unsealed(connection: Connection) -> Iterator[list[Range]]:
    """Give blocks of unsealed ranges; each must be written before the next is asked for."""
    from_account = 0
    while True:
        parameters = {"numbers": RANGE_NUMBERS, "from_account": from_account, "limit": BLOCK_RANGES}
        ranges = connection.execute(UNSEALED, parameters).fetchall()
        if not ranges:
            return
        yield ranges
        from_account = ranges[-1][0]


def _digests(connection: Connection, ranges: Sequence[Range]) -> tuple[list[bytes], int]:
    """Return the digest of each range's canonical bytes, and how many rows they have."""
    accounts, firsts, lasts = (list(column) for column in zip(*ranges, strict=True))
    digests: list[bytes] = []
    lines: list[bytes] = []
    rows = 0
    with (
        connection.cursor() as cursor,
        cursor.copy(CANONICAL, {"accounts": accounts, "from": firsts, "to": lasts}) as copy,
    ):
        for row in copy:
            number, _, line = bytes(row).partition(b"\t")
            while len(digests) < int(number) - 1:
                digests.append(SUITE.digest(b"".join(lines)))
                lines = []
            lines.append(line)
            rows += 1
    while len(digests) < len(ranges):
        digests.append(SUITE.digest(b"".join(lines)))
        lines = []
    return digests, rows


def verify(session: Session, filed_roots: Iterable[bytes] = ()) -> Verification:
    """Work every sealed digest and root out again and name what differs; changes nothing.

    Finds any sealed decision or entry that was changed, removed or added, and any range or batch that was; batches
    that were removed from the end together with their ranges only by one of `filed_roots`, kept elsewhere.
    """
    connection = raw_connection(session)
    differences: list[str] = []
    before, roots, rows_examined = FIRST_ROOT, [], 0
    for batch in connection.execute(BATCHES).fetchall():
        seal_batch_id, sealed_at, suite, range_count, row_count, previous_root, stored_root = batch
        if previous_root != before:
            differences.append(f"batch {seal_batch_id} does not follow the one before it")
        chain = _Chain(previous_root)
        for ranges, stored in _sealed(connection, seal_batch_id):
            digests, rows = _digests(connection, ranges)
            chain.add(ranges, stored, rows)
            differences += [
                f"account {account_id}: numbers {from_seq} to {to_seq} are not what was sealed"
                for (account_id, from_seq, to_seq), is_, was in zip(ranges, digests, stored, strict=True)
                if is_ != was
            ]
        if (chain.range_count, chain.row_count) != (range_count, row_count):
            differences.append(
                f"batch {seal_batch_id}: {chain.range_count} ranges of {range_count}, "
                f"{chain.row_count} rows of {row_count}"
            )
        roots.append(chain.close(sealed_at, suite))
        if roots[-1] != stored_root:
            differences.append(f"batch {seal_batch_id}: its root is not that of its ranges")
        before, rows_examined = stored_root, rows_examined + chain.row_count
    differences += [
        f"account {account_id}: range {from_seq} to {to_seq} does not follow the one before it, or has no batch"
        for account_id, from_seq, to_seq in connection.execute(MISPLACED)
    ]
    differences += [
        f"no batch has the filed root {root.hex()}: the chain ends before it, or is another one"
        for root in filed_roots
        if root not in roots
    ]
    not_sealed = connection.execute(NOT_SEALED).fetchone()
    assert not_sealed is not None  # noqa: S101 - an aggregate always answers
    rows_not_sealed, since = not_sealed
    return Verification(tuple(roots), rows_examined, rows_not_sealed, since, tuple(differences))


def _sealed(connection: Connection, seal_batch_id: int) -> Iterator[tuple[list[Range], list[bytes]]]:
    """Give a batch's ranges with their stored digests, block by block as they were sealed."""
    after = (0, 0)
    while True:
        rows = connection.execute(RANGES, (seal_batch_id, *after, BLOCK_RANGES)).fetchall()
        if not rows:
            return
        yield [row[:3] for row in rows], [row[3] for row in rows]
        after = rows[-1][:2]
