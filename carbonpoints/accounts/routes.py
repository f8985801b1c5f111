"""Accounts over HTTP: schema in, one service call, schema out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, jsonify

from carbonpoints.accounts import (
    consents,
    identifiers,
    linking,
    merging,
    opening,
    previews,
    reading,
    schemas,
    status,
)
from carbonpoints.accounts.schemes import Scheme
from carbonpoints.accounts.views import statement_view, transaction_view
from carbonpoints.accounts.work import AccountView, Answer
from carbonpoints.core.auth import current_caller
from carbonpoints.core.http import Blueprint, Registration
from carbonpoints.core.idempotency import IdempotencyHeaders, replayed
from carbonpoints.core.ids import account_public_id, parse_account_id

blueprint = Blueprint(
    "accounts",
    __name__,
    url_prefix="/v1",
    description="Holders, their accounts, identifiers and consents; balances, transactions and statements.",
)

_ACCOUNT = schemas.AccountSchema()
_MERGED = schemas.MergedSchema()


def _opened(result: opening.Opened) -> tuple[AccountView, int, dict[str, str]]:
    address = f"/v1/accounts/{account_public_id(result.account.account_id)}"
    return result.account, 201 if result.created else 200, {"Location": address}


def _answered(answer: Answer) -> Response:
    """Return a body that was dumped when it was stored, so that the first answer and its replays are the same."""
    return replayed(answer.replay) if answer.replay else jsonify(answer.body)


def _account_or_own(query: Mapping[str, Any]) -> int | None:
    text = query["account_id"]
    return None if text is None else parse_account_id(text)


@blueprint.route("/accounts", methods=["POST"])
@blueprint.arguments(schemas.OpenAccountSchema)
@blueprint.response(201, schemas.AccountSchema)
@blueprint.alt_response(200, schema=schemas.AccountSchema, description="The customer had an account already.")
def open_account(body: dict[str, Any]) -> tuple[AccountView, int, dict[str, str]]:
    """Open the caller's own account; a second call answers with the same one."""
    return _opened(opening.open_personal_account(caller=current_caller(), **body))


@blueprint.route("/enterprise-accounts", methods=["POST"])
@blueprint.arguments(schemas.OpenEnterpriseSchema)
@blueprint.response(201, schemas.AccountSchema)
@blueprint.alt_response(
    200, schema=schemas.AccountSchema, description="The enterprise had an account already."
)
def open_enterprise(body: dict[str, Any]) -> tuple[AccountView, int, dict[str, str]]:
    """Open an enterprise's account under its published identifiers, whose check characters must hold."""
    named = {scheme: body[scheme.lower()] for scheme in Scheme if scheme.lower() in body}
    return _opened(
        opening.open_enterprise_account(caller=current_caller(), name=body["name"], identifiers=named)
    )


@blueprint.route("/accounts/mine")
@blueprint.arguments(schemas.AccountQuerySchema, location="query")
@blueprint.response(200, schemas.AccountSchema)
def get_own_account(query: dict[str, Any]) -> AccountView:
    """Show the caller's own account with its balances, now or as of any past instant."""
    return reading.read_account(caller=current_caller(), account_id=None, **query)


@blueprint.route("/accounts/<account_id>")
@blueprint.arguments(schemas.AccountQuerySchema, location="query")
@blueprint.response(200, schemas.AccountSchema)
def get_account(query: dict[str, Any], account_id: str) -> AccountView:
    """Show an account with its balances, now or as of any past instant."""
    return reading.read_account(caller=current_caller(), account_id=parse_account_id(account_id), **query)


@blueprint.route("/accounts/<account_id>/freeze", methods=["POST"])
@blueprint.arguments(schemas.FreezeSchema)
@blueprint.response(200, schemas.AccountSchema)
def freeze_account(body: dict[str, Any], account_id: str) -> AccountView:
    """Freeze an account: it neither earns nor spends until it is unfrozen."""
    return status.freeze_account(caller=current_caller(), account_id=parse_account_id(account_id), **body)


@blueprint.route("/accounts/<account_id>/unfreeze", methods=["POST"])
@blueprint.arguments(schemas.UnfreezeSchema)
@blueprint.response(200, schemas.AccountSchema)
def unfreeze_account(body: dict[str, Any], account_id: str) -> AccountView:
    """Open a frozen account again."""
    return status.unfreeze_account(caller=current_caller(), account_id=parse_account_id(account_id), **body)


