"""One request for every operation that needs a token, which its rightful caller may make.

A route that is not here fails the test that compares this table with the app's routes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from carbonpoints.behaviours.profiles import ProfileDefinition
from carbonpoints.core.roles import Role
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.shipped import load_shipped
from carbonpoints.rules.workbook_routes import XLSX
from carbonpoints.rules.workbook_tables import factor_sheet
from carbonpoints.rules.workbooks import write_workbook
from tests.exchange.world import SHENZHEN, marks_file

OWNER, STRANGER, FOREIGNER = "OWNER", "STRANGER", "FOREIGNER"
"""Two customers of one bank and a customer of another."""
SOURCE = "urn:zhangye:core-banking"

EVENT = {
    "specversion": "1.0",
    "id": "walks-of-all-routes",
    "source": SOURCE,
    "type": "carbonpoints.behaviour.non_cash_payment",
    "subject": f"CUSTOMER_REF:{OWNER}",
    "time": "2026-06-15T11:00:00+08:00",
    "data": {
        "transaction_reference": "T-1",
        "payment_channel": "qr",
        "amount_minor": 1850,
        "currency": "CNY",
        "payee_hash": "payee",
    },
}
TRIED = {"kind": "factor", "content": as_content(load_shipped().factors[0])}
REASON = {"reason_code": "customer_request", "reason": "asked for"}


@dataclass(frozen=True)
class Call:
    """How `role` calls one operation. `names` is False where a request names nothing that belongs to anybody."""

    role: Role
    json: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = None
    uploads: bool = False
    content: bytes | None = None
    names: bool = True
    before: tuple[str, ...] = ()
    person: str | None = None
    """Who of the staff calls, where what one proposes another confirms; by default one person a role."""

    def body(self) -> dict[str, Any]:
        """Arguments of the test client."""
        if self.uploads:
            return {"data": {"file": (BytesIO(self.content or b"any file"), "day.csv")}}
        if self.content is not None:
            return {"data": self.content}
        return {"json": self.json} if self.json is not None else {}


_SEEN = {"If-Match": "{etag}"}
_WHY = {"reason": "asked for"}


def _change(name_en: str) -> dict[str, Any]:
    """A change of the programme's name: it needs nobody's back-test and is worse for nobody."""
    settings = {**as_content(load_shipped().programme), "name_en": name_en}
    return {
        "title": name_en,
        "reason": "asked for",
        "items": [{"kind": "programme", "code": settings["code"], "content": settings}],
    }


def feed_change(profile: ProfileDefinition) -> dict[str, Any]:
    """A change of a feed profile's name."""
    content = {**as_content(profile), "name_en": "Renamed"}
    items = [{"kind": "feed_profile", "code": profile.code, "content": content}]
    return {"title": "Renamed", "reason": "asked for", "items": items}


_CASE = {"purpose": "case:1"}
_KEY = {"Idempotency-Key": "walks-of-all-routes"}
_ACCOUNT = {"account_id": "{account_id}"}

