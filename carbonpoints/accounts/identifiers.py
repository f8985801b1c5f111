"""The identifiers of a holder: dated, added and ended, never overwritten (M2).

A customer number that changed is a new identifier of the same person. Acts that arrive late under the old one
are still theirs; a token that names it no longer opens the account.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from carbonpoints.accounts import identities
from carbonpoints.accounts.access import reading_account, require_role
from carbonpoints.accounts.errors import IdentifierNotInForce, IdentifierTaken
from carbonpoints.accounts.models import HolderIdentifier
from carbonpoints.accounts.schemes import ENTERPRISE_SCHEMES, PERSON_SCHEMES, Scheme, check_identifier, mask
from carbonpoints.accounts.work import AccountView, Work, open_work
from carbonpoints.core import audit
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import transaction
from carbonpoints.core.errors import FieldError, InvalidRequest, NotFound
from carbonpoints.core.roles import Role
from carbonpoints.ledger.chart import DecisionKind


@dataclass(frozen=True)
class Identifier:
    """An identifier as it may be shown."""

    identifier_no: int
    scheme: str
    masked_value: str
    valid_from: datetime
    valid_to: datetime | None
    """None while it is in force."""


@dataclass(frozen=True)
class IdentifierAnswer:
    """All identifiers after the call, and the account with its balances."""

    identifiers: Sequence[Identifier]
    account: AccountView


def list_identifiers(*, caller: Caller, account_id: int, purpose: str | None) -> Sequence[Identifier]:
    """Return the account's identifiers, masked, in the order in which they came."""
    with reading_account(
        caller=caller, account_id=account_id, action="identifiers.read", purpose=purpose
    ) as (session, _):
        return [_shown(row) for row in rows_of(session, account_id)]


def add_identifier(
    *, caller: Caller, account_id: int, scheme: Scheme, value: str, ends: int | None = None
) -> IdentifierAnswer:
    """Give the holder another identifier from now on, and end the one with number `ends`, which it replaces.

    For core banking and operations. Adding what the holder already has changes nothing. Raises InvalidRequest,
    IdentifierTaken when it is another holder's, IdentifierNotInForce, AccountClosed, AccountMerged.
    """
    require_role(caller, Role.CORE_BANKING, Role.OPERATIONS)
    check_identifier(scheme, value)
    with transaction() as session:
        work = open_work(session, caller, account_id)
        work.refuse_unless("open", "frozen")
        _refuse_scheme(scheme, work.book.holder_kind)
        rows, at = rows_of(session, account_id), work.moment.booked_at
        identity = identities.hash_identity(work.programme.id, scheme, value)
        if identities.claim_holders(session, {identity: account_id}, at).get(identity) != account_id:
            raise IdentifierTaken
        if not any(row.identity_hash == identity and row.valid_to is None for row in rows):
            added = new_row(
                account_id=account_id,
                identifier_no=len(rows) + 1,
                scheme=scheme,
                identity=identity,
                masked_value=mask(scheme, value),
                at=at,
            )
            _replace(work, rows, added, ends)
            rows.append(added)
        return IdentifierAnswer([_shown(row) for row in rows], work.write())


def _replace(work: Work, rows: Sequence[HolderIdentifier], added: HolderIdentifier, ends: int | None) -> None:
    """Put `added` in force and end number `ends`, under one decision."""
    account_id = work.book.account_id
    if ends is not None:
        end_row(work.session, _in_force(rows, ends), added.valid_from)
    work.session.add(added)
    trace = {"added": added.identifier_no, "ended": ends}
    detail = {"account_seq": work.decide(DecisionKind.IDENTIFIER, trace), **trace}
    audit.record(work.session, account_id=account_id, action="identifier.add", detail=detail)


def rows_of(session: Session, account_id: int) -> list[HolderIdentifier]:
    """Return the account's identifiers in the order in which they came, as they stand in the database."""
    query = select(HolderIdentifier).where(HolderIdentifier.account_id == account_id)
    ordered = query.order_by(HolderIdentifier.identifier_no)
    return list(session.scalars(ordered.execution_options(populate_existing=True)))


def new_row(
    *, account_id: int, identifier_no: int, scheme: str, identity: bytes, masked_value: str, at: datetime
) -> HolderIdentifier:
    """Return the row of an identifier that is in force from `at` on."""
    return HolderIdentifier(
        account_id=account_id,
        identifier_no=identifier_no,
        scheme=scheme,
        identity_hash=identity,
        masked_value=masked_value,
        valid_from=at,
    )


def end_row(session: Session, row: HolderIdentifier, at: datetime) -> None:
    """End an identifier at `at`, for its holder and for whoever looks it up."""
    row.valid_to = max(at, row.valid_from)
    identities.end_holders(session, row.account_id, [row.identity_hash], at)


def _in_force(rows: Sequence[HolderIdentifier], identifier_no: int) -> HolderIdentifier:
    row = next((row for row in rows if row.identifier_no == identifier_no), None)
    if row is None:
        raise NotFound
    if row.valid_to is not None:
        raise IdentifierNotInForce
    return row


def _refuse_scheme(scheme: Scheme, holder_kind: str) -> None:
    if scheme not in (PERSON_SCHEMES if holder_kind == "person" else ENTERPRISE_SCHEMES):
        raise InvalidRequest(
            fields=[
                FieldError("scheme", "scheme_not_allowed", "This holder has no identifiers of this scheme.")
            ]
        )


def _shown(row: HolderIdentifier) -> Identifier:
    return Identifier(row.identifier_no, row.scheme, row.masked_value, row.valid_from, row.valid_to)
