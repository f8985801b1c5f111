"""One answer per key (M18): a call that moves value can be repeated until its answer arrives.

The key's row is the first thing a transaction writes. A second call with the same key waits for the first
one, up to the lock timeout; then it gets the first answer again, or is refused when its body differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Response, jsonify
from marshmallow import fields, validate
from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from carbonpoints.core import strict_json
from carbonpoints.core.auth import Caller, caller_hash
from carbonpoints.core.clock import now
from carbonpoints.core.crypto import SUITE
from carbonpoints.core.db import is_lock_failure, settings
from carbonpoints.core.errors import Conflict, InvalidRequest
from carbonpoints.core.http import Schema
from carbonpoints.core.models import IdempotencyKey

REPLAYED_HEADER = "Idempotent-Replayed"
RETENTION = timedelta(days=7)
NO_ACCOUNT = 0
"""Stands for the account of a call that opens one."""


class KeyReused(InvalidRequest):
    """The key was used before, with another body."""

    code = "idempotency_key_reused"
    title = "This Idempotency-Key was used for another request."


class StillRunning(Conflict):
    """The first call with this key has not ended yet."""

    code = "request_in_progress"
    title = "The first request with this Idempotency-Key is still running."
    retry_after_s = 1


class IdempotencyHeaders(Schema):
    """The header that every call that moves value must carry."""

    idempotency_key = fields.String(
        data_key="Idempotency-Key",
        required=True,
        validate=[validate.Length(min=8, max=128), validate.Regexp(r"[\x21-\x7e]+\Z")],
        metadata={"description": "Made by the caller, one for each thing it wants done; a UUID serves well."},
    )


@dataclass(frozen=True)
class Replay:
    """The answer that the first call with a key was given."""

    status: int
    answer: dict[str, Any]


def replay_or_claim(
    session: Session, caller: Caller, account_id: int, key: str, body: Mapping[str, Any]
) -> Replay | None:
    """Claim a key for this call, or return the answer of the call that had it before.

    Comes first in the service's transaction, which ends with `store_answer`. `body` is what was asked for,
    with the operation's name in it when one key may reach several. Raises KeyReused when it differs from the
    first call's, StillRunning when that one holds the key longer than the lock timeout.
    """
    body_hash = SUITE.mac(settings().identity_key, strict_json.canonical(body))
    identity = {"account_id": account_id, "caller_hash": caller_hash(caller), "key": key}
    claim = (
        insert(IdempotencyKey)
        .values(**identity, body_hash=body_hash, created_at=now())
        .on_conflict_do_nothing()
        .returning(IdempotencyKey.account_id)
    )
    try:
        if session.execute(claim).first() is not None:
            return None
    except OperationalError as error:
        if is_lock_failure(error):
            raise StillRunning from error
        raise
    row = session.execute(select(IdempotencyKey).filter_by(**identity)).scalar_one()
    if row.body_hash != body_hash:
        raise KeyReused
    if row.status is None or row.answer is None:
        raise RuntimeError("a transaction committed its idempotency key without an answer")
    return Replay(row.status, row.answer)


def store_answer(
    session: Session, caller: Caller, account_id: int, key: str, *, status: int, answer: Mapping[str, Any]
) -> None:
    """Keep the answer that goes with a claimed key; the last thing before the transaction ends."""
    changed = session.execute(
        update(IdempotencyKey)
        .filter_by(account_id=account_id, caller_hash=caller_hash(caller), key=key)
        .values(status=status, answer=dict(answer))
        .returning(IdempotencyKey.account_id)
    )
    changed.one()


def replayed(replay: Replay) -> Response:
    """Return the first answer again, with the header that says so."""
    response = jsonify(replay.answer)
    response.status_code = replay.status
    response.headers[REPLAYED_HEADER] = "true"
    return response


def forget_old_keys(session: Session) -> int:
    """Delete keys that nobody will repeat any more and return how many."""
    old = delete(IdempotencyKey).where(IdempotencyKey.created_at < now() - RETENTION)
    return len(session.execute(old.returning(IdempotencyKey.account_id)).all())
