"""What is under review in an account, as its holder and the account's own use cases need to know it (M23).

Who opens and ends reviews, and what that does to an award, is the business of `behaviours.reviews`.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.core.sentences import Sentence

_OPEN = text(
    "SELECT bool_or(event_hash IS NULL) FROM review WHERE account_id = :account_id AND ended_at IS NULL"
)
_HOLDS = text("""
SELECT EXISTS (
    SELECT FROM review WHERE account_id = :account_id AND ended_at IS NULL
    AND (event_hash = :event_hash OR event_hash IS NULL AND review_seq < :account_seq)
)
""")
_OPEN_EVENTS = text("""
SELECT account_id, event_hash, review_seq FROM review
WHERE account_id = ANY(:account_ids) AND event_hash IS NOT NULL AND ended_at IS NULL
""")
ACCOUNT = Sentence(
    "The account is being checked against the rules of the programme. What it is given meanwhile stays pending and can be "
    "used once the check has ended well.",
    "账户正在按碳普惠项目规则进行核查;其间获得的积分暂为待生效,核查通过后可用。",
)
AWARDS = Sentence(
    "Some of what the account earned is being checked against the rules of the programme. Those credits are pending and "
    "can be used once the check has ended well.",
    "账户的部分所得正在按碳普惠项目规则进行核查;相关积分暂为待生效,核查通过后可用。",
)


def has_open_review(session: Session, account_id: int) -> bool:
    """Whether the account, or anything that it earned, is under review."""
    return session.scalar(_OPEN, {"account_id": account_id}) is not None


def review_sentence(session: Session, account_id: int) -> Sentence | None:
    """Return what the holder may know of open reviews; None where there is none. Never why it is checked."""
    is_of_account = session.scalar(_OPEN, {"account_id": account_id})
    if is_of_account is None:
        return None
    return ACCOUNT if is_of_account else AWARDS


def is_held(session: Session, account_id: int, event_hash: bytes, account_seq: int) -> bool:
    """Whether an event, decided under a number, is under review itself or was given under one of its account."""
    parameters = {"account_id": account_id, "event_hash": event_hash, "account_seq": account_seq}
    return bool(session.scalar(_HOLDS, parameters))


def open_event_reviews(session: Session, account_ids: Collection[int]) -> dict[tuple[int, bytes], int]:
    """Return the open reviews of events of these accounts, by account and event."""
    rows = session.execute(_OPEN_EVENTS, {"account_ids": list(account_ids)})
    return {(row.account_id, row.event_hash): row.review_seq for row in rows}
