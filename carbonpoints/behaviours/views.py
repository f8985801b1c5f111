"""What callers see of events: read services and their shape."""

from __future__ import annotations

import json
from json.encoder import encode_basestring as _text
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from carbonpoints.accounts.access import own_account_id, reading_account
from carbonpoints.approvals.versions import read_versions
from carbonpoints.behaviours.appeals import appeal_id_of
from carbonpoints.behaviours.delivering import EVENT_PREFIX, Delivered, DeliveredItem
from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.errors import EventNotFound
from carbonpoints.behaviours.explaining import BoostUsed, Explanation, explain
from carbonpoints.behaviours.identities import find_decided
from carbonpoints.behaviours.intake import event_hash
from carbonpoints.behaviours.models import EventSource
from carbonpoints.behaviours.payloads import read_payload
from carbonpoints.behaviours.sentences import (
    UNDECIDED,
    Ended,
    names_of,
    taken_back_sentence,
    under_review_sentence,
)
from carbonpoints.behaviours.staged import REVERSAL
from carbonpoints.behaviours.taking_back import CORRECTED
from carbonpoints.behaviours.undone import Standing, TakenBack, read_standing
from carbonpoints.core.amounts import plain
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import reading, settings
from carbonpoints.core.ids import NumberedId, account_public_id, parse_numbered_id
from carbonpoints.core.problems import field_body
from carbonpoints.core.programmes import programme_of
from carbonpoints.core.roles import HOLDERS, Role
from carbonpoints.core.sentences import CAVEAT, Sentence
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.decisions import find_restatements
from carbonpoints.ledger.queries import Balances, StoredDecision, award_expiry, read_decision
from carbonpoints.rules.catalogue import PinnedRule, read_pin
from carbonpoints.rules.reading import as_content

_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_ITEM = (
    '{"source":%s,"id":%s,"disposition":%s,"event_id":%s,"account_id":%s,"reduction_mg":%d,'
    '"amount_millicredits":%d,"reason":%s,"errors":%s}'
)
_HELD = "{" + ",".join(f'"{name}":{"%s" if name == "as_of" else "%d"}' for name in Balances._fields) + "}"


def delivered_json(delivered: Delivered, *, shows_balances: bool) -> str:
    """Return the answer to a delivery as `DeliveredSchema` dumps it; balances only where the caller may read accounts.

    Written out, because a batch has a thousand items and almost as many balances: the schema and the encoder cost ten
    times as much.
    """
    items = ",".join([_ITEM % _item_values(item) for item in delivered.items])
    balances = ",".join(
        [
            f"{_text(account)}:{_HELD % (*held[:-1], _text(held.as_of.isoformat()))}"
            for account, held in (delivered.balances if shows_balances else {}).items()
        ]
    )
    return f'{{"items":[{items}],"balances":{{{balances}}},"caveat":{_compact(CAVEAT._asdict())}}}\n'


def _item_values(item: DeliveredItem) -> tuple[object, ...]:
    source, id_, disposition, event_id, account_id, reduction_mg, amount_millicredits, reason, errors = item
    return (
        _text(source),
        _text(id_),
        _text(disposition),
        "null" if event_id is None else _text(event_id),
        "null" if account_id is None else _text(account_id),
        reduction_mg,
        amount_millicredits,
        "null" if reason is None else _text(reason),
        _compact([field_body(error) for error in errors]) if errors else "[]",
    )


def read_event(*, caller: Caller, event_id: str, purpose: str | None, awards_only: bool) -> dict[str, Any]:
    """Return one decided event with its explanation.

    EventNotFound where there is none, where it is not this caller's, or where it is no award and only awards
    are asked for.
    """
    number = parse_numbered_id(event_id, EVENT_PREFIX)
    with reading_account(
        caller=caller, account_id=number.account_id, action="event.read", purpose=purpose
    ) as (session, _head):
        decision = read_decision(session, number.account_id, number.account_seq)
        if decision is None or decision.event_hash is None:
            raise EventNotFound
        if awards_only and not (decision.amount_millicredits or decision.reduction_mg):
            raise EventNotFound
        source = session.get(EventSource, decision.source_id)
        if caller.role is Role.FEED_PARTNER and (source is None or source.uri not in caller.sources):
            raise EventNotFound
        explanation = _explained(session, decision)
        standing = read_standing(session, decision)
        appeal = session.execute(
            _APPEAL, {"account_id": number.account_id, "event_hash": decision.event_hash}
        )
        appealed = appeal.one_or_none()
        restatements = _restatements_of(session, decision)
    return {
        **event_view(decision, explanation, standing),
        "appeal": _appeal_view(number.account_id, appealed),
        "restatements": restatements,
    }