@blueprint.route("/accounts/<account_id>/closure-preview")
@blueprint.arguments(schemas.PurposeQuerySchema, location="query")
@blueprint.response(200, schemas.ClosureSchema)
def preview_closure(query: dict[str, Any], account_id: str) -> previews.Closure:
    """Say what closing the account now would do to its credits, and what stands in the way."""
    return previews.preview_closure(caller=current_caller(), account_id=parse_account_id(account_id), **query)


@blueprint.route("/accounts/<account_id>/dormancy-preview")
@blueprint.arguments(schemas.PurposeQuerySchema, location="query")
@blueprint.response(200, schemas.DormancySchema)
def preview_dormancy(query: dict[str, Any], account_id: str) -> previews.Dormancy:
    """Say what becomes of the account's credits while nobody uses it."""
    return previews.preview_dormancy(
        caller=current_caller(), account_id=parse_account_id(account_id), **query
    )


@blueprint.route("/accounts/<account_id>/close", methods=["POST"])
@blueprint.arguments(IdempotencyHeaders, location="headers")
@blueprint.arguments(schemas.CloseSchema)
@blueprint.response(200, schemas.AccountSchema)
def close_account(headers: dict[str, Any], body: dict[str, Any], account_id: str) -> Response:
    """Close an account for good; what is available or pending is forfeited."""
    return _answered(
        status.close_account(
            caller=current_caller(),
            account_id=parse_account_id(account_id),
            key=headers["idempotency_key"],
            answer=_ACCOUNT.dump,
            **body,
        )
    )


@blueprint.route("/accounts/<account_id>/identifiers", methods=["GET"])
@blueprint.arguments(schemas.PurposeQuerySchema, location="query")
@blueprint.response(200, schemas.IdentifiersSchema)
def list_identifiers(query: dict[str, Any], account_id: str) -> dict[str, Any]:
    """List the holder's identifiers, masked, with the time of each."""
    items = identifiers.list_identifiers(
        caller=current_caller(), account_id=parse_account_id(account_id), **query
    )
    return {"items": items}


@blueprint.route("/accounts/<account_id>/identifiers", methods=["POST"])
@blueprint.arguments(schemas.AddIdentifierSchema)
@blueprint.response(200, schemas.IdentifierAnswerSchema)
def add_identifier(body: dict[str, Any], account_id: str) -> identifiers.IdentifierAnswer:
    """Give the holder another identifier, and end the one that it replaces: a changed customer number."""
    return identifiers.add_identifier(
        caller=current_caller(), account_id=parse_account_id(account_id), **body
    )


@blueprint.route("/accounts/<account_id>/linked-accounts", methods=["GET"])
@blueprint.arguments(schemas.PurposeQuerySchema, location="query")
@blueprint.response(200, schemas.LinkedAccountsSchema)
def list_linked_accounts(query: dict[str, Any], account_id: str) -> dict[str, Any]:
    """List the bank accounts that the holder owns or may use, masked."""
    items = linking.list_linked_accounts(
        caller=current_caller(), account_id=parse_account_id(account_id), **query
    )
    return {"items": items}


@blueprint.route("/accounts/<account_id>/linked-accounts", methods=["POST"])
@blueprint.arguments(schemas.LinkAccountSchema)
@blueprint.response(200, schemas.LinkAnswerSchema)
def link_account(body: dict[str, Any], account_id: str) -> linking.LinkAnswer:
    """Link a bank account to its owner or to somebody who may use it."""
    return linking.link_account(caller=current_caller(), account_id=parse_account_id(account_id), **body)


@blueprint.route("/accounts/<account_id>/linked-accounts/unlink", methods=["POST"])
@blueprint.arguments(schemas.UnlinkAccountSchema)
@blueprint.response(200, schemas.LinkAnswerSchema)
def unlink_account(body: dict[str, Any], account_id: str) -> linking.LinkAnswer:
    """End the link to a bank account: what is done on it counts for the holder no longer."""
    return linking.unlink_account(caller=current_caller(), account_id=parse_account_id(account_id), **body)


@blueprint.route("/accounts/<account_id>/consents", methods=["GET"])
@blueprint.arguments(schemas.PurposeQuerySchema, location="query")
@blueprint.response(200, schemas.ConsentsSchema)
def list_consents(query: dict[str, Any], account_id: str) -> dict[str, Any]:
    """List every source of data with the text that is offered and what the holder last said."""
    items = consents.list_consents(caller=current_caller(), account_id=parse_account_id(account_id), **query)
    return {"items": items}


@blueprint.route("/accounts/<account_id>/consents", methods=["POST"])
@blueprint.arguments(schemas.GiveConsentSchema)
@blueprint.response(200, schemas.ConsentAnswerSchema)
def give_consent(body: dict[str, Any], account_id: str) -> consents.ConsentAnswer:
    """Give consent for one source, as the customer; the bank may declare one that was given earlier."""
    return consents.record_consent(caller=current_caller(), account_id=parse_account_id(account_id), **body)


