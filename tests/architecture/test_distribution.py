"""The schema fits a database distributed by account: read from the real catalog, not from the models (M8)."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.core.db import Model

PACKAGE = Path(__file__).resolve().parents[2] / "carbonpoints"
for models in sorted(PACKAGE.glob("*/models.py")):
    importlib.import_module(f"carbonpoints.{models.parent.name}.models")

IDENTITY_COLUMNS = {"identity_hash", "event_hash", "fingerprint"}
NOT_OURS = {"alembic_version"}

TABLES = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"

UNIQUE_KEYS = """
SELECT c.relname AS table, i.relname AS key, array_agg(a.attname::text) AS columns
FROM pg_index x
JOIN pg_class c ON c.oid = x.indrelid
JOIN pg_class i ON i.oid = x.indexrelid
JOIN unnest(x.indkey) AS k(attnum) ON true
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
WHERE c.relnamespace = 'public'::regnamespace AND (x.indisunique OR x.indisexclusion)
GROUP BY 1, 2 ORDER BY 1, 2
"""

FOREIGN_KEYS = """
SELECT s.relname AS table, k.conname AS key, t.relname AS target,
       array_agg(sa.attname::text ORDER BY p.place) AS columns,
       array_agg(ta.attname::text ORDER BY p.place) AS target_columns
FROM pg_constraint k
JOIN pg_class s ON s.oid = k.conrelid
JOIN pg_class t ON t.oid = k.confrelid
JOIN unnest(k.conkey, k.confkey) WITH ORDINALITY AS p(source, target, place) ON true
JOIN pg_attribute sa ON sa.attrelid = s.oid AND sa.attnum = p.source
JOIN pg_attribute ta ON ta.attrelid = t.oid AND ta.attnum = p.target
WHERE k.contype = 'f' AND s.relnamespace = 'public'::regnamespace
GROUP BY 1, 2, 3 ORDER BY 1, 2
"""


class Key(NamedTuple):
    table: str
    name: str
    columns: frozenset[str]


class ForeignKey(NamedTuple):
    table: str
    name: str
    target: str
    pairs: frozenset[tuple[str, str]]


@pytest.fixture
def unique_keys(session: Session) -> list[Key]:
    rows = session.execute(text(UNIQUE_KEYS))
    return [Key(row.table, row.key, frozenset(row.columns)) for row in rows if row.table not in NOT_OURS]


@pytest.fixture
def foreign_keys(session: Session) -> list[ForeignKey]:
    return [
        ForeignKey(
            row.table, row.key, row.target, frozenset(zip(row.columns, row.target_columns, strict=True))
        )
        for row in session.execute(text(FOREIGN_KEYS))
    ]


def distribution() -> dict[str, str]:
    """How each table says it is distributed."""
    return {table.name: table.info.get("distribution", "") for table in Model.metadata.tables.values()}


def fits(key: Key, kind: str) -> bool:
    """Whether a database that knows only its own share of a table can hold a unique key."""
    if kind == "account":
        return "account_id" in key.columns
    if kind == "identity":
        return bool(key.columns & IDENTITY_COLUMNS)
    return kind == "reference"


def test_every_table_of_the_database_says_how_it_is_distributed(session: Session) -> None:
    tables = set(session.scalars(text(TABLES))) - NOT_OURS
    assert tables == distribution().keys()
    assert set(distribution().values()) == {"account", "identity", "reference"}


def test_what_is_keyed_by_an_identity_says_so_in_its_name() -> None:
    named = {table for table in distribution() if table.startswith("identity_")}
    assert {table for table, kind in distribution().items() if kind == "identity"} == named


def test_every_unique_key_fits_its_table_s_distribution(unique_keys: list[Key]) -> None:
    kinds = distribution()
    assert [(key.table, key.name) for key in unique_keys if not fits(key, kinds[key.table])] == []
    # The query sees all three sorts of key: primary, unique index, exclusion.
    assert {"pk_account", "uq_lot_identity", "ex_identity_interval_claim"} <= {
        key.name for key in unique_keys
    }


def test_every_foreign_key_stays_where_its_row_is(foreign_keys: list[ForeignKey]) -> None:
    kinds = distribution()
    wrong = [
        (key.table, key.name)
        for key in foreign_keys
        if kinds[key.target] != "reference"
        and not (
            kinds[key.table] == kinds[key.target] == "account" and ("account_id", "account_id") in key.pairs
        )
    ]
    assert wrong == []
    assert "fk_programme_bank_id_bank" in {key.name for key in foreign_keys}


@pytest.mark.parametrize(
    ("columns", "kind", "does"),
    [
        ({"account_id", "key"}, "account", True),
        ({"key"}, "account", False),
        ({"event_hash"}, "identity", True),
        ({"account_id"}, "identity", False),
        ({"code"}, "reference", True),
        ({"account_id"}, "", False),
    ],
)
def test_what_fits(columns: set[str], kind: str, *, does: bool) -> None:
    assert fits(Key("table", "key", frozenset(columns)), kind) is does
