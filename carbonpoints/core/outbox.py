"""Side effects leave after commit, in the order of their account (M18).

A message is a row written in the business transaction. Workers lease buckets of accounts and deliver each
account's messages one after the other; a message that fails holds back its own account only. Delivery is at
least once, so handlers are idempotent. Leases and attempts go by the database's clock, not by the test clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, and_, delete, event, func, or_, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, aliased

from carbonpoints.core.broker import nudge
from carbonpoints.core.clock import now
from carbonpoints.core.db import transaction
from carbonpoints.core.ids import bucket_of
from carbonpoints.core.models import OutboxLease, OutboxMessage

DELIVER_TASK = "core.deliver_outbox"
LEASE = timedelta(seconds=120)
"""Longer than any one delivery takes; renewed before each."""
ROUND_SIZE = 100
BACKOFF_MAX = timedelta(hours=1)
RETENTION = timedelta(days=30)
_TOUCHED = "carbonpoints_outbox_buckets"

log = structlog.get_logger()


class PermanentFailure(Exception):
    """A handler cannot ever succeed as things stand: tried again rarely, and reported as an error."""


@dataclass(frozen=True)
class Message:
    """One side effect of decision `account_seq`; `message_no` tells several of one decision apart."""

    account_id: int
    account_seq: int
    message_no: int
    topic: str
    body: Mapping[str, Any]


Handler = Callable[[Message], None]
_handlers: dict[str, Handler] = {}


def handles(topic: str) -> Callable[[Handler], Handler]:
    """Register the function that delivers messages of `topic`; it opens its own transactions."""

    def register(handler: Handler) -> Handler:
        if topic in _handlers:
            raise ValueError(f"two handlers for {topic}")
        _handlers[topic] = handler
        return handler

    return register


def enqueue(
    session: Session,
    *,
    account_id: int,
    account_seq: int,
    message_no: int,
    topic: str,
    body: Mapping[str, Any],
) -> None:
    """Write a message in the running transaction; a worker is nudged once that has committed."""
    bucket = bucket_of(account_id)
    session.add(
        OutboxMessage(
            account_id=account_id,
            account_seq=account_seq,
            message_no=message_no,
            bucket=bucket,
            topic=topic,
            body=dict(body),
            created_at=now(),
            next_attempt_at=func.now(),
        )
    )
    session.info.setdefault(_TOUCHED, set()).add(bucket)


@event.listens_for(Session, "after_commit")
def _nudge_after_commit(session: Session) -> None:
    for bucket in sorted(session.info.pop(_TOUCHED, ())):
        nudge(DELIVER_TASK, bucket)


@event.listens_for(Session, "after_rollback")
def _forget_after_rollback(session: Session) -> None:
    session.info.pop(_TOUCHED, None)


def waiting_buckets() -> list[int]:
    """Return the buckets in which something waits."""
    with transaction() as session:
        waiting = select(OutboxMessage.bucket).where(OutboxMessage.delivered_at.is_(None)).distinct()
        return sorted(session.scalars(waiting))


def deliver_bucket(bucket: int, *, owner: str) -> int:
    """Deliver what is due in a bucket and return how many messages left.

    Does nothing while another owner holds the bucket's lease.
    """
    delivered = 0
    try:
        while messages := _due(bucket):
            for message in messages:
                if not _lease(bucket, owner):
                    return delivered
                delivered += _deliver(message)
    finally:
        _release(bucket, owner)
    return delivered


def _lease(bucket: int, owner: str) -> bool:
    """Take or renew the lease; False while somebody else has it."""
    free = or_(OutboxLease.owner.is_(None), OutboxLease.owner == owner, OutboxLease.leased_until < func.now())
    take = (
        update(OutboxLease)
        .where(OutboxLease.bucket == bucket, free)
        .values(owner=owner, leased_until=func.now() + LEASE)
        .returning(OutboxLease.bucket)
    )
    with transaction() as session:
        return session.execute(take).first() is not None


def _release(bucket: int, owner: str) -> None:
    mine = and_(OutboxLease.bucket == bucket, OutboxLease.owner == owner)
    with transaction() as session:
        session.execute(update(OutboxLease).where(mine).values(owner=None, leased_until=None))


def _due(bucket: int) -> list[Message]:
    """Return the first waiting message of each account, where its time has come."""
    first = (
        select(OutboxMessage)
        .where(OutboxMessage.bucket == bucket, OutboxMessage.delivered_at.is_(None))
        .ext(distinct_on(OutboxMessage.account_id))
        .order_by(OutboxMessage.account_id, OutboxMessage.account_seq, OutboxMessage.message_no)
        .subquery()
    )
    head = aliased(OutboxMessage, first)
    with transaction() as session:
        rows = session.scalars(select(head).where(head.next_attempt_at <= func.now()).limit(ROUND_SIZE))
        return [Message(row.account_id, row.account_seq, row.message_no, row.topic, row.body) for row in rows]


def _deliver(message: Message) -> bool:
    """Hand a message to its handler, outside any transaction, and write down what came of it."""
    try:
        handler = _handlers.get(message.topic)
        if handler is None:
            raise PermanentFailure(f"nobody handles {message.topic}")  # noqa: TRY301 - recorded as any failure
        handler(message)
    except Exception as error:  # noqa: BLE001 - one account's failure must not stop the others
        is_permanent = isinstance(error, PermanentFailure)
        write = log.error if is_permanent else log.warning
        write("outbox_delivery_failed", topic=message.topic, account_id=message.account_id, exc_info=error)
        _put_off(message, type(error).__name__, is_permanent=is_permanent)
        return False
    with transaction() as session:
        session.execute(update(OutboxMessage).where(_is(message)).values(delivered_at=func.now()))
    return True


def _put_off(message: Message, reason: str, *, is_permanent: bool) -> None:
    """Try again after 2, 4, 8 ... seconds, up to an hour; after an hour at once where it looks permanent."""
    longest = func.make_interval(0, 0, 0, 0, 0, 0, BACKOFF_MAX.total_seconds())
    growing = func.make_interval(0, 0, 0, 0, 0, 0, func.power(2, func.least(OutboxMessage.attempts + 1, 20)))
    wait = longest if is_permanent else func.least(growing, longest)
    with transaction() as session:
        session.execute(
            update(OutboxMessage)
            .where(_is(message))
            .values(
                attempts=func.least(OutboxMessage.attempts + 1, 32_000),
                next_attempt_at=func.now() + wait,
                last_error=reason,
            )
        )


def _is(message: Message) -> ColumnElement[bool]:
    return and_(
        OutboxMessage.account_id == message.account_id,
        OutboxMessage.account_seq == message.account_seq,
        OutboxMessage.message_no == message.message_no,
        OutboxMessage.delivered_at.is_(None),
    )


def forget_delivered(session: Session) -> int:
    """Delete messages that were delivered long ago and return how many."""
    old = delete(OutboxMessage).where(OutboxMessage.delivered_at < func.now() - RETENTION)
    return len(session.execute(old.returning(OutboxMessage.account_id)).all())