def _restatements_of(session: Session, decision: StoredDecision) -> list[dict[str, Any]]:
    """Return what an event was restated to, and why, in order."""
    key = (decision.account_id, decision.account_seq)
    found = find_restatements(session, [key]).get(key, [])
    versions = read_versions(session, [each.version_id for each in found])
    return [
        {
            "code": versions[each.version_id].code,
            "booked_at": each.booked_at,
            "reduction_mg": each.reduction_mg,
            "amount_millicredits": each.amount_millicredits,
            "paid_millicredits": each.paid_millicredits,
            **{
                name: versions[each.version_id].content[name] for name in ("explanation_en", "explanation_zh")
            },
        }
        for each in found
    ]


_APPEAL = text("""
SELECT appeal_no, outcome, amount_millicredits, reduction_mg, resolved_at FROM appeal
WHERE account_id = :account_id AND event_hash = :event_hash
""")


def _appeal_view(account_id: int, row: Row[Any] | None) -> dict[str, Any] | None:
    """Return the appeal about an event as its customer may see it: a proposal is no answer yet."""
    if row is None:
        return None
    is_resolved = row.resolved_at is not None
    return {
        "appeal_id": appeal_id_of(account_id, row.appeal_no),
        "outcome": row.outcome if is_resolved else None,
        "resolved_at": row.resolved_at,
        "amount_millicredits": row.amount_millicredits if is_resolved else 0,
        "reduction_mg": row.reduction_mg if is_resolved else 0,
    }


def _explained(session: Session, decision: StoredDecision) -> Explanation:
    pinned = read_pin(session, decision.pin_id) if decision.pin_id is not None else None
    inputs = read_payload(session, decision.account_id, decision.account_seq)
    is_act = inputs is None or inputs["type"] != REVERSAL
    compiled = pinned.compiled if pinned is not None and is_act else None
    values = compiled.values(inputs["data"]) if compiled is not None and inputs is not None else None
    return explain(
        decision,
        pinned=pinned,
        compiled=compiled,
        values=values,
        inputs=inputs,
        expires_on=award_expiry(session, decision.account_id, decision.account_seq),
    )


def event_view(decision: StoredDecision, explanation: Explanation, standing: Standing) -> dict[str, Any]:
    """Return a decided event in the shape of `EventSchema`, as the event stands today."""
    is_act = decision.kind == DecisionKind.EVENT
    taken = standing.taken
    return {
        **ending_view(decision, explanation),
        "event_id": _event_id(decision),
        "account_id": account_public_id(decision.account_id),
        "disposition": standing.disposition.code,
        "reduction_mg": decision.reduction_mg if is_act else 0,
        "amount_millicredits": decision.amount_millicredits if is_act else 0,
        "taken_back": _taken_view(taken) if taken is not None else None,
        "occurred_at": decision.occurred_at,
        "received_at": decision.received_at,
        "booked_at": decision.booked_at,
        "business_date": decision.business_date,
        "inputs_state": "erased" if explanation.inputs is None else "kept",
        "sentence": _sentence_of(decision, explanation, standing)._asdict(),
    }


def ending_view(ended: Ended, explanation: Explanation) -> dict[str, Any]:
    """Return how an event ended and why: what a decided one and one that was tried out have in common."""
    pinned = explanation.pinned
    return {
        "behaviour": pinned.behaviour.code if pinned is not None else None,
        "disposition": explanation.disposition.code,
        "reason": explanation.reason,
        "reduction_mg": ended.reduction_mg,
        "amount_millicredits": ended.amount_millicredits,
        "local_date": ended.local_date,
        "expires_on": explanation.expires_on,
        "inputs": explanation.inputs,
        "rule": _rule_view(pinned),
        "conditions": explanation.conditions,
        "counters": explanation.counters,
        "factors": [_factor_view(factor) for factor in explanation.factors],
        "formulas": explanation.formulas,
        "estimate_mg": explanation.estimate_mg,
        "cut_by": _cut_view(explanation),
        "boosts": [_boost_view(boost) for boost in explanation.boosts],
        "budget": explanation.budget,
        "sentence": explanation.sentence._asdict(),
    }


def _boost_view(boost: BoostUsed) -> dict[str, Any]:
    campaign = boost.definition
    return {
        "campaign": campaign.code,
        "name_en": campaign.name_en,
        "name_zh": campaign.name_zh,
        "text_en": campaign.text_en,
        "text_zh": campaign.text_zh,
        "amount_millicredits": boost.amount_millicredits,
    }


def _sentence_of(decision: StoredDecision, explanation: Explanation, standing: Standing) -> Sentence:
    names = names_of(explanation.pinned)
    if standing.taken is not None:
        return taken_back_sentence(standing.taken, names)
    if standing.disposition is Disposition.UNDER_REVIEW:
        return under_review_sentence(decision, names)
    return explanation.sentence


