"""Programmes in which random pasts really happen, one step after another, and what a back-test makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.accounts import consents, status
from carbonpoints.accounts.bulk import DeclaredConsent, consent_in_bulk, open_accounts_in_bulk
from carbonpoints.accounts.errors import (
    AccountClosed,
    AccountFrozen,
    AccountMerged,
    AccountNotFrozen,
    ConsentNotGiven,
)
from carbonpoints.accounts.merging import merge_accounts
from carbonpoints.accounts.opening import NewHolder
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.schemes import Scheme
from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.services import import_shipped
from carbonpoints.behaviours import retention
from carbonpoints.behaviours.replay.accounts import Replayed, replay
from carbonpoints.behaviours.replay.history import Extent, Period, read_events, read_facts
from carbonpoints.behaviours.replay.prepared import prepare_draft
from carbonpoints.behaviours.staged import StagedEvent
from carbonpoints.core.auth import Caller
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import settings as app_settings
from carbonpoints.core.db import transaction
from carbonpoints.core.errors import NotFound
from carbonpoints.core.roles import ROLE_SCOPES, Role
from carbonpoints.rules.services import seed_programme
from tests.behaviours.undoing import deliver_all
from tests.behaviours.world import SOURCES, World, shipped
from tests.properties.histories import (
    CODES,
    CONSENTS,
    CUSTOMERS,
    PAYMENTS,
    TRIPS,
    Act,
    Again,
    Change,
    Delivery,
    Erasure,
    History,
    Joining,
    Standing,
    Step,
    Word,
)
from tests.replay.scenes import put_version_in_force

OPENED = datetime(2025, 12, 31, 4, tzinfo=UTC)
FIRST_STEP = datetime(2026, 2, 3, 4, tzinfo=UTC)
STEP = timedelta(days=4, hours=7)
LATE_EVENT_DAYS = 65
"""Some of the acts are too late."""
FACTORS = {code for rule in shipped().rules if rule.code in CODES for code in rule.factors}


@dataclass(frozen=True)
class Sent:
    """What was reported last under one identity: an act, or the reversal of another identity."""

    number: int
    act: Act
    revision: int = 0
    reverses: str | None = None

    @property
    def event_id(self) -> str:
        return f"E{self.number}"


@dataclass
class Past:
    """A programme of its own for one history, with three customers."""

    session: Session
    world: World
    bank_id: int
    sent: list[Sent] = field(default_factory=list)

    def happen(self, steps: Sequence[Step]) -> None:
        for number, step in enumerate(steps):
            with clock_at(FIRST_STEP + number * STEP):
                self._take(step)

    def _take(self, step: Step) -> None:
        match step:
            case Delivery():
                self._deliver(step.reports)
            case Word():
                self._say(step)
            case Standing():
                self._set(step)
            case Joining():
                self._join()
            case Erasure():
                retention.erase_payloads(account_id=self.world.accounts[step.customer], reason="a request")
            case Change():
                put_version_in_force(self.world.programme_id, step.version)

    def _deliver(self, reports: Sequence[Act | Again]) -> None:
        """Deliver reports; each source delivers its own."""
        events = [self._event(report) for report in reports if isinstance(report, Act) or self.sent]
        for behaviours in (PAYMENTS, TRIPS):
            source = SOURCES[behaviours[0]]
            of_source = [event for uri, event in events if uri == source]
            if of_source:
                self.world.take(*of_source, source=source)

    def _event(self, report: Act | Again) -> tuple[str, StagedEvent]:
        if isinstance(report, Act):
            return self._send(Sent(len(self.sent), report), is_new=True)
        known = self.sent[report.place % len(self.sent)]
        act = known.act
        if report.how == "reversed" or (known.reverses and report.how != "same"):
            return self._send(Sent(len(self.sent), act, reverses=known.event_id), is_new=True)
        if report.how == "otherwise":
            return self._send(replace(known, act=replace(act, size=act.size + 1)))
        if report.how == "outdated":
            return self._send(replace(known, revision=max(0, known.revision - 1)))
        if report.how == "corrected":
            known = replace(known, act=replace(act, size=report.size), revision=known.revision + 1)
        if report.how == "moved":
            behaviour = {"bus_trip": "metro_trip", "metro_trip": "bus_trip"}.get(act.behaviour, act.behaviour)
            act = replace(act, behaviour=behaviour, day=report.day)
            known = replace(known, act=act, revision=known.revision + 1)
        self.sent[known.number] = known
        return self._send(known)

    def _send(self, sent: Sent, *, is_new: bool = False) -> tuple[str, StagedEvent]:
        if is_new:
            self.sent.append(sent)
        act, source = sent.act, SOURCES[sent.act.behaviour]
        if sent.reverses is not None:
            return source, self.world.reversal(
                sent.reverses, behaviour=act.behaviour, event_id=sent.event_id, at=act.at
            )
        return source, self.world.event(
            act.behaviour,
            act.data(sent.number),
            customer=act.customer,
            event_id=sent.event_id,
            at=act.at,
            revision=sent.revision,
        )

    def _say(self, word: Word) -> None:
        account_id = self.world.accounts[word.customer]
        caller = self._caller(Role.CUSTOMER, word.customer)
        options: dict[str, Any] = {
            "caller": caller,
            "account_id": account_id,
            "source": word.consent,
            "channel": "app",
        }
        try:
            if word.is_given:
                version = programme_settings(self.session, self.world.programme_id).consent_sources[
                    word.consent
                ]
                consents.give_consent(**options, text_version=version.offered.version)
            else:
                consents.withdraw_consent(**options)
        except (AccountClosed, ConsentNotGiven, NotFound):
            self.session.rollback()

    def _set(self, standing: Standing) -> None:
        about: dict[str, Any] = {**self._by_operations(standing.customer), "reason": "test"}
        try:
            if standing.status == "frozen":
                status.freeze_account(**about, reason_code=status.FreezeReason.FRAUD_SUSPECTED)
            elif standing.status == "open":
                status.unfreeze_account(**about, reason_code=status.UnfreezeReason.RESOLVED)
            else:
                status.close_account(
                    **about,
                    reason_code=status.CloseReason.RELATIONSHIP_ENDED,
                    key=f"close {standing.customer}",
                    answer=lambda _: {},
                )
        except (AccountFrozen, AccountNotFrozen, AccountClosed, AccountMerged):
            self.session.rollback()

    def _join(self) -> None:
        source, target = CUSTOMERS[-1], CUSTOMERS[1]
        try:
            merge_accounts(
                **self._by_operations(source),
                into_account_id=self.world.accounts[target],
                reason="one person",
                key="merge",
                answer=lambda _: {},
            )
        except (AccountFrozen, AccountClosed, AccountMerged):
            self.session.rollback()
        deliver_all()

    def _by_operations(self, customer: str) -> dict[str, Any]:
        return {"caller": self._caller(Role.OPERATIONS, "ops"), "account_id": self.world.accounts[customer]}

    def _caller(self, role: Role, subject: str) -> Caller:
        issuer = f"https://bank.example/{self.world.programme_id}"
        return Caller(self.bank_id, issuer, subject, role, ROLE_SCOPES[role], subject, None, ())

    def backtest(self, draft: Sequence[ProposedVersion], period: Period) -> list[Replayed]:
        """Replay by these versions as they are, event by event."""
        session, programme_id = self.session, self.world.programme_id
        prepared = prepare_draft(session, programme_id, draft, period)
        ids = sorted(self.world.accounts.values())
        extent = Extent(ids[0], ids[-1])
        calendar = programme_settings(session, programme_id).calendar
        return list(
            replay(
                read_events(session, extent, period, prepared.reach, prepared.judges),
                prepared.judges,
                period.first_day,
                period.last_day,
                secret=app_settings().identity_key,
                facts=read_facts(session, extent, calendar),
            )
        )


def make_past(session: Session, number: int, history: History) -> Past:
    """Let a history happen in a new programme."""
    catalogue = shipped()
    with clock_at(OPENED):
        programme_id = seed_programme(
            bank_code=f"bank{number}",
            issuer=f"https://bank.example/{number}",
            bank_name_en="Bank",
            bank_name_zh="银行",
            catalogue=replace(
                catalogue,
                behaviours=tuple(behaviour for behaviour in catalogue.behaviours if behaviour.code in CODES),
                factors=tuple(factor for factor in catalogue.factors if factor.code in FACTORS),
                rules=(),
                programme=replace(catalogue.programme, late_event_days=LATE_EVENT_DAYS),
            ),
            maker_person="maker",
            checker_person="checker",
        ).programme_id
        with transaction() as writing:
            import_shipped(
                writing,
                programme_id=programme_id,
                proposed=history.held,
                maker_person="maker",
                checker_person="checker",
            )
        with transaction() as writing:
            programme = programme_settings(writing, programme_id)
            ids = open_accounts_in_bulk(
                writing, programme, [NewHolder({Scheme.CUSTOMER_REF: name}) for name in CUSTOMERS]
            )
            given = datetime(2025, 1, 1, tzinfo=UTC)
            words = [
                DeclaredConsent(account_id, source, given, "branch")
                for account_id in ids
                for source in CONSENTS
            ]
            consent_in_bulk(writing, programme, words)
    bank_id = session.execute(
        text("SELECT bank_id FROM programme WHERE programme_id = :id"), {"id": programme_id}
    ).scalar_one()
    past = Past(session, World(programme_id, dict(zip(CUSTOMERS, ids, strict=True))), bank_id)
    past.happen(history.steps)
    return past
