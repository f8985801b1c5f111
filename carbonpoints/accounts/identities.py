"""Whose an identifier or a bank account is: the tables keyed by the identity's hash (M8).

A claim says "this identity is that account's" and is made before the account's own rows, so that of two callers
who claim the same identity at the same time one is told the other's account. Values never leave this module's
callers in clear: only their keyed hash and a mask are kept.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from carbonpoints.accounts.models import Merge
from carbonpoints.accounts.schemes import Scheme
from carbonpoints.core.arrays import of_bytes
from carbonpoints.core.crypto import identity_hash
from carbonpoints.core.db import raw_connection, settings

OWNER = "owner"
_BEGINNING = datetime.min.replace(tzinfo=UTC)


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

# Whether an account went into another one since is asked along: nearly none did.
_BEARERS = """
SELECT identity_hash, valid_from, i.account_id, m.account_id IS NOT NULL
FROM identity_holder i LEFT JOIN merge m ON m.account_id = i.account_id AND m.unmerged_seq IS NULL
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

    def mapped(self, account_ids: Mapping[int, int]) -> Bearers:
        """Return the same with other accounts in the place of these."""
        return Bearers(self.starts, tuple(account_ids.get(each, each) for each in self.account_ids))


class LinkPeriod(NamedTuple):
    """From when until when a bank account is linked to an account, and as what; no end while it is."""

    start: datetime
    end: datetime | None
    account_id: int
    relation: str


class Lookup:
    """Whom identifiers and bank accounts stand for, each read in one query."""

    def __init__(self, session: Session, persons: Collection[bytes], numbers: Collection[bytes]) -> None:
        bearers: dict[bytes, list[tuple[datetime, int]]] = {}
        self._links: dict[bytes, list[LinkPeriod]] = {}
        merged = set()
        for identity, start, account_id, is_merged in _rows(session, _BEARERS, persons) if persons else ():
            bearers.setdefault(identity, []).append((start, account_id))
            if is_merged:
                merged.add(account_id)
        self._persons = {identity: Bearers(*zip(*rows, strict=True)) for identity, rows in bearers.items()}
        for identity, *period, is_merged in _rows(session, _LINKS, numbers) if numbers else ():
            link = LinkPeriod(*period)
            self._links.setdefault(identity, []).append(link)
            if is_merged:
                merged.add(link.account_id)
        self._surviving = surviving_accounts(session, merged) if merged else {}

    def bearers(self, identity: bytes) -> Bearers | None:
        """Return who bore an identifier; None where nobody ever did.

        What an account bore that went into another one since is the other's.
        """
        person = self._persons.get(identity)
        return self._surviving_of(person) if person is not None else None

    def owners(self, number: bytes) -> Bearers | None:
        """Return who owned a bank account, nobody between two owners; None where nobody ever did."""
        owners = [link for link in self._links.get(number, ()) if link.relation == OWNER]
        if not owners:
            return None
        steps: dict[datetime, int] = {}
        for link in owners:
            steps[link.start] = link.account_id
            if link.end is not None:
                steps[link.end] = 0
        return self._surviving_of(Bearers(tuple(steps), tuple(steps.values())))

    def users(self, number: bytes, identity: bytes) -> Bearers | None:
        """Return who bore an identifier, as long as the bank account was linked to them; None where nobody did."""
        person = self._persons.get(identity)
        if person is None:
            return None
        links = [link for link in self._links.get(number, ()) if link.account_id in person.account_ids]
        if all(link.end is None for link in links):  # Then each of them reaches back to the beginning.
            lasting = {link.account_id for link in links}
            account_ids = tuple(each if each in lasting else 0 for each in person.account_ids)
            return self._surviving_of(Bearers(person.starts, account_ids))
        bounds = {_BEGINNING, *person.starts}
        bounds.update(bound for link in links for bound in link[:2] if bound is not None)
        starts = sorted(bounds)
        account_ids = tuple(_linked(person.at(start), links, start) for start in starts)
        return self._surviving_of(Bearers(tuple(starts), account_ids))

    def _surviving_of(self, bearers: Bearers) -> Bearers:
        return bearers.mapped(self._surviving) if self._surviving else bearers


