"""Moving identifiers and linked bank accounts between the two accounts of a merge (M2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from carbonpoints.accounts import identities
from carbonpoints.accounts.identifiers import end_row, new_row, rows_of
from carbonpoints.accounts.linking import Relation, write_links
from carbonpoints.accounts.models import LinkedAccount
from carbonpoints.accounts.work import Work

IDENTIFIER, BANK_ACCOUNT = "identifier", "bank_account"


def move_all(source: Work, target: Work) -> list[dict[str, Any]]:
    """Move what is in force of the source to the target, and return what moved as JSON values."""
    identifiers = [
        {
            "type": IDENTIFIER,
            "identity": row.identity_hash.hex(),
            "scheme": row.scheme,
            "masked_value": row.masked_value,
        }
        for row in rows_of(source.session, source.book.account_id)
        if row.valid_to is None
    ]
    ours, theirs = (_links(work.session, work.book.account_id) for work in (source, target))
    links = [
        {
            "type": BANK_ACCOUNT,
            "identity": identity.hex(),
            "relation": row.relation,
            "masked_value": row.masked_value,
            "before": theirs[identity].relation if identity in theirs else None,
        }
        for identity, row in ours.items()
    ]
    at = max(source.moment.booked_at, target.moment.booked_at)
    _move_identifiers(source, target, identifiers, at)
    for link in links:
        relations = {link["relation"], link["before"]}
        kept = Relation.OWNER if Relation.OWNER in relations else Relation.AUTHORISED_USER
        _set_links(link, {source.book.account_id: None, target.book.account_id: kept}, target.session, at)
    return [*identifiers, *links]


def move_back(source: Work, target: Work, moved: Sequence[Mapping[str, Any]]) -> None:
    """Move back to the source what came from it and is still the target's."""
    at = max(source.moment.booked_at, target.moment.booked_at)
    _move_identifiers(target, source, [each for each in moved if each["type"] == IDENTIFIER], at)
    held = _links(target.session, target.book.account_id)
    for link in moved:
        if link["type"] == BANK_ACCOUNT and bytes.fromhex(link["identity"]) in held:
            relations = {source.book.account_id: link["relation"], target.book.account_id: link["before"]}
            _set_links(link, relations, target.session, at)


def _move_identifiers(
    giver: Work, taker: Work, identifiers: Sequence[Mapping[str, Any]], at: datetime
) -> None:
    session, account_id = giver.session, taker.book.account_id
    in_force = {
        row.identity_hash: row for row in rows_of(session, giver.book.account_id) if row.valid_to is None
    }
    number = len(rows_of(session, account_id))
    for each in identifiers:
        row = in_force.get(bytes.fromhex(each["identity"]))
        if row is None:
            continue
        number += 1
        end_row(session, row, at)
        identities.claim_holders(session, {row.identity_hash: account_id}, at)
        session.add(
            new_row(
                account_id=account_id,
                identifier_no=number,
                scheme=row.scheme,
                identity=row.identity_hash,
                masked_value=row.masked_value,
                at=at,
            )
        )


def _set_links(
    link: Mapping[str, Any], relations: Mapping[int, str | None], session: Session, at: datetime
) -> None:
    """Give a bank account exactly these relations to the two accounts; None is no link."""
    identity = bytes.fromhex(link["identity"])
    for account_id in relations:
        identities.end_bank_accounts(session, account_id, [identity], at)
        session.execute(
            update(LinkedAccount)
            .where(LinkedAccount.account_id == account_id, LinkedAccount.identity_hash == identity)
            .values(unlinked_at=at)
        )
    linked = [(identity, account_id, relation) for account_id, relation in relations.items() if relation]
    identities.claim_bank_accounts(session, linked, at)
    write_links(session, [(*each, link["masked_value"]) for each in linked], at)


def _links(session: Session, account_id: int) -> dict[bytes, LinkedAccount]:
    query = select(LinkedAccount).where(
        LinkedAccount.account_id == account_id, LinkedAccount.unlinked_at.is_(None)
    )
    rows = session.scalars(
        query.order_by(LinkedAccount.identity_hash).execution_options(populate_existing=True)
    )
    return {row.identity_hash: row for row in rows}
