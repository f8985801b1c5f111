"""What the accounts API takes and answers."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from marshmallow import fields, validate
from webargs.fields import DelimitedList

from carbonpoints.accounts.linking import Relation
from carbonpoints.accounts.schemes import REFERENCE_LENGTH_MAX, Scheme
from carbonpoints.accounts.status import CloseReason, FreezeReason, UnfreezeReason
from carbonpoints.core.http import Schema
from carbonpoints.core.ids import account_public_id
from carbonpoints.core.pagination import PageQuery
from carbonpoints.core.sentences import Caveat, SentenceSchema
from carbonpoints.core.timestamps import Timestamp
from carbonpoints.ledger.chart import Flow, Unit

# What a calendar can be asked about: neither end overflows in any time zone.
INSTANT = validate.Range(min=datetime(1900, 1, 1, tzinfo=UTC), max=datetime(2199, 12, 31, tzinfo=UTC))
DAY = validate.Range(min=date(1900, 1, 1), max=date(2199, 12, 31))
REASON_LENGTH = validate.Length(min=1, max=500)
CODE_LENGTH = validate.Length(min=1, max=64)
REFERENCE = validate.Length(min=1, max=REFERENCE_LENGTH_MAX)
FLOWS = {flow.name.lower(): flow for flow in Flow}
UNITS = {unit.name: unit for unit in Unit}


class AccountId(fields.String):
    """An account's number as its public id, `acct_100001`."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return super()._serialize(account_public_id(value), attr, obj, **kwargs)


class PurposeQuerySchema(Schema):
    """Why another person's data is read."""

    purpose = fields.String(
        load_default=None,
        validate=validate.Length(min=1, max=200),
        metadata={
            "description": "Needed from staff; customer service names its case as `case:<number>`, of letters, digits "
            "and hyphens. Kept in the audit trail; default for systems: `system:` and the token's subject."
        },
    )


class BalancesSchema(Schema):
    """What an account has. Credits are in thousandths, reduction in milligrams of CO2 equivalent."""

    available_millicredits = fields.Integer(required=True)
    held_millicredits = fields.Integer(required=True)
    pending_millicredits = fields.Integer(required=True)
    expiring_30d_millicredits = fields.Integer(
        required=True, metadata={"description": "The part of the available that ends within 30 days."}
    )
    clawback_due_millicredits = fields.Integer(
        required=True, metadata={"description": "Settled from what is earned next."}
    )
    lifetime_reduction_mg = fields.Integer(required=True)
    as_of = fields.AwareDateTime(required=True)


class AccountSchema(Schema):
    """An account with its balances, and what may be said of a review that is open."""

    account_id = AccountId(required=True)
    programme = fields.String(required=True)
    holder_kind = fields.String(required=True, validate=validate.OneOf(["person", "enterprise"]))
    status = fields.String(required=True, validate=validate.OneOf(["open", "frozen", "closed", "merged"]))
    balances = fields.Nested(BalancesSchema, required=True)
    under_review = fields.Nested(SentenceSchema, required=True, allow_none=True)
    caveat = Caveat()


class AccountQuerySchema(PurposeQuerySchema):
    """As of when, and why."""

    as_of = Timestamp(
        load_default=None, validate=INSTANT, metadata={"description": "Any past instant; default now."}
    )


class OpenAccountSchema(Schema):
    """What the programme must know of a customer; the customer number is the token's."""

    born_on = fields.Date(load_default=None, validate=DAY)
    guardian_consent = fields.Boolean(load_default=False)


class OpenEnterpriseSchema(Schema):
    """An enterprise by its published identifiers."""

    name = fields.String(required=True, validate=validate.Length(min=1, max=200))
    uscc = fields.String(required=True, validate=REFERENCE)
    lei = fields.String(validate=REFERENCE)
    isin = fields.String(validate=REFERENCE)


class FreezeSchema(Schema):
    """Why an account is frozen."""

    reason_code = fields.Enum(FreezeReason, by_value=True, required=True)
    reason = fields.String(required=True, validate=REASON_LENGTH)
    deceased_on = fields.Date(load_default=None, validate=DAY)


class UnfreezeSchema(Schema):
    """Why a freeze is lifted."""

    reason_code = fields.Enum(UnfreezeReason, by_value=True, required=True)
    reason = fields.String(required=True, validate=REASON_LENGTH)


class CloseSchema(Schema):
    """Why an account is closed."""

    reason_code = fields.Enum(CloseReason, by_value=True, required=True)
    reason = fields.String(required=True, validate=REASON_LENGTH)


