"""Past decisions run again: the pinned versions, the inputs, and what the account had used then give the same digits.

What an account had used is rebuilt by replaying it up to the decision, never read from the rows of today.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.behaviours.delivering import EVENT_PREFIX
from carbonpoints.behaviours.dispositions import Disposition, disposition_of
from carbonpoints.behaviours.replay.accounts import JUDGED_BY_RULES, Handling, replay
from carbonpoints.behaviours.replay.errors import AwardNotFound
from carbonpoints.behaviours.replay.history import Extent, Period, read_events, read_facts
from carbonpoints.behaviours.replay.judges import make_judges_of, reach_of
from carbonpoints.behaviours.replay.models import Reexecution
from carbonpoints.behaviours.replay.prepared import pins_of
from carbonpoints.core import clock
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import reading, settings, transaction
from carbonpoints.core.ids import NumberedId
from carbonpoints.core.programmes import programme_of
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.history import REFUSED_REVERSAL, sample_events
from carbonpoints.ledger.queries import StoredDecision, read_decision, read_head
from carbonpoints.rules.catalogue import PinnedRule
from carbonpoints.rules.engine import Outcome

SAMPLED_DECISIONS = 200
"""Of each programme, every night."""

FINDINGS = text("""
SELECT r.account_id, r.account_seq, r.executed_at, r.outcomes
FROM reexecution r JOIN account a ON a.account_id = r.account_id AND a.programme_id = :programme_id
WHERE r.result = 'differs' ORDER BY r.executed_at DESC, r.account_id DESC, r.account_seq DESC LIMIT :limit
""")

log = structlog.get_logger()


class Result(StrEnum):
    """How a decision came out when it was run again."""

    SAME = "same"
    DIFFERS = "differs"
    EVIDENCE_ERASED = "evidence_erased"
    """Its inputs are gone, or those of an earlier event that it depends on."""
    NOT_JUDGED = "not_judged"
    """No rule was asked: the account was frozen, the act claimed, the event too late."""


@dataclass(frozen=True)
class Reexecuted:
    """A decision that was run again, and both outcomes: disposition, mg, millicredits and trace."""

    account_id: int
    account_seq: int
    result: Result
    recorded: Mapping[str, Any]
    replayed: Mapping[str, Any] | None
    """None where there is nothing to run."""

    @property
    def public_id(self) -> str:
        """The id of the event that was decided."""
        return str(NumberedId(EVENT_PREFIX, self.account_id, self.account_seq))


def reexecute(*, account_id: int, account_seq: int) -> Reexecuted:
    """Run one decided event again, writing nothing; raises AwardNotFound where the number is none."""
    with reading() as session:
        head = read_head(session, account_id)
        if head is None:
            raise AwardNotFound
        pins = pins_of(session, head.programme_id)
        return _reexecute(session, head.programme_id, pins, account_id, account_seq)


def reexecute_sample(programme_id: int) -> Counter[Result]:
    """Run decisions of a programme again that chance chooses, record how each came out and return how many did how.

    What differs is logged as an error too: the evidence of what was paid does not hold.
    """
    with reading() as session:
        pins = pins_of(session, programme_id)
        chosen = sample_events(session, programme_id, SAMPLED_DECISIONS)
        found = [_reexecute(session, programme_id, pins, *decision) for decision in chosen]
    executed_at = clock.now()
    rows = [
        {
            "account_id": each.account_id,
            "account_seq": each.account_seq,
            "executed_at": executed_at,
            "result": each.result,
            "outcomes": {"recorded": each.recorded, "replayed": each.replayed}
            if each.result is Result.DIFFERS
            else None,
        }
        for each in found
    ]
    if rows:
        with transaction() as session:
            session.execute(insert(Reexecution).on_conflict_do_nothing(), rows)
    for each in found:
        if each.result is Result.DIFFERS:
            log.error("reexecution_differs", event_id=each.public_id)
    results = Counter(each.result for each in found)
    log.info("reexecuted", programme_id=programme_id, **{str(result): n for result, n in results.items()})
    return results


def _reexecute(
    session: Session,
    programme_id: int,
    pins: Mapping[int, PinnedRule],
    account_id: int,
    account_seq: int,
) -> Reexecuted:
    decision = read_decision(session, account_id, account_seq)
    if decision is None or decision.kind != DecisionKind.EVENT or decision.pin_id is None:
        raise AwardNotFound
    recorded = _shown(
        decision.disposition, decision.reduction_mg, decision.amount_millicredits, decision.trace
    )
    if decision.disposition not in JUDGED_BY_RULES or REFUSED_REVERSAL in (decision.trace or {}):
        return Reexecuted(account_id, account_seq, Result.NOT_JUDGED, recorded, None)
    outcome = _run(session, programme_id, pins, decision)
    if outcome is None:
        return Reexecuted(account_id, account_seq, Result.EVIDENCE_ERASED, recorded, None)
    replayed = _shown(
        disposition_of(outcome), outcome.reduction_mg, outcome.amount_millicredits, outcome.trace
    )
    result = Result.SAME if replayed == recorded else Result.DIFFERS
    return Reexecuted(account_id, account_seq, result, recorded, replayed)


def _run(
    session: Session, programme_id: int, pins: Mapping[int, PinnedRule], decision: StoredDecision
) -> Outcome | None:
    """Return what the decision gives; None without its inputs, or those of an earlier event that it depends on."""
    assert decision.pin_id is not None  # noqa: S101 - the caller has looked
    judges = make_judges_of(decision.pin_id, pins)
    day = decision.local_date
    period, reach = Period(day, day), Period(*reach_of(judges.values(), day, day))
    extent = Extent(decision.account_id, decision.account_id, decision.account_seq)
    events = read_events(session, extent, period, reach, judges)
    calendar = programme_settings(session, programme_id).calendar
    facts = read_facts(session, extent, calendar)
    *_, last = replay(events, judges, day, day, secret=settings().identity_key, facts=facts)
    return None if last.handling is Handling.EVIDENCE_ERASED else last.outcome


def _shown(
    disposition: int, reduction_mg: int, amount_millicredits: int, trace: Mapping[str, Any] | None
) -> dict[str, Any]:
    return {
        "disposition": Disposition(disposition).code,
        "reduction_mg": reduction_mg,
        "amount_millicredits": amount_millicredits,
        "trace": None if trace is None else dict(trace),
    }


@dataclass(frozen=True)
class Finding:
    """A decision that came out differently when it was run again."""

    account_id: int
    account_seq: int
    executed_at: datetime
    outcomes: Mapping[str, Any]

    @property
    def event_id(self) -> str:
        """The id of the event that was decided."""
        return str(NumberedId(EVENT_PREFIX, self.account_id, self.account_seq))


def list_findings(*, caller: Caller, limit: int) -> list[Finding]:
    """Return what differed in the caller's programme, latest first."""
    with reading() as session:
        parameters = {"programme_id": programme_of(session, caller), "limit": limit}
        return [Finding(*row) for row in session.execute(FINDINGS, parameters)]