def _taken_view(taken: TakenBack) -> dict[str, Any]:
    taking = taken.taking
    trace = taking.trace if taking is not None else {}
    return {
        "event_id": _event_id(taken.original) if taken.original is not None else None,
        "by_event_id": _event_id(taken.by) if taken.by.event_hash is not None else None,
        "reason": trace.get("reason", CORRECTED),
        "booked_at": taken.by.booked_at,
        "amount_millicredits": taking.amount_millicredits if taking is not None else 0,
        "clawback_due_millicredits": trace.get("charged", 0),
        "waived_millicredits": trace.get("waived", 0),
        "reduction_mg": taking.reduction_mg if taking is not None else 0,
    }


def _event_id(decision: StoredDecision) -> str:
    return str(NumberedId(EVENT_PREFIX, decision.account_id, decision.account_seq))


def _rule_view(pinned: PinnedRule | None) -> dict[str, Any] | None:
    rule = pinned.rule if pinned is not None else None
    if pinned is None or rule is None:
        return None
    return {
        "code": rule.code,
        "version_id": pinned.rule_version_id or None,
        "title_en": rule.title_en,
        "title_zh": rule.title_zh,
        "basis_en": rule.basis_en,
        "basis_zh": rule.basis_zh,
        "label": rule.label,
        "purpose": rule.purpose,
        "uncertainty": as_content(rule.uncertainty),
        "millicredits_per_mg": plain(rule.credits.millicredits_per_mg),
        "grant_millicredits": rule.credits.grant_millicredits,
    }


def _factor_view(factor: Any) -> dict[str, Any]:
    definition = factor.definition
    return {
        "code": factor.code,
        "version_id": factor.version_id or None,
        "value": plain(definition.value),
        "unit": definition.unit,
        "region": definition.region,
        "data_year": definition.data_year,
        "grade": definition.grade,
        "use": definition.use,
        "source_title": definition.source_title,
        "source_address": definition.source_address,
    }


def _cut_view(explanation: Explanation) -> dict[str, Any] | None:
    compiled = explanation.pinned.compiled if explanation.pinned is not None else None
    if explanation.cap is None or compiled is None:
        return None
    window = next((cap.window for cap in compiled.caps if cap.code == explanation.cap), "event")
    return {"code": explanation.cap, "window": window, "left": explanation.cap_left or 0}


_UNDECIDED = text(
    "SELECT account_id, disposition, received_at FROM identity_undecided WHERE event_hash = :event_hash"
)


def find_standing(*, caller: Caller, source_uri: str, event_id: str) -> dict[str, Any]:
    """Return where an event stands, for those who may speak for its source and for the customer whose it is.

    EventNotFound for another's, and for an event that never arrived or is no longer remembered.
    """
    if caller.role not in HOLDERS and source_uri not in caller.sources:
        raise EventNotFound
    with reading() as session:
        programme_id = programme_of(session, caller)
        owner_id = own_account_id(session, caller) if caller.role in HOLDERS else None
        query = select(EventSource.source_id).where(
            EventSource.programme_id == programme_id, EventSource.uri == source_uri
        )
        if session.scalar(query) is None:
            raise EventNotFound
        key = event_hash(settings().identity_key, caller.bank_id, source_uri, event_id)
        found = _standing(session, key, owner_id)
    return {"source": source_uri, "id": event_id, **found}


def _standing(session: Session, key: bytes, owner_id: int | None) -> dict[str, Any]:
    """Return where an event stands; with `owner_id` only if it is that account's."""
    known = find_decided(session, [key]).get(key)
    if known is not None:
        decision = read_decision(session, known.account_id, known.account_seq)
        if decision is None or owner_id not in {None, known.account_id}:
            raise EventNotFound
        pinned = read_pin(session, decision.pin_id) if decision.pin_id is not None else None
        explanation = explain(
            decision, pinned=pinned, compiled=None, values=None, inputs=None, expires_on=None
        )
        standing = read_standing(session, decision)
        return {
            "disposition": standing.disposition.code,
            "event_id": _event_id(decision),
            "received_at": decision.received_at,
            "sentence": _sentence_of(decision, explanation, standing)._asdict(),
        }
    row = session.execute(_UNDECIDED, {"event_hash": key}).one_or_none()
    if row is None or owner_id not in {None, row.account_id}:
        raise EventNotFound
    disposition = Disposition(row.disposition)
    return {
        "disposition": disposition.code,
        "event_id": None,
        "received_at": row.received_at,
        "sentence": UNDECIDED[disposition]._asdict(),
    }
