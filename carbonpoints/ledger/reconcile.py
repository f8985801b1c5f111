"""The books prove themselves: `check` runs every proof and repairs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.orm import Session

from carbonpoints.core.db import raw_connection
from carbonpoints.ledger.budget_proof import BUDGETS
from carbonpoints.ledger.proof import PARAMETERS, SIDES, Proof
from carbonpoints.ledger.proofs import PROOFS
from carbonpoints.ledger.seal import verify

SAMPLES = 5
"""How many differences of a proof are shown; all are counted."""

DIFFERENCES = """
WITH side AS ({sides}), difference (account_id, detail) AS MATERIALIZED ({differences})
SELECT (SELECT count(*) FROM difference), account_id, detail FROM difference ORDER BY account_id, detail LIMIT {samples}
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one proof found."""

    code: str
    statement: str
    rows_examined: int
    differences: int
    samples: tuple[str, ...]
    """The first few differences, each with its account."""


def check(session: Session) -> list[Finding]:
    """Run every proof over everything and return what each found, in the order of the proofs.

    The queries stream inside the database; only counts and a few samples leave it. For one consistent view run
    it in a REPEATABLE READ transaction, as `flask ledger check` does.
    """
    connection = raw_connection(session)
    findings = [_prove(connection, proof) for proof in (*PROOFS, BUDGETS)]
    sealed = verify(session)
    findings.append(
        Finding(
            "seals",
            "every sealed batch is unchanged and chained to the one before",
            sealed.rows_examined,
            len(sealed.differences),
            tuple(sealed.differences[:SAMPLES]),
        )
    )
    return findings


def _prove(connection: psycopg.Connection[Any], proof: Proof) -> Finding:
    examined = connection.execute(
        sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(proof.examined))
    ).fetchone()
    query = DIFFERENCES.format(sides=SIDES, differences=proof.differences, samples=SAMPLES)
    rows = connection.execute(query, PARAMETERS).fetchall()
    return Finding(
        proof.code,
        proof.statement,
        examined[0] if examined else 0,
        rows[0][0] if rows else 0,
        tuple(f"account {account_id}: {detail}" if account_id else detail for _, account_id, detail in rows),
    )
