"""Tasks that belong to no domain."""

from __future__ import annotations

import uuid

from celery import shared_task

from carbonpoints.core.db import transaction
from carbonpoints.core.idempotency import forget_old_keys
from carbonpoints.core.outbox import DELIVER_TASK, deliver_bucket, forget_delivered, waiting_buckets


@shared_task(name=DELIVER_TASK)
def deliver_outbox(bucket: int | None = None) -> None:
    """Deliver the messages of one bucket, or of every bucket in which some wait."""
    owner = uuid.uuid4().hex
    for each in waiting_buckets() if bucket is None else [bucket]:
        deliver_bucket(each, owner=owner)


@shared_task(name="core.forget_answered")
def forget_answered() -> None:
    """Delete idempotency keys and delivered messages that are past their retention."""
    with transaction() as session:
        forget_old_keys(session)
        forget_delivered(session)