@blueprint.route("/accounts/<account_id>/consents/<source>/withdrawal", methods=["POST"])
@blueprint.arguments(schemas.WithdrawConsentSchema)
@blueprint.response(200, schemas.ConsentAnswerSchema)
def withdraw_consent(body: dict[str, Any], account_id: str, source: str) -> consents.ConsentAnswer:
    """Withdraw the consent for one source: its events stop, and its data is kept for the stated time only."""
    return consents.withdraw_consent(
        caller=current_caller(), account_id=parse_account_id(account_id), source=source, **body
    )


@blueprint.route("/accounts/<account_id>/merges", methods=["POST"])
@blueprint.arguments(IdempotencyHeaders, location="headers")
@blueprint.arguments(schemas.MergeSchema)
@blueprint.response(200, schemas.MergedSchema)
def merge_accounts(headers: dict[str, Any], body: dict[str, Any], account_id: str) -> Response:
    """Merge this account into another one of the same person; credits keep their expiry."""
    return _answered(
        merging.merge_accounts(
            caller=current_caller(),
            account_id=parse_account_id(account_id),
            into_account_id=parse_account_id(body["into_account_id"]),
            reason=body["reason"],
            key=headers["idempotency_key"],
            answer=_MERGED.dump,
        )
    )


@blueprint.route(
    "/accounts/<account_id>/merges/<int(min=1, max=9223372036854775807):merge_no>/unmerge", methods=["POST"]
)
@blueprint.arguments(IdempotencyHeaders, location="headers")
@blueprint.arguments(schemas.UnmergeSchema)
@blueprint.response(200, schemas.MergedSchema)
def unmerge_accounts(
    headers: dict[str, Any], body: dict[str, Any], account_id: str, merge_no: int
) -> Response:
    """Take the account out of the other one again, with what is still there of what it brought."""
    return _answered(
        merging.unmerge_accounts(
            caller=current_caller(),
            account_id=parse_account_id(account_id),
            merge_no=merge_no,
            reason=body["reason"],
            key=headers["idempotency_key"],
            answer=_MERGED.dump,
        )
    )


@blueprint.route("/transactions")
@blueprint.arguments(schemas.TransactionsQuerySchema, location="query")
@blueprint.response(200, schemas.TransactionsSchema)
def list_transactions(query: dict[str, Any]) -> dict[str, Any]:
    """List the entries of an account's journal, latest first."""
    wanted = reading.EntryFilter(
        flows=[schemas.FLOWS[code] for code in query["flow"]] if "flow" in query else None,
        units=[schemas.UNITS[code] for code in query["unit"]] if "unit" in query else None,
        booked_from=query["booked_from"],
        booked_to=query["booked_to"],
    )
    page = reading.list_transactions(
        caller=current_caller(),
        account_id=_account_or_own(query),
        wanted=wanted,
        limit=query["limit"],
        cursor=query["cursor"],
        purpose=query["purpose"],
    )
    return {"items": [transaction_view(entry) for entry in page.items], "next_cursor": page.next_cursor}


@blueprint.route("/statements/<period>")
@blueprint.arguments(schemas.StatementQuerySchema, location="query")
@blueprint.response(200, schemas.StatementSchema)
def get_statement(query: dict[str, Any], period: str) -> dict[str, Any]:
    """Show the statement of a month (`2026-11`) or a year (`2026`)."""
    found = reading.read_statement(
        caller=current_caller(), account_id=_account_or_own(query), period=period, purpose=query["purpose"]
    )
    return statement_view(found, period)


_READ, _WRITE, _ADMIN, _CONSENT = "accounts:read", "accounts:write", "accounts:admin", "consents:write"

ACCOUNTS = Registration(
    blueprint,
    scopes={
        "open_account": "accounts:open",
        "open_enterprise": _ADMIN,
        "get_own_account": _READ,
        "get_account": _READ,
        "freeze_account": _ADMIN,
        "unfreeze_account": _ADMIN,
        "preview_closure": _READ,
        "preview_dormancy": _READ,
        "close_account": _WRITE,
        "list_identifiers": _READ,
        "add_identifier": _WRITE,
        "list_linked_accounts": _READ,
        "link_account": _WRITE,
        "unlink_account": _WRITE,
        "list_consents": _READ,
        "give_consent": _CONSENT,
        "withdraw_consent": _CONSENT,
        "merge_accounts": _ADMIN,
        "unmerge_accounts": _ADMIN,
        "list_transactions": _READ,
        "get_statement": _READ,
    },
)
