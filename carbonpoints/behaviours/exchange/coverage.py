"""How much of what stands was checked against other programmes, and how much was not (M13, M14).

An award counts as checked under an agreement where its act was keyed under it, its customer consents still, and the
other programme's marks of every month that the act touches were taken over. Whatever is not shown to be checked counts
as not checked.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.behaviours.exchange.normal_form import month_begin, month_text, next_month
from carbonpoints.behaviours.exchange.standing import NotedAct, awards_of, consented, paged
from carbonpoints.core import clock
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import reading
from carbonpoints.core.programmes import programme_of
from carbonpoints.ledger.reductions import standing_reductions
from carbonpoints.rules.agreements import AgreementDefinition
from carbonpoints.rules.catalogue import load_catalogue, read_pins

SHARE_DIGITS = Decimal("0.0001")
CHECKED = text("""
SELECT DISTINCT a.event_hash, a.account_id, a.revision, a.occurred_at FROM identity_exchange_act a
WHERE a.programme_id = :programme_id AND a.agreement = :agreement AND a.period = :period
    AND NOT EXISTS (
        SELECT FROM identity_exchange_act other
        WHERE other.event_hash = a.event_hash AND other.revision = a.revision AND other.agreement = a.agreement
            AND NOT EXISTS (
                SELECT FROM exchange_import i WHERE i.programme_id = other.programme_id
                    AND i.agreement = other.agreement AND i.period = other.period
            )
    )
""")


@dataclass
class Part:
    """What stands of some awards, and what of it was checked."""

    reduction_mg: int = 0
    checked_mg: int = 0
    by_agreement: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def not_checked_mg(self) -> int:
        """What was checked nowhere."""
        return self.reduction_mg - self.checked_mg

    @property
    def not_checked_share(self) -> str | None:
        """Its share, rounded up to four digits; None where nothing stands."""
        if not self.reduction_mg:
            return None
        share = Decimal(self.not_checked_mg) / Decimal(self.reduction_mg)
        return str(share.quantize(SHARE_DIGITS, ROUND_CEILING))


@dataclass(frozen=True)
class Coverage:
    """What was checked elsewhere of the awards of one month of local dates."""

    period: str
    as_of: datetime
    whole: Part
    behaviours: dict[str, Part]
    agreements: dict[str, AgreementDefinition]


def read_coverage(*, caller: Caller, month: date) -> Coverage:
    """Return how much of a month's reduction was checked against other programmes, by behaviour and agreement."""
    with reading() as session:
        programme = programme_settings(session, programme_of(session, caller))
        last_day = next_month(month) - timedelta(days=1)
        posted = standing_reductions(session, programme.id, first_day=month, last_day=last_day)
        begin = month_begin(month, programme.calendar.zone)
        agreements = {
            each.version.code: each.definition
            for each in load_catalogue(session, programme.id).agreements
            if each.version.holds_at(begin) and each.definition.imports
        }
        checked = [
            (code, pin_id, event, reduction_mg)
            for code, agreement in agreements.items()
            for pin_id, event, reduction_mg in _checked(session, programme.id, agreement, month)
        ]
        pins = {pin_id: pinned.behaviour.code for pin_id, pinned in read_pins(session, set(posted)).items()}
    whole, behaviours = Part(), dict[str, Part]()
    for pin_id, reduction_mg in posted.items():
        for part in (whole, behaviours.setdefault(pins[pin_id], Part())):
            part.reduction_mg += reduction_mg
    seen: set[Any] = set()
    for code, pin_id, event, reduction_mg in checked:
        for part in (whole, behaviours[pins[pin_id]]):
            part.by_agreement[code] += reduction_mg
            part.checked_mg += reduction_mg if event not in seen else 0
        seen.add(event)
    return Coverage(month_text(month), clock.now(), whole, behaviours, agreements)


def _checked(
    session: Session, programme_id: int, agreement: AgreementDefinition, month: date
) -> list[tuple[int, tuple[int, bytes], int]]:
    """Return pin, event and standing mg of the awards of a month that were checked under an agreement."""
    rows = session.execute(
        CHECKED, {"programme_id": programme_id, "agreement": agreement.code, "period": month}
    )
    found = []
    for page in paged(consented(session, [NotedAct(*row) for row in rows], agreement.consent_source)):
        standing, _ = awards_of(session, page)
        for act, award in standing.items():
            decision = award.decision
            is_in_month = decision.local_date.replace(day=1) == month
            if award.reduction_mg and is_in_month and decision.pin_id is not None:
                found.append((decision.pin_id, act.event, award.reduction_mg))
    return found