class ClosureSchema(Schema):
    """What closing the account now would do."""

    account_id = AccountId(required=True)
    balances = fields.Nested(BalancesSchema, required=True)
    forfeited_millicredits = fields.Integer(required=True)
    sentence = fields.Nested(SentenceSchema, required=True)
    refusal = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Code of what stands in the way; null where nothing does."},
    )
    caveat = Caveat()


class EndingSchema(Schema):
    """Credits that end together."""

    expires_on = fields.Date(
        required=True, metadata={"description": "The last date on which they can be used."}
    )
    amount_millicredits = fields.Integer(required=True)


class DormancySchema(Schema):
    """What becomes of the credits of an account that is not used."""

    account_id = AccountId(required=True)
    balances = fields.Nested(BalancesSchema, required=True)
    forfeited_millicredits = fields.Integer(
        required=True, metadata={"description": "Always 0: not using an account costs nothing."}
    )
    endings = fields.List(
        fields.Nested(EndingSchema),
        required=True,
        metadata={"description": "What is available or pending, by its last date, the next one first."},
    )
    sentence = fields.Nested(SentenceSchema, required=True)
    caveat = Caveat()


class IdentifierSchema(Schema):
    """An identifier, masked."""

    identifier_no = fields.Integer(required=True)
    scheme = fields.String(required=True)
    masked_value = fields.String(required=True)
    valid_from = fields.AwareDateTime(required=True)
    valid_to = fields.AwareDateTime(required=True, allow_none=True)


class IdentifiersSchema(Schema):
    """All identifiers of a holder."""

    items = fields.List(fields.Nested(IdentifierSchema), required=True)


class AddIdentifierSchema(Schema):
    """Another identifier of the same holder, and the one that it replaces."""

    scheme = fields.Enum(
        Scheme, by_value=True, required=True, validate=validate.NoneOf([Scheme.BANK_ACCOUNT])
    )
    value = fields.String(required=True, validate=REFERENCE)
    ends = fields.Integer(
        load_default=None,
        validate=validate.Range(min=1, max=2**31 - 1),
        metadata={"description": "Number of the identifier that ends where this one begins."},
    )


class IdentifierAnswerSchema(Schema):
    """All identifiers after the call, and the account."""

    identifiers = fields.List(fields.Nested(IdentifierSchema), required=True)
    account = fields.Nested(AccountSchema, required=True)


class LinkedAccountSchema(Schema):
    """A bank account, masked."""

    relation = fields.String(required=True)
    masked_value = fields.String(required=True)
    linked_at = fields.AwareDateTime(required=True)
    unlinked_at = fields.AwareDateTime(required=True, allow_none=True)


class LinkedAccountsSchema(Schema):
    """All bank accounts of a holder."""

    items = fields.List(fields.Nested(LinkedAccountSchema), required=True)


class LinkAccountSchema(Schema):
    """A bank account that the holder owns or may use."""

    bank_account = fields.String(required=True, validate=REFERENCE)
    relation = fields.Enum(Relation, by_value=True, required=True)


class UnlinkAccountSchema(Schema):
    """A bank account that is the holder's no longer."""

    bank_account = fields.String(required=True, validate=REFERENCE)


class LinkAnswerSchema(Schema):
    """All bank accounts after the call, and the account."""

    linked_accounts = fields.List(fields.Nested(LinkedAccountSchema), required=True)
    account = fields.Nested(AccountSchema, required=True)


class ConsentTextSchema(Schema):
    """The text that a holder is asked to agree to."""

    version = fields.String(required=True)
    covers_from = fields.AwareDateTime(required=True, allow_none=True)
    text_en = fields.String(required=True)
    text_zh = fields.String(required=True)


class ConsentSchema(Schema):
    """A source of data, the text that is offered, and what the holder last said."""

    source = fields.String(required=True, attribute="source.code")
    name_en = fields.String(required=True, attribute="source.name_en")
    name_zh = fields.String(required=True, attribute="source.name_zh")
    sensitive = fields.Boolean(required=True, attribute="source.sensitive")
    offered = fields.Nested(ConsentTextSchema, required=True, attribute="source.offered")
    state = fields.String(required=True, validate=validate.OneOf(["given", "withdrawn", "not_given"]))
    text_version = fields.String(
        required=True, allow_none=True, attribute="last.text_version", dump_default=None
    )
    covers_from = fields.AwareDateTime(
        required=True, allow_none=True, attribute="last.covers_from", dump_default=None
    )
    channel = fields.String(required=True, allow_none=True, attribute="last.channel", dump_default=None)
    recorded_at = fields.AwareDateTime(
        required=True, allow_none=True, attribute="last.recorded_at", dump_default=None
    )