def _linked(account_id: int, links: Sequence[LinkPeriod], instant: datetime) -> int:
    """Return the account if it was linked at an instant, or before anybody knew of it; else 0."""
    periods = [link for link in links if link.account_id == account_id]
    is_linked = any(
        (number == 0 or link.start <= instant) and (link.end is None or instant < link.end)
        for number, link in enumerate(periods)
    )
    return account_id if is_linked else 0


def surviving_accounts(session: Session, account_ids: Iterable[int]) -> dict[int, int]:
    """Return, for each account, the one that has today what it earned: itself, or the one it went into."""
    surviving = {account_id: account_id for account_id in account_ids}
    while surviving:
        query = select(Merge.account_id, Merge.into_account_id).where(
            Merge.account_id.in_(surviving.values()), Merge.unmerged_seq.is_(None)
        )
        went = {row.account_id: row.into_account_id for row in session.execute(query)}
        if not went:
            break
        surviving = {each: went.get(last, last) for each, last in surviving.items()}
    return surviving


def _rows(session: Session, statement: str, hashes: Collection[bytes]) -> list[Any]:
    """Return the rows that a statement finds for hashes."""
    return raw_connection(session).execute(statement, (of_bytes(hashes),), binary=True).fetchall()


def end_holders(session: Session, account_id: int, hashes: Sequence[bytes], at: datetime) -> None:
    """End the account's identifiers at `at`."""
    where = {"hashes": list(hashes), "account_id": account_id, "at": at}
    session.execute(_VOID, where)
    session.execute(_END, where)


_LINK = text("""
INSERT INTO identity_bank_account (identity_hash, account_id, valid_from, valid, relation)
SELECT hash, account_id, :at, tstzrange(:at, NULL), relation
FROM unnest(CAST(:hashes AS bytea[]), CAST(:account_ids AS bigint[]), CAST(:relations AS text[]))
     AS linked (hash, account_id, relation)
ORDER BY hash, account_id
ON CONFLICT DO NOTHING
""")

_CURRENT_LINKS = """
SELECT identity_hash, account_id, relation FROM identity_bank_account
WHERE identity_hash = ANY(%s::bytea[]) AND upper_inf(valid)
"""

_LINKS = """
SELECT identity_hash, valid_from, upper(valid), i.account_id, relation, m.account_id IS NOT NULL
FROM identity_bank_account i LEFT JOIN merge m ON m.account_id = i.account_id AND m.unmerged_seq IS NULL
WHERE identity_hash = ANY(%s::bytea[]) ORDER BY identity_hash, valid_from
"""

_VOID_LINKS = text("""
DELETE FROM identity_bank_account
WHERE identity_hash = ANY(CAST(:hashes AS bytea[])) AND account_id = :account_id
  AND upper_inf(valid) AND valid_from >= :at
""")

_END_LINKS = text("""
UPDATE identity_bank_account SET valid = tstzrange(valid_from, :at)
WHERE identity_hash = ANY(CAST(:hashes AS bytea[])) AND account_id = :account_id AND upper_inf(valid)
""")


Link = tuple[bytes, int, str]
"""Hash of the bank account's number, account, relation (`owner` or `authorised_user`)."""


def claim_bank_accounts(session: Session, links: Sequence[Link], at: datetime) -> dict[bytes, dict[int, str]]:
    """Claim each link from `at` on, and return all that now stand for these bank accounts: {hash: {account: relation}}.

    A bank account has one owner; a link that is missing from the answer or has another relation was refused.
    """
    hashes, account_ids, relations = (
        (list(column) for column in zip(*links, strict=True)) if links else ([], [], [])
    )
    values = {"hashes": hashes, "account_ids": account_ids, "relations": relations, "at": at}
    session.execute(_LINK, values)
    current: dict[bytes, dict[int, str]] = {}
    for number, account_id, relation in _rows(session, _CURRENT_LINKS, set(hashes)):
        current.setdefault(number, {})[account_id] = relation
    return current


def end_bank_accounts(session: Session, account_id: int, hashes: Sequence[bytes], at: datetime) -> None:
    """End the account's links to these bank accounts at `at`."""
    where = {"hashes": list(hashes), "account_id": account_id, "at": at}
    session.execute(_VOID_LINKS, where)
    session.execute(_END_LINKS, where)


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
