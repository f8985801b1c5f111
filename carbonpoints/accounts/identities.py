"""Whose an identifier or a bank account is: the tables keyed by the identity's hash (M8).

A claim says "this identity is that account's" and is made before the account's own rows, so that of two callers
who claim the same identity at the same time one is told the other's account. Values never leave this module's
callers in clear: only their keyed hash and a mask are kept.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.accounts.schemes import Scheme
from carbonpoints.core.arrays import of_bytes
from carbonpoints.core.crypto import identity_hash
from carbonpoints.core.db import raw_connection, settings


def hash_identity(programme_id: int, scheme: str, value: str) -> bytes:
    """Return the keyed hash of an identifier or a bank account's number within its programme."""
    return hash_identities(programme_id, [(scheme, value)])[0]


def hash_identities(programme_id: int, identities: Iterable[tuple[str, str]]) -> list[bytes]:
    """Return the same for many pairs of scheme and value, in order."""
    key, programme = settings().identity_key, str(programme_id)
    return [identity_hash(key, "holder", programme, scheme, value) for scheme, value in identities]


_CLAIM = text("""
INSERT INTO identity_holder (identity_hash, valid_from, valid, account_id)
SELECT hash, :at, tstzrange(:at, NULL), account_id
FROM unnest(CAST(:hashes AS bytea[]), CAST(:account_ids AS bigint[])) AS claimed (hash, account_id)
ORDER BY hash
ON CONFLICT DO NOTHING
""")

_CURRENT = """
SELECT identity_hash, account_id FROM identity_holder
WHERE identity_hash = ANY(%s::bytea[]) AND upper_inf(valid)
"""

_BEARERS = """
SELECT identity_hash, valid_from, account_id FROM identity_holder
WHERE identity_hash = ANY(%s::bytea[]) ORDER BY identity_hash, valid_from
"""

# What was never in force for any instant leaves no row: begun and ended at one instant of the clock.
_VOID = text("""
DELETE FROM identity_holder
WHERE identity_hash = ANY(CAST(:hashes AS bytea[])) AND account_id = :account_id
  AND upper_inf(valid) AND valid_from >= :at
""")

_END = text("""
UPDATE identity_holder SET valid = tstzrange(valid_from, :at)
WHERE identity_hash = ANY(CAST(:hashes AS bytea[])) AND account_id = :account_id AND upper_inf(valid)
""")


def claim_holders(session: Session, claims: Mapping[bytes, int], at: datetime) -> dict[bytes, int]:
    """Claim each hash for its account from `at` on, and return whose each one is now.

    Where the answer names another account the identity was claimed before; the caller decides whether that is
    the same holder again or a conflict. A concurrent claim of the same hash is waited for.
    """
    session.execute(_CLAIM, {"hashes": list(claims), "account_ids": list(claims.values()), "at": at})
    return current_holders(session, claims)


def current_holders(session: Session, hashes: Collection[bytes]) -> dict[bytes, int]:
    """Return whose each identifier is, for those that are in force."""
    return dict(_rows(session, _CURRENT, hashes))


class Bearers(NamedTuple):
    """Whom a name stands for, by time: one after another, each from its start on."""

    starts: tuple[datetime, ...]
    account_ids: tuple[int, ...]
    """0 for nobody's."""

    def at(self, instant: datetime) -> int:
        """Return the account of whoever bore it last by `instant`, whether or not that has ended since.

        An act reported late under a number that has changed is still its holder's, also when the bank has given the
        number to somebody else by then. Before anybody's time it is the first bearer's: what we know begins when
        they came to us, and their consent says how far back it reaches (M11).
        """
        return self.account_ids[max(0, bisect_right(self.starts, instant) - 1)]

    def among(self, account_ids: Container[int]) -> Bearers:
        """Return the same with only these accounts."""
        return Bearers(self.starts, tuple(each if each in account_ids else 0 for each in self.account_ids))


