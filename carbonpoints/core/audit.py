"""The audit trail: who did or read what, when and for which purpose (M21). Append-only, pseudonymous."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import g, has_request_context
from sqlalchemy.orm import Session

from carbonpoints.core.auth import Caller, caller_hash
from carbonpoints.core.clock import now
from carbonpoints.core.crypto import identity_hash
from carbonpoints.core.db import settings
from carbonpoints.core.ids import new_uuid
from carbonpoints.core.logging import request_id
from carbonpoints.core.models import AuditRecord

NO_ACCOUNT = 0
NO_BANK = 0
SYSTEM = "system"
"""The role under which tasks and commands act."""


def record(
    session: Session,
    *,
    account_id: int = NO_ACCOUNT,
    action: str,
    purpose: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write one record in the caller's transaction.

    The actor is the request's caller, or the system outside requests. `detail` holds ids, codes and numbers,
    never what identifies a person.
    """
    caller: Caller | None = g.get("caller") if has_request_context() else None
    actor = caller_hash(caller) if caller else identity_hash(settings().identity_key, SYSTEM)
    session.add(
        AuditRecord(
            account_id=account_id,
            audit_id=new_uuid(),
            recorded_at=now(),
            bank_id=caller.bank_id if caller else NO_BANK,
            actor_hash=actor,
            actor_role=caller.role.value if caller else SYSTEM,
            action=action,
            purpose=purpose,
            request_id=request_id(),
            detail=dict(detail or {}),
        )
    )