class ConsentsSchema(Schema):
    """Every source of the programme."""

    items = fields.List(fields.Nested(ConsentSchema), required=True)


class GiveConsentSchema(Schema):
    """Consent for one source to one version of its text.

    `covers_from` and `reason` belong together: core banking and operations declare with them a consent that was
    given earlier.
    """

    source = fields.String(required=True, validate=CODE_LENGTH)
    text_version = fields.String(required=True, validate=CODE_LENGTH)
    channel = fields.String(required=True, validate=CODE_LENGTH)
    covers_from = Timestamp(load_default=None, validate=INSTANT)
    reason = fields.String(load_default=None, validate=REASON_LENGTH)


class WithdrawConsentSchema(Schema):
    """Where the consent was withdrawn."""

    channel = fields.String(required=True, validate=CODE_LENGTH)


class ConsentAnswerSchema(Schema):
    """The source after the call, and the account."""

    consent = fields.Nested(ConsentSchema, required=True)
    account = fields.Nested(AccountSchema, required=True)


class MergeSchema(Schema):
    """Which account this one goes into, and why."""

    into_account_id = fields.String(required=True, validate=CODE_LENGTH)
    reason = fields.String(required=True, validate=REASON_LENGTH)


class UnmergeSchema(Schema):
    """Why a merge is undone."""

    reason = fields.String(required=True, validate=REASON_LENGTH)


class MergedSchema(Schema):
    """Both accounts after the call; the value is in transit until the receiving account has it."""

    merge_no = fields.Integer(required=True)
    transfer_id = fields.UUID(required=True)
    source = fields.Nested(AccountSchema, required=True)
    target = fields.Nested(AccountSchema, required=True)


class MovementSchema(Schema):
    """What moved, of which unit, from where to where.

    The amount stands under the name of its unit: `amount_millicredits`, `reduction_mg` or `amount_fen`.
    """

    flow = fields.String(required=True, validate=validate.OneOf(FLOWS))
    unit = fields.String(required=True, validate=validate.OneOf(UNITS))
    moved_from = fields.String(required=True)
    moved_to = fields.String(required=True)
    amount_millicredits = fields.Integer()
    reduction_mg = fields.Integer()
    amount_fen = fields.Integer()


class TransactionSchema(MovementSchema):
    """One entry of the account's journal."""

    transaction_id = fields.String(required=True)
    occurred_at = fields.AwareDateTime(required=True)
    booked_at = fields.AwareDateTime(required=True)
    business_date = fields.Date(required=True)
    expires_on = fields.Date(
        required=True,
        allow_none=True,
        metadata={"description": "The last date on which these credits can be used."},
    )
    event_id = fields.String(
        required=True, allow_none=True, metadata={"description": "The event that caused it; ask it why."}
    )


class TransactionsQuerySchema(PageQuery, PurposeQuerySchema):
    """Which entries of which account."""

    account_id = fields.String(load_default=None, metadata={"description": "Default: the caller's own."})
    flow = DelimitedList(fields.String(validate=validate.OneOf(FLOWS)))
    unit = DelimitedList(fields.String(validate=validate.OneOf(UNITS)))
    booked_from = Timestamp(load_default=None, validate=INSTANT, data_key="from")
    booked_to = Timestamp(
        load_default=None, validate=INSTANT, data_key="to", metadata={"description": "Not included."}
    )


class TransactionsSchema(Schema):
    """A page of entries, latest first."""

    items = fields.List(fields.Nested(TransactionSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)
    caveat = Caveat()


class StatementQuerySchema(PurposeQuerySchema):
    """Whose statement."""

    account_id = fields.String(load_default=None, metadata={"description": "Default: the caller's own."})


class MovementTotalSchema(MovementSchema):
    """All entries of one movement."""

    entry_count = fields.Integer(required=True)


class StatementSchema(Schema):
    """What there was, what moved, what there is; the reduction of the period apart."""

    account_id = AccountId(required=True)
    period = fields.String(required=True)
    start = fields.Date(required=True)
    end = fields.Date(required=True, metadata={"description": "Included; today while the period runs."})
    opening = fields.Nested(BalancesSchema, required=True)
    movements = fields.List(fields.Nested(MovementTotalSchema), required=True)
    closing = fields.Nested(BalancesSchema, required=True)
    period_reduction_mg = fields.Integer(required=True)
    caveat = Caveat()
