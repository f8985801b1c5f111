"""Which keyed acts stand today: decided, given something, neither reversed nor forfeited, and under a consent in force."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from carbonpoints.accounts.access import consents_in_force
from carbonpoints.accounts.identities import surviving_accounts
from carbonpoints.behaviours.originals import EventKey, adjustments_of
from carbonpoints.behaviours.reversing import reversals_of
from carbonpoints.ledger.decisions import find_decisions, find_forfeited, find_restatements
from carbonpoints.ledger.queries import StoredDecision
from carbonpoints.ledger.restating import Restatement


class NotedAct(NamedTuple):
    """An act as it was written down with its claim."""

    event_hash: bytes
    account_id: int
    revision: int
    occurred_at: datetime

    @property
    def event(self) -> EventKey:
        """Its event."""
        return self.account_id, self.event_hash


@dataclass(frozen=True)
class Award:
    """What stands of an event."""

    decision: StoredDecision
    reduction_mg: int
    amount_millicredits: int


def consented(session: Session, acts: Sequence[NotedAct], consent_source: str) -> list[NotedAct]:
    """Return the acts whose customers consent today to what `consent_source` covers; a merged account's are its heir's."""
    heirs = surviving_accounts(session, {act.account_id for act in acts})
    consents = consents_in_force(session, sorted(set(heirs.values())))
    found = []
    for act in acts:
        covers_from = consents.get((heirs[act.account_id], consent_source))
        if covers_from is not None and covers_from <= act.occurred_at:
            found.append(act)
    return found


def awards_of(session: Session, acts: Iterable[NotedAct]) -> tuple[dict[NotedAct, Award], list[NotedAct]]:
    """Return what stands of the events of acts, by act; and the acts whose events are not decided yet."""
    asked = list(acts)
    if not asked:
        return {}, []
    decisions = find_decisions(session, list({act.event for act in asked}))
    adjusted = adjustments_of(session, list(decisions))
    reversed_events = reversals_of(session, [event_hash for _, event_hash in decisions])
    numbers = [(each.account_id, each.account_seq) for each in decisions.values()]
    forfeited, restated = find_forfeited(session, numbers), find_restatements(session, numbers)
    standing: dict[NotedAct, Award] = {}
    undecided = []
    for act in asked:
        decision = decisions.get(act.event)
        if decision is None or (decision.revision or 0) < act.revision:
            undecided.append(act)
        elif (
            decision.revision == act.revision
            and act.event_hash not in reversed_events
            and (decision.account_id, decision.account_seq) not in forfeited
        ):
            restatements = restated.get((decision.account_id, decision.account_seq))
            given: StoredDecision | Restatement = restatements[-1] if restatements else decision
            _, amount_millicredits, reduction_mg = adjusted.get(act.event, (0, 0, 0))
            award = Award(
                decision,
                given.reduction_mg + reduction_mg,
                given.amount_millicredits + amount_millicredits,
            )
            if award.reduction_mg or award.amount_millicredits:
                standing[act] = award
    return standing, undecided


def paged(acts: Sequence[NotedAct], size: int = 10_000) -> Iterator[Sequence[NotedAct]]:
    """Yield acts in pages, each small enough for a few statements."""
    for start in range(0, len(acts), size):
        yield acts[start : start + size]
