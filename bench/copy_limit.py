"""The physical limit of a feed: COPY of the very rows it left behind, into the same tables.

The rows are taken out of the database that the feed has filled, by tables and by halves of the accounts, and
copied into a fresh, migrated database with all its indexes, constraints and triggers: by one connection and by
two side by side. The better of the two is the limit.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path

import psycopg
from psycopg import sql

TABLES = (
    "identity_event",
    "identity_claim",
    "decision",
    "entry",
    "event_payload",
    "lot",
    "balance",
    "usage",
    "balance_snapshot",
)
"""What a feed writes; rows it only changes (accounts) are not counted in the limit's favour."""


def take_out(url: str, folder: Path, parts: int) -> dict[str, int]:
    """Write each table's rows to `parts` files by account; returns how many rows each table has."""
    counts = {}
    with psycopg.connect(url) as connection:
        for table in TABLES:
            counts[table] = 0
            for part in range(parts):
                query = sql.SQL(
                    "COPY (SELECT * FROM {} WHERE account_id % {} = {}) TO STDOUT (FORMAT binary)"
                )
                statement = query.format(sql.Identifier(table), parts, part)
                with connection.cursor() as cursor, (folder / f"{table}.{part}").open("wb") as file:
                    with cursor.copy(statement) as copy:
                        for block in copy:
                            file.write(block)
                    counts[table] += max(cursor.rowcount, 0)
    return counts


def _put_in(url: str, files: Sequence[tuple[str, str]]) -> None:
    with psycopg.connect(url) as connection:
        for table, path in files:
            statement = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(sql.Identifier(table))
            with connection.cursor() as cursor, cursor.copy(statement) as copy, Path(path).open("rb") as file:
                while block := file.read(1 << 20):
                    copy.write(block)
            connection.commit()


def put_in(url: str, folder: Path, *, parts: int, connections: int) -> float:
    """Copy the files into an empty database with so many connections; returns the seconds it took."""
    work: list[list[tuple[str, str]]] = [[] for _ in range(connections)]
    for part in range(parts):
        work[part % connections] += [(table, str(folder / f"{table}.{part}")) for table in TABLES]
    context = get_context("spawn")
    started = time.perf_counter()
    processes = [context.Process(target=_put_in, args=(url, files)) for files in work]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    taken = time.perf_counter() - started
    if any(process.exitcode for process in processes):
        raise RuntimeError("the COPY probe failed")
    return taken
