"""What replaying a period by a draft needs to know, read once: judges, reach, expiry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.models import RulePin, Version
from carbonpoints.behaviours.replay.accounts import Facts, Replayed, replay
from carbonpoints.behaviours.replay.history import Extent, Period, read_events
from carbonpoints.behaviours.replay.judges import Judge, make_judges, make_rerun_judges, reach_of
from carbonpoints.behaviours.replay.restatement import RestatementDefinition
from carbonpoints.core.db import settings
from carbonpoints.rules.catalogue import PinnedRule, catalogue_of, read_held, read_pins
from carbonpoints.rules.drafting import with_draft


@dataclass(frozen=True)
class Prepared:
    """A draft, ready to judge the events of a period."""

    period: Period
    reach: Period
    """Whose events matter for what the period's events would give."""
    judges: Mapping[int, Judge]
    is_rerun: bool = False
    """Whether it is a restatement: what was restated before is taken as if it had been decided so."""

    @property
    def expiry_months(self) -> dict[int, int]:
        """After how many months what was really given expires, by pin; 0 where no rule gave anything."""
        rules = {pin_id: judge.recorded.rule for pin_id, judge in self.judges.items()}
        return {pin_id: rule.expiry_months if rule is not None else 0 for pin_id, rule in rules.items()}


def prepare_draft(
    session: Session,
    programme_id: int,
    draft: Sequence[ProposedVersion],
    period: Period,
    *,
    known_at: datetime | None = None,
) -> Prepared:
    """Return a draft that takes its place, as its versions say, among what is in force, or was held at `known_at`.

    Raises RulesOverlap.
    """
    held = read_held(session, programme_id, known_at=known_at)
    judges = make_judges(
        pins_of(session, programme_id),
        catalogue_of(programme_id, held),
        catalogue_of(programme_id, with_draft(held, draft)),
    )
    reach = reach_of(judges.values(), period.first_day, period.last_day)
    return Prepared(period, Period(*reach), judges)


def prepare_rerun(
    session: Session,
    programme_id: int,
    restatement: RestatementDefinition,
    draft: Sequence[ProposedVersion] = (),
    *,
    known_at: datetime | None = None,
) -> Prepared:
    """Return what judges a restated period: what was held at `known_at`, or is held now, and a draft among it.

    Raises RulesOverlap.
    """
    held = with_draft(read_held(session, programme_id, known_at=known_at), draft)
    corrected = catalogue_of(programme_id, held)
    judges = make_rerun_judges(pins_of(session, programme_id), corrected, frozenset(restatement.behaviours))
    period = Period(restatement.first_day, restatement.last_day)
    reach = reach_of(judges.values(), period.first_day, period.last_day)
    return Prepared(period, Period(*reach), judges, is_rerun=True)


def replay_extent(session: Session, prepared: Prepared, extent: Extent, facts: Facts) -> Iterator[Replayed]:
    """Yield the period's events of a range of accounts with what they would give; `facts` are those of the range."""
    period = prepared.period
    return replay(
        read_events(session, extent, period, prepared.reach, prepared.judges),
        prepared.judges,
        period.first_day,
        period.last_day,
        secret=settings().identity_key,
        facts=facts,
        rerun=prepared.is_rerun,
    )


def pins_of(session: Session, programme_id: int) -> dict[int, PinnedRule]:
    """Return everything that decisions of a programme may rest on, by pin."""
    pin_ids = session.scalars(
        select(RulePin.pin_id)
        .join(Version, Version.version_id == RulePin.behaviour_version_id)
        .where(Version.programme_id == programme_id)
    ).all()
    return read_pins(session, pin_ids)
