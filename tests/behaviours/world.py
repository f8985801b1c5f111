from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours.services import Taken, take_events
from carbonpoints.behaviours.staged import REVERSAL, StagedEvent, microseconds_of, stage_event
from carbonpoints.behaviours.work import Receipt
from carbonpoints.rules.attributes import AttributeChecks
from carbonpoints.rules.shipped import ShippedCatalogue, load_shipped

NOW = datetime(2026, 6, 15, 4, 0, tzinfo=UTC)
"""Noon in Zhangye."""


@cache
def shipped() -> ShippedCatalogue:
    return load_shipped()


@dataclass
class World:
    """A programme with customers, and short ways to send events to it."""

    programme_id: int
    accounts: dict[str, int]
    sent: int = 0
    behaviours: dict[str, AttributeChecks] = field(default_factory=dict)

    def event(
        self,
        behaviour: str,
        data: Mapping[str, object],
        *,
        customer: str = "C1",
        event_id: str | None = None,
        at: datetime = NOW,
        revision: int = 0,
    ) -> StagedEvent:
        self.sent += 1
        checks = self.behaviours.setdefault(
            behaviour, AttributeChecks(next(b for b in shipped().behaviours if b.code == behaviour))
        )
        return stage_event(
            SOURCES[behaviour],
            event_id=event_id or f"E{self.sent}",
            subject=f"CUSTOMER_REF:{customer}",
            occurred_at_us=microseconds_of(at),
            revision=revision,
            behaviour=behaviour,
            data=checks.canonical(data),
        )

    def reversal(
        self,
        original_id: str,
        *,
        behaviour: str = "non_cash_payment",
        reason: str = "refunded",
        event_id: str | None = None,
        customer: str = "C1",
        at: datetime = NOW,
    ) -> StagedEvent:
        """What takes an event of a behaviour's source back."""
        self.sent += 1
        return stage_event(
            SOURCES[behaviour],
            event_id=event_id or f"R{self.sent}",
            subject=f"CUSTOMER_REF:{customer}",
            occurred_at_us=microseconds_of(at),
            behaviour=REVERSAL,
            data={"source": SOURCES[behaviour], "id": original_id, "reason": reason},
        )

    def take_back(self, original_id: str, **options: Any) -> Receipt:
        """Deliver a reversal alone."""
        source = SOURCES[options.get("behaviour", "non_cash_payment")]
        return self.take(self.reversal(original_id, **options), source=source).receipts[0]

    def take(self, *events: StagedEvent, source: str | None = None) -> Taken:
        return take_events(
            programme_id=self.programme_id, source_uri=source or SOURCES[events[0].behaviour], events=events
        )

    def one(self, behaviour: str, data: Mapping[str, object], **options: Any) -> Receipt:
        return self.take(self.event(behaviour, data, **options)).receipts[0]


def payment(reference: str, **values: object) -> dict[str, object]:
    return {
        "transaction_reference": reference,
        "payment_channel": "qr",
        "amount_minor": 1850,
        "currency": "CNY",
        "payee_hash": f"payee of {reference}",
        **values,
    }


def _source_of(behaviour: str) -> str:
    consent = next(b.consent_source for b in shipped().behaviours if b.code == behaviour)
    return next(s.uri for s in shipped().programme.event_sources if consent in s.consent_sources)


SOURCES = {behaviour.code: _source_of(behaviour.code) for behaviour in shipped().behaviours}


def rows(session: Session, table: str) -> int:
    counted = session.scalar(text(f"SELECT count(*) FROM {table}"))
    assert isinstance(counted, int)
    return counted
