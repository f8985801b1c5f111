"""Public ids: readable, prefixed, and embedding the account they belong to (M8)."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from carbonpoints.core.errors import NotFound

BUCKETS = 64
"""Accounts fall into this many buckets; workers lease buckets (M18)."""

_ACCOUNT = re.compile(r"acct_([1-9][0-9]{0,17})\Z")
_NUMBERED = re.compile(r"([a-z]+)_([1-9][0-9]{0,17})_([1-9][0-9]{0,17})\Z")


def bucket_of(account_id: int) -> int:
    """Return the bucket (0 to 63) of an account: a multiplicative hash, so neighbours spread."""
    return (account_id * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) >> 58


def account_public_id(account_id: int) -> str:
    """Return the public id of an account, `acct_100001`."""
    return f"acct_{account_id}"


def parse_account_id(text: str) -> int:
    """Return the account's number; NotFound when the text is no account id."""
    match = _ACCOUNT.match(text)
    if match is None:
        raise NotFound
    return int(match[1])


@dataclass(frozen=True)
class NumberedId:
    """An id of something numbered inside an account: `evt_100001_57`, `txn_100001_58`."""

    prefix: str
    account_id: int
    account_seq: int

    def __str__(self) -> str:
        """Return the public form."""
        return f"{self.prefix}_{self.account_id}_{self.account_seq}"


def parse_numbered_id(text: str, prefix: str) -> NumberedId:
    """Return the parts of a numbered id with this prefix; NotFound otherwise."""
    match = _NUMBERED.match(text)
    if match is None or match[1] != prefix:
        raise NotFound
    return NumberedId(prefix, int(match[2]), int(match[3]))


def new_uuid() -> uuid.UUID:
    """Return a random id for things outside an account's numbering (jobs, transfers, requests)."""
    return uuid.uuid4()
