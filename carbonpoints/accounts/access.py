"""Who may see or change which account, whose account a subject names, and what its consents cover (M2, M11, M21)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy.orm import Session

from carbonpoints.accounts import identities
from carbonpoints.accounts.errors import NotYours, PurposeNeeded
from carbonpoints.accounts.schemes import Scheme
from carbonpoints.core import audit
from carbonpoints.core.arrays import of_numbers
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import raw_connection, reading, transaction
from carbonpoints.core.errors import FieldError, NotFound
from carbonpoints.core.models import Programme
from carbonpoints.core.programmes import programme_of
from carbonpoints.core.roles import HOLDERS, STAFF, Role
from carbonpoints.ledger.queries import AccountHead, read_head

_CASE = re.compile(r"case:[A-Za-z0-9-]+")
"""Customer service sees an account only for a case, which its purpose names."""


def own_account_id(session: Session, caller: Caller) -> int:
    """Return the account of the customer whom the token names; NotFound when there is none.

    Only a customer number in force opens the account: one that has ended does not.
    """
    if caller.role is not Role.CUSTOMER:
        raise NotFound
    identity = identities.hash_identity(programme_of(session, caller), Scheme.CUSTOMER_REF, caller.subject)
    holders = identities.current_holders(session, [identity])
    if identity not in holders:
        raise NotFound
    return holders[identity]


def readable_head(session: Session, caller: Caller, account_id: int) -> AccountHead:
    """Return the account's head when the caller may read it; NotFound otherwise.

    A holder sees their own account; everybody else, whose scope has let them in, those of their bank and, where
    the token names a programme, of that programme.
    """
    if caller.role in HOLDERS and own_account_id(session, caller) != account_id:
        raise NotFound
    head = read_head(session, account_id)
    if head is None:
        raise NotFound
    programme = session.get_one(Programme, head.programme_id)
    if programme.bank_id != caller.bank_id or caller.programme not in {None, programme.code}:
        raise NotFound
    return head


@contextmanager
def reading_account(
    *, caller: Caller, account_id: int | None, action: str, purpose: str | None
) -> Iterator[tuple[Session, AccountHead]]:
    """Open one account for reading; `account_id` None means the caller's own.

    Whoever reads another person's account leaves an audit record with the purpose that `stated_purpose` returns.
    Raises PurposeNeeded like it, NotFound like `readable_head`.
    """
    if caller.role in HOLDERS:
        with reading() as session:
            own = own_account_id(session, caller) if account_id is None else account_id
            yield session, readable_head(session, caller, own)
        return
    stated = stated_purpose(caller, purpose)
    if account_id is None:
        raise NotFound
    with transaction() as session:
        head = readable_head(session, caller, account_id)
        audit.record(session, account_id=account_id, action=action, purpose=stated, detail={})
        yield session, head


def stated_purpose(caller: Caller, purpose: str | None) -> str:
    """Return why the caller reads another person's data (M21).

    Staff must say it, and customer service names its case (PurposeNeeded); a system that says nothing reads as what
    it is, `system:<subject>`.
    """
    stated = (purpose or "").strip()
    if caller.role is Role.CUSTOMER_SERVICE and _CASE.fullmatch(stated) is None:
        raise PurposeNeeded(fields=[FieldError("purpose", "case_needed", "Name the case as case:<number>.")])
    if not stated and caller.role in STAFF:
        raise PurposeNeeded(fields=[FieldError("purpose", "required", "Missing data for required field.")])
    return stated or f"system:{caller.subject}"


def require_role(caller: Caller, *roles: Role) -> None:
    """Raise NotYours when the caller has none of these roles: the scope alone does not decide."""
    if caller.role not in roles:
        raise NotYours


def resolve_subjects(
    session: Session, programme_id: int, subjects: Sequence[str]
) -> dict[str, identities.Bearers]:
    """Return the accounts that each event's subject names, by the time of the act; those that name none are absent.

    A bank account stands for its owner, or for the customer who acted on it where the subject says who, if it was
    linked to that customer. Two queries, however many subjects, and more only where accounts were merged.
    """
    asked_numbers: dict[str, tuple[str, str]] = {}
    asked_persons: dict[str, tuple[str, str]] = {}
    for subject in subjects:
        scheme, value, acting = identities.split_subject(subject)
        if scheme is Scheme.BANK_ACCOUNT:
            asked_numbers[subject] = (scheme, value)
            if acting:
                asked_persons[subject] = (Scheme.CUSTOMER_REF, acting)
        elif scheme is not None:
            asked_persons[subject] = (scheme, value)
    numbers, persons = (
        dict(zip(asked, identities.hash_identities(programme_id, asked.values()), strict=True))
        for asked in (asked_numbers, asked_persons)
    )
    lookup = identities.Lookup(session, set(persons.values()), set(numbers.values()))
    found = {}
    for subject in numbers.keys() | persons.keys():
        number, person = numbers.get(subject), persons.get(subject)
        if number is None:
            bearers = lookup.bearers(persons[subject])
        else:
            bearers = lookup.users(number, person) if person is not None else lookup.owners(number)
        if bearers is not None:
            found[subject] = bearers
    return found


_CONSENTS = """
SELECT account_id, source, covers_from FROM (
    SELECT DISTINCT ON (account_id, source) account_id, source, action, covers_from FROM consent
    WHERE account_id = ANY(%s::bigint[])
    ORDER BY account_id, source, account_seq DESC
) AS last WHERE action = 'given'
"""


def consents_in_force(session: Session, account_ids: Collection[int]) -> dict[tuple[int, str], datetime]:
    """Return {(account, source): instant from which acts are covered} for the consents in force (M11)."""
    rows = raw_connection(session).execute(_CONSENTS, (of_numbers(account_ids),), binary=True).fetchall()
    return {(account_id, source): covers_from for account_id, source, covers_from in rows}
