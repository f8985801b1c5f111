"""Which programme a caller acts in, and a programme's settings as the code uses them (M1, M10).

The settings are the content of the programme's version of kind `programme`; time zone and currency stand in
the programme's own row and never change. The catalogue has checked the content before it became a version,
so that a gap here is a fault of ours and raises KeyError or ValueError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from carbonpoints.core.auth import Caller
from carbonpoints.core.clock import Calendar
from carbonpoints.core.defaults import APPEAL_RETENTION_DAYS, CORRECTION_DAYS
from carbonpoints.core.errors import InvalidRequest
from carbonpoints.core.models import Programme

Found = TypeVar("Found")


class ProgrammeNeeded(InvalidRequest):
    """The bank has several programmes, or none, and the token names none of them."""

    code = "programme_needed"
    title = "The token must name a programme of the bank."


@dataclass(frozen=True)
class ConsentText:
    """One version of the text that a holder agrees to."""

    version: str
    covers_from: datetime | None
    """Acts from this instant are covered; None means from the instant the consent is given."""
    text_en: str
    text_zh: str


@dataclass(frozen=True)
class ConsentSource:
    """A source of personal data that a holder agrees to on its own (M11)."""

    code: str
    name_en: str
    name_zh: str
    sensitive: bool
    retention_days: int
    """How long the inputs of its events are kept after the consent is withdrawn."""
    texts: tuple[ConsentText, ...]
    """Oldest first."""

    @property
    def offered(self) -> ConsentText:
        """The text that a holder is asked to agree to today."""
        return self.texts[-1]


@dataclass(frozen=True)
class EventSource:
    """A CloudEvents `source` that may send events, and the consents that its events need."""

    uri: str
    consent_sources: tuple[str, ...]
    is_backfill: bool
    """Its events are old: expiry counts from the month of booking (M5)."""


@dataclass(frozen=True)
class ProgrammeSettings:
    """What one programme runs by, in one version of its settings."""

    id: int
    bank_id: int
    code: str
    calendar: Calendar
    currency: str
    """ISO 4217."""
    release_grace_days: int
    """What a part released after its expiry gets; 0 expires it in the same transaction (M6)."""
    late_event_days: int
    """An event older than this when it arrives is too late; backfill sources are exempt."""
    correction_days: int
    """A reversal or a correction that comes more days than this after its event was booked is too late."""
    future_tolerance_s: int
    clawback_limit_millicredits: int
    """The most that a reversal leaves due (M6)."""
    undecided_retention_days: int
    appeal_retention_days: int
    """How long the words of an appeal are kept after it was resolved."""
    millifen_per_credit: int
    """What a credit costs the bank, in thousandths of a fen; 0 in settings from before it was asked for."""
    consent_sources: Mapping[str, ConsentSource]
    event_sources: Mapping[str, EventSource]
    """By CloudEvents `source`."""


def _consent_source(code: str, content: Mapping[str, Any]) -> ConsentSource:
    return ConsentSource(
        code=code,
        name_en=content["name_en"],
        name_zh=content["name_zh"],
        sensitive=content["sensitive"],
        retention_days=content["retention_days"],
        texts=tuple(
            ConsentText(
                version=text["version"],
                covers_from=_instant(text.get("covers_from")),
                text_en=text["text_en"],
                text_zh=text["text_zh"],
            )
            for text in content["texts"]
        ),
    )


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def parse_programme_settings(
    *, programme_id: int, bank_id: int, code: str, time_zone: str, currency: str, content: Mapping[str, Any]
) -> ProgrammeSettings:
    """Return the settings that `content`, a version of kind `programme`, holds for this programme's row."""
    event_sources = (
        EventSource(
            uri=source["uri"],
            consent_sources=tuple(source["consent_sources"]),
            is_backfill=source.get("is_backfill", False),
        )
        for source in content["event_sources"]
    )
    return ProgrammeSettings(
        id=programme_id,
        bank_id=bank_id,
        code=code,
        calendar=Calendar(
            time_zone=time_zone,
            cut_off=time.fromisoformat(content["cut_off"]),
            holidays=frozenset(date.fromisoformat(day) for day in content.get("holidays", ())),
        ),
        currency=currency,
        release_grace_days=content["release_grace_days"],
        late_event_days=content["late_event_days"],
        correction_days=content.get("correction_days", CORRECTION_DAYS),
        future_tolerance_s=content["future_tolerance_s"],
        clawback_limit_millicredits=content["clawback_limit_millicredits"],
        undecided_retention_days=content["undecided_retention_days"],
        millifen_per_credit=content.get("millifen_per_credit", 0),
        appeal_retention_days=content.get("appeal_retention_days", APPEAL_RETENTION_DAYS),
        consent_sources={
            name: _consent_source(name, source) for name, source in content["consent_sources"].items()
        },
        event_sources={source.uri: source for source in event_sources},
    )


def programme_of(session: Session, caller: Caller) -> int:
    """Return the programme that the caller's token names, or the only one of its bank.

    Raises ProgrammeNeeded when the token names none that the bank has, or names none of several.
    """
    query = select(Programme.programme_id).where(Programme.bank_id == caller.bank_id)
    if caller.programme is not None:
        query = query.where(Programme.code == caller.programme)
    return only_programme(session.scalars(query.limit(2)).all())


def only_programme(found: Sequence[Found]) -> Found:
    """Return what was found for a caller's programme; raises ProgrammeNeeded unless that is exactly one."""
    if len(found) != 1:
        raise ProgrammeNeeded
    return found[0]
