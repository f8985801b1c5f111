"""The physical limit of a feed: COPY of the very rows it left behind, into the same tables.

The rows are taken out of the database that the feed has filled, by tables and by halves of the accounts, and
copied into a fresh, migrated database with all its indexes, constraints and triggers: by one connection and by
two side by side. The better of the two is the limit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import psycopg
from psycopg import sql

from bench.machine import cpu_seconds

PARTS = 2
START_S = 60.0
TABLES = {
    "identity_event": "true",
    "identity_claim": "true",
    # Accounts were opened and consents given before the feed: those decisions are not its own.
    "decision": "event_hash IS NOT NULL",
    "entry": "true",
    "event_payload": "true",
    "lot": "true",
    "balance": "true",
    "usage": "true",
    "balance_snapshot": "true",
}
"""What a feed writes, with the condition for it; rows it only changes (accounts) do not count for the limit."""


def take_out(url: str, folder: Path) -> dict[str, int]:
    """Write each table's rows to a file for each half of the accounts; returns how many rows each table has."""
    folder.mkdir(exist_ok=True)
    counts = dict.fromkeys(TABLES, 0)
    query = "COPY (SELECT * FROM {} WHERE account_id % {} = {} AND {}) TO STDOUT (FORMAT binary)"
    with psycopg.connect(url) as connection:
        for table, condition in TABLES.items():
            for part in range(PARTS):
                statement = sql.SQL(query).format(sql.Identifier(table), PARTS, part, sql.SQL(condition))
                with connection.cursor() as cursor, _file(folder, table, part).open("wb") as file:
                    with cursor.copy(statement) as copy:
                        for block in copy:
                            file.write(block)
                    counts[table] += max(cursor.rowcount, 0)
    return counts


@dataclass(frozen=True)
class Copied:
    """What copying took, on the clock and of the CPU, our own and PostgreSQL's."""

    seconds: float
    cpu_s: float


def put_in(url: str, folder: Path, *, connections: int) -> Copied:
    """Copy the files into an empty database with so many connections."""
    work: list[list[tuple[str, Path]]] = [[] for _ in range(connections)]
    for part in range(PARTS):
        work[part % connections] += [(table, _file(folder, table, part)) for table in TABLES]
    context = get_context("spawn")
    gate = context.Barrier(connections + 1)
    processes = [context.Process(target=_copy, args=(url, files, gate)) for files in work]
    for process in processes:
        process.start()
    gate.wait(START_S)
    started, cpu_s = time.perf_counter(), cpu_seconds(os.getpid())
    for process in processes:
        process.join()
    copied = Copied(time.perf_counter() - started, cpu_seconds(os.getpid()) - cpu_s)
    if any(process.exitcode for process in processes):
        raise RuntimeError("the COPY probe failed")
    return copied


def _copy(url: str, files: Sequence[tuple[str, Path]], gate: Barrier) -> None:
    with psycopg.connect(url) as connection:
        gate.wait(START_S)
        for table, path in files:
            statement = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(sql.Identifier(table))
            with connection.cursor() as cursor, cursor.copy(statement) as copy, path.open("rb") as file:
                while block := file.read(1 << 20):
                    copy.write(block)
            connection.commit()


def _file(folder: Path, table: str, part: int) -> Path:
    return folder / f"{table}.{part}"