def bearers_of(session: Session, hashes: Collection[bytes]) -> dict[bytes, Bearers]:
    """Return who bore each identifier."""
    found: dict[bytes, list[tuple[datetime, int]]] = {}
    for identity, valid_from, account_id in _rows(session, _BEARERS, hashes):
        found.setdefault(identity, []).append((valid_from, account_id))
    return {identity: Bearers(*zip(*rows, strict=True)) for identity, rows in found.items()}


def _rows(session: Session, statement: str, hashes: Collection[bytes]) -> list[Any]:
    """Return the rows that a statement finds for hashes."""
    return raw_connection(session).execute(statement, (of_bytes(hashes),), binary=True).fetchall()


def end_holders(session: Session, account_id: int, hashes: Sequence[bytes], at: datetime) -> None:
    """End the account's identifiers at `at`."""
    where = {"hashes": list(hashes), "account_id": account_id, "at": at}
    session.execute(_VOID, where)
    session.execute(_END, where)


_LINK = text("""
INSERT INTO identity_bank_account (identity_hash, account_id, relation)
SELECT hash, account_id, relation
FROM unnest(CAST(:hashes AS bytea[]), CAST(:account_ids AS bigint[]), CAST(:relations AS text[]))
     AS linked (hash, account_id, relation)
ORDER BY hash, account_id
ON CONFLICT DO NOTHING
""")

_LINKS = """
SELECT identity_hash, account_id, relation FROM identity_bank_account
WHERE identity_hash = ANY(%s::bytea[])
"""

_UNLINK = text("""
DELETE FROM identity_bank_account
WHERE account_id = :account_id AND identity_hash = ANY(CAST(:hashes AS bytea[]))
""")


Link = tuple[bytes, int, str]
"""Hash of the bank account's number, account, relation (`owner` or `authorised_user`)."""


def claim_bank_accounts(session: Session, links: Sequence[Link]) -> dict[bytes, dict[int, str]]:
    """Claim each link, and return all that now stand for these bank accounts: {hash: {account: relation}}.

    A bank account has one owner; a link that is missing from the answer or has another relation was refused.
    """
    hashes, account_ids, relations = (
        (list(column) for column in zip(*links, strict=True)) if links else ([], [], [])
    )
    session.execute(_LINK, {"hashes": hashes, "account_ids": account_ids, "relations": relations})
    return links_of(session, set(hashes))


def links_of(session: Session, hashes: Collection[bytes]) -> dict[bytes, dict[int, str]]:
    """Return who owns or may use each bank account: {hash: {account: relation}}."""
    links: dict[bytes, dict[int, str]] = {}
    for number, account_id, relation in _rows(session, _LINKS, hashes):
        links.setdefault(number, {})[account_id] = relation
    return links


def release_bank_accounts(session: Session, account_id: int, hashes: Sequence[bytes]) -> None:
    """Give up the account's links to these bank accounts."""
    session.execute(_UNLINK, {"account_id": account_id, "hashes": list(hashes)})


def owner_of(links: Mapping[int, str]) -> Bearers | None:
    """Return the owner among a bank account's links, for whatever time: a link has no history."""
    owners = tuple(account_id for account_id, relation in links.items() if relation == "owner")
    return Bearers((), owners) if owners else None


def split_subject(subject: str) -> tuple[Scheme | None, str, str]:
    """Return scheme, value and acting customer of an event's subject; scheme None when it names no scheme.

    `CUSTOMER_REF:C1`, `BANK_ACCOUNT:62220001`, `BANK_ACCOUNT:62220001#C2` (C2 acted on that account).
    """
    name, _, rest = subject.partition(":")
    try:
        scheme = Scheme(name)
    except ValueError:
        return None, "", ""
    if scheme is not Scheme.BANK_ACCOUNT:
        return scheme, rest, ""
    value, _, acting = rest.partition("#")
    return scheme, value, acting