CALLS: dict[str, Call] = {
    "accounts.open_account": Call(Role.CUSTOMER, {}, names=False),
    "accounts.open_enterprise": Call(
        Role.OPERATIONS, {"name": "Tencent", "uscc": "9144030071526726XG"}, names=False
    ),
    "accounts.get_own_account": Call(Role.CUSTOMER, names=False),
    "accounts.get_account": Call(Role.CUSTOMER),
    "accounts.freeze_account": Call(
        Role.OPERATIONS, {"reason_code": "fraud_suspected", "reason": "asked for"}
    ),
    "accounts.unfreeze_account": Call(
        Role.OPERATIONS,
        {"reason_code": "resolved", "reason": "asked for"},
        before=("accounts.freeze_account",),
    ),
    "accounts.preview_closure": Call(Role.CUSTOMER),
    "accounts.preview_dormancy": Call(Role.CUSTOMER),
    "accounts.close_account": Call(Role.CUSTOMER, REASON, headers=_KEY),
    "accounts.list_identifiers": Call(Role.CUSTOMER),
    "accounts.add_identifier": Call(Role.CORE_BANKING, {"scheme": "CUSTOMER_REF", "value": "OWNER-2"}),
    "accounts.list_linked_accounts": Call(Role.CUSTOMER),
    "accounts.link_account": Call(Role.CORE_BANKING, {"bank_account": "6222", "relation": "owner"}),
    "accounts.unlink_account": Call(
        Role.CORE_BANKING, {"bank_account": "6222"}, before=("accounts.link_account",)
    ),
    "accounts.list_consents": Call(Role.CUSTOMER),
    "accounts.give_consent": Call(
        Role.CUSTOMER, {"source": "payments", "text_version": "2026-01", "channel": "app"}
    ),
    "accounts.withdraw_consent": Call(Role.CUSTOMER, {"channel": "app"}),
    "accounts.merge_accounts": Call(
        Role.OPERATIONS, {"into_account_id": "{into_account_id}", "reason": "the same person"}, headers=_KEY
    ),
    "accounts.unmerge_accounts": Call(
        Role.OPERATIONS,
        {"reason": "not the same person"},
        headers={"Idempotency-Key": "walks-of-all-routes-back"},
        before=("accounts.merge_accounts",),
    ),
    "accounts.list_transactions": Call(Role.CUSTOMER, query=_ACCOUNT),
    "accounts.get_statement": Call(Role.CUSTOMER, query=_ACCOUNT),
    "catalogue.list_factors": Call(Role.CUSTOMER, names=False),
    "catalogue.get_factor": Call(Role.CUSTOMER),
    "catalogue.list_behaviours": Call(Role.CUSTOMER, names=False),
    "catalogue.get_behaviour": Call(Role.CUSTOMER),
    "catalogue.list_rules": Call(Role.CUSTOMER, names=False),
    "catalogue.get_rule": Call(Role.CUSTOMER),
    "catalogue.list_shared_caps": Call(Role.CUSTOMER, names=False),
    "catalogue.get_shared_cap": Call(Role.CUSTOMER),
    "catalogue.list_campaigns": Call(Role.CUSTOMER, names=False),
    "catalogue.get_campaign": Call(Role.CUSTOMER),
    "budgets.list_budgets": Call(Role.FINANCE, names=False),
    "changes.create_change": Call(Role.RULE_MAKER, _change("Renamed"), names=False),
    "changes.list_changes": Call(Role.RULE_MAKER, names=False),
    "changes.get_change": Call(Role.AUDITOR),
    "changes.edit_change": Call(Role.RULE_MAKER, _change("Renamed again"), headers=_SEEN),
    "changes.submit_change": Call(Role.RULE_MAKER, {}, headers=_SEEN),
    "changes.withdraw_change": Call(Role.RULE_MAKER, _WHY, headers=_SEEN),
    "changes.reject_change": Call(Role.RULE_CHECKER, _WHY, headers=_SEEN, before=("changes.submit_change",)),
    "changes.approve_change": Call(Role.RULE_CHECKER, {}, headers=_SEEN, before=("changes.submit_change",)),
    "changes.roll_back_change": Call(
        Role.RULE_MAKER, _WHY, headers=_SEEN, before=("changes.approve_change",)
    ),
    "changes.export_csv": Call(Role.AUDITOR, query={"purpose": "yearly audit"}, names=False),
    "changes.export_json_lines": Call(Role.AUDITOR, query={"purpose": "yearly audit"}, names=False),
    "events.post_events": Call(
        Role.CORE_BANKING, EVENT, content_type="application/cloudevents+json", names=False
    ),
    "events.find_event": Call(Role.CORE_BANKING, query={"source": SOURCE, "id": "{event_source_id}"}),
    "events.get_event": Call(Role.CUSTOMER),
    "events.get_award": Call(Role.CUSTOMER),
    "events.get_tasks": Call(Role.CUSTOMER, query=_ACCOUNT),
    "appeals.file_appeal": Call(Role.CUSTOMER, {"event_id": "{event_id}", "text": "It was a green act."}),
    "appeals.list_appeals": Call(Role.OPERATIONS, query=_CASE, names=False),
    "appeals.get_appeal": Call(Role.OPERATIONS, query=_CASE, before=("appeals.file_appeal",)),
    "appeals.resolve_appeal": Call(
        Role.OPERATIONS,
        {"outcome": "adjusted", "reason": "asked for", "amount_millicredits": 1},
        before=("appeals.file_appeal",),
    ),
    "appeals.confirm_adjustment": Call(
        Role.OPERATIONS,
        {"proposal_no": 1},
        headers={"Idempotency-Key": "walks-of-all-routes-adjusts"},
        before=("appeals.resolve_appeal",),
        person="somebody else",
    ),
    "restatements.list_restatements": Call(Role.AUDITOR, names=False),
    "restatements.get_restatement": Call(Role.AUDITOR),
    "reviews.open_review": Call(
        Role.RISK, {"event_id": "{event_id}", "reason_code": "other", "text": "asked for"}, headers=_KEY
    ),
    "reviews.list_reviews": Call(Role.RISK, query=_CASE, names=False),
    "reviews.get_review": Call(Role.AUDITOR, query=_CASE, before=("reviews.open_review",)),
    "reviews.propose_end": Call(
        Role.RISK,
        {"outcome": "released", "text": "asked for"},
        before=("reviews.open_review",),
        person="somebody else",
    ),
    "reviews.return_proposal": Call(
        Role.RISK,
        {"proposal_no": 1, "text": "asked for"},
        before=("reviews.propose_end",),
        person="a third",
    ),
    "reviews.confirm_end": Call(
        Role.RISK,
        {"proposal_no": 1},
        headers={"Idempotency-Key": "walks-of-all-routes-ends"},
        before=("reviews.propose_end",),
        person="a third",
    ),
    "feeds.post_file": Call(Role.CORE_BANKING, uploads=True),
    "feeds.get_job": Call(Role.CORE_BANKING),
    "feeds.get_refused": Call(Role.CORE_BANKING),
    "simulation.simulate": Call(
        Role.RULE_MAKER, {"behaviour": "non_cash_payment", "attributes": EVENT["data"]}, names=False
    ),
    "trials.load_trial": Call(Role.RULE_MAKER, uploads=True),
    "workbooks.get_factors": Call(Role.CUSTOMER, names=False),
    "workbooks.get_samples": Call(Role.RULE_MAKER),
    "workbooks.check": Call(
        Role.RULE_MAKER, content=write_workbook({"factors": factor_sheet([])}), content_type=XLSX, names=False
    ),
    "replays.post_backtest": Call(
        Role.RULE_MAKER,
        {"draft": [TRIED], "first_day": "2026-06-01", "last_day": "2026-06-30"},
        names=False,
    ),
    "replays.get_backtest": Call(Role.RULE_MAKER),
    "replays.post_cancel": Call(Role.RULE_MAKER),
    "replays.get_reexecutions": Call(Role.AUDITOR, names=False),
    "exchange.list_agreements": Call(Role.AUDITOR, names=False),
    "exchange.post_import": Call(Role.OPERATIONS, uploads=True, content=marks_file(), names=False),
    "exchange.list_imports": Call(Role.AUDITOR, names=False),
    "exchange.get_conflicts": Call(
        Role.OPERATIONS, query={"purpose": "case:1"}, before=("exchange.post_import",)
    ),
    "exchange.post_export": Call(
        Role.OPERATIONS,
        {"agreement": SHENZHEN.code, "period": "2026-06", "reason": "asked for"},
        names=False,
    ),
    "exchange.list_exports": Call(Role.DATA_PROTECTION, names=False),
    "exchange.approve_export": Call(
        Role.OPERATIONS, before=("exchange.post_export",), person="somebody else"
    ),
    "exchange.take_export": Call(Role.OPERATIONS, before=("exchange.approve_export",)),
    "exchange.get_coverage": Call(Role.AUDITOR, query={"period": "2026-06"}, names=False),
    "test_clock.read_clock": Call(Role.OPERATIONS, names=False),
    "test_clock.set_clock": Call(Role.OPERATIONS, {"fixed_at": "2026-06-15T12:00:00+08:00"}, names=False),
    "test_clock.release_clock": Call(Role.OPERATIONS, names=False),
}

PATHS: dict[str, dict[str, str]] = {
    "catalogue.get_factor": {"code": "BUS_EV_SZ"},
    "catalogue.get_behaviour": {"code": "bus_trip"},
    "catalogue.get_rule": {"code": "bus_trip"},
    "catalogue.get_shared_cap": {"code": "travel_day"},
    "catalogue.get_campaign": {"code": "new_riders"},
    "workbooks.get_samples": {"code": "bus_trip"},
    "restatements.get_restatement": {"code": "bus-2026-06"},
    "feeds.post_file": {"profile": "sample_bank_day"},
    "trials.load_trial": {"change_request_id": "{feed_change_id}"},
    "accounts.withdraw_consent": {"source": "payments"},
    "accounts.get_statement": {"period": "2026-06"},
}
"""Values of a route's places that are not what the world's ids say of every route."""
