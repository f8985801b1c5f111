"""What is on record of transfers: whether one has arrived, and what one took along (M17)."""

from __future__ import annotations

import uuid

from sqlalchemy.orm import Session

from carbonpoints.core.db import raw_connection
from carbonpoints.ledger.book import Parcel
from carbonpoints.ledger.transfers import load_parcels

ARRIVED = """
SELECT EXISTS (SELECT FROM transfer_leg WHERE account_id = %s AND transfer_id = %s AND direction = 'in')
"""
SENT = "SELECT parcels FROM transfer_leg WHERE account_id = %s AND decision_seq = %s AND direction = 'out'"


def has_arrived(session: Session, account_id: int, transfer_id: uuid.UUID) -> bool:
    """Whether the account has received this transfer."""
    row = raw_connection(session).execute(ARRIVED, (account_id, transfer_id)).fetchone()
    return bool(row and row[0])


def sent_parcels(session: Session, account_id: int, decision_seq: int) -> list[Parcel]:
    """Return what the account sent under this decision; nothing where the decision sent nothing."""
    row = raw_connection(session).execute(SENT, (account_id, decision_seq)).fetchone()
    return load_parcels(row[0]) if row else []
