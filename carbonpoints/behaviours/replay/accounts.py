"""The decided events of accounts, one after another, judged again by the production engine. Without a database.

Every account has its usage in memory only. What was decided for reasons outside the rules (no consent, a frozen
account, a claim of another event, too late) is taken as it was recorded (M16); so is an event whose inputs were erased
(M15), and whatever lies outside the period: it only tells what had been used.

What a reversal or a correction took back is given back at its own number in the journal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.replay.judges import Judge
from carbonpoints.rules.budgets import recorded
from carbonpoints.rules.catalogue import PinnedRule
from carbonpoints.rules.draws import no_budget
from carbonpoints.rules.engine import Assessment, CompiledRule, Outcome
from carbonpoints.rules.returning import counted_mg, give_back
from carbonpoints.rules.usage import UsageBook, usage_keys

JUDGED_BY_RULES = frozenset(
    int(disposition)
    for disposition in (
        Disposition.CREDITED,
        Disposition.PARTLY_CREDITED,
        Disposition.CAPPED,
        Disposition.BUDGET_EXHAUSTED,
        Disposition.INELIGIBLE,
    )
)
"""Ends of events that the rules led to, given what budgets said to them."""


class PastEvent(NamedTuple):
    """An event as it was decided, with its data: None where they are not needed or erased."""

    account_id: int
    account_seq: int
    pin_id: int
    disposition: int
    local_date: date
    occurred_at: datetime
    reduction_mg: int
    amount_millicredits: int
    trace: Mapping[str, Any] | None
    """What budgets said and campaigns gave, where they did."""
    data: Mapping[str, str | bool] | None


@dataclass(frozen=True)
class Facts:
    """What is to be known of accounts beside their events, by account."""

    opened_on: Mapping[int, date] = field(default_factory=dict)
    """The local date on which each was opened, which campaigns may ask for."""
    taken_back: Mapping[int, Sequence[tuple[int, int]]] = field(default_factory=dict)
    """What was reversed or corrected: the reversal's number and the event's, in order."""


class _Noted(NamedTuple):
    """What an event used, for the reversal that gives it back."""

    compiled: CompiledRule
    values: Mapping[str, object] | None
    day: date
    granted_mg: int
    amount_millicredits: int
    bonuses: Mapping[str, int]


class Handling(IntEnum):
    """What became of an event in a replay."""

    JUDGED = 0
    UNTOUCHED = 1
    """The draft cannot touch it."""
    KEPT = 2
    """Decided for reasons outside the rules: its recorded outcome stands."""
    EVIDENCE_ERASED = 3
    """Its inputs are gone: its recorded outcome stands."""


_JUDGED = Handling.JUDGED


class Replayed(NamedTuple):
    """An event of the period, what it would give, and by which rule: both are what was recorded unless `JUDGED`."""

    event: PastEvent
    handling: Handling
    pinned: PinnedRule
    outcome: Outcome


def replay(
    events: Iterable[PastEvent],
    judges: Mapping[int, Judge],
    first_day: date,
    last_day: date,
    *,
    secret: bytes,
    facts: Facts,
) -> Iterator[Replayed]:
    """Yield the events of a period with what they would give, in the order of accounts and their numbers.

    `events` come in that order, and reach as far as `reach_of` says. Those with a pin that has no judge are another
    programme's. `secret` keys the pseudonyms of parties, in memory only.
    """
    account = _Account(0, first_day, last_day, secret, ())
    for event in events:
        judge = judges.get(event.pin_id)
        if judge is None:
            continue
        if event.account_id != account.account_id:
            taken_back = facts.taken_back.get(event.account_id, ())
            account = _Account(event.account_id, first_day, last_day, secret, taken_back)
            account.usage.opened_on = facts.opened_on.get(event.account_id)
        replayed = account.take(event, judge)
        if replayed is not None:
            yield replayed


class _Account:
    """One account on its way through its events."""

    def __init__(
        self,
        account_id: int,
        first_day: date,
        last_day: date,
        secret: bytes,
        taken_back: Sequence[tuple[int, int]],
    ) -> None:
        self.account_id = account_id
        self._first_day = first_day
        self._last_day = last_day
        self.usage = UsageBook(secret=secret)
        self._after: list[tuple[PastEvent, Judge]] = []
        """Awards from after the period on, which matter only where an event of the period was booked still later."""
        self._taken_back = deque(taken_back)
        self._noted: dict[int, _Noted | None] = dict.fromkeys(event_seq for _, event_seq in taken_back)
        """What is to be given back yet, by the number of its event."""

    def take(self, event: PastEvent, judge: Judge) -> Replayed | None:
        """Replay the next event; None where it lies outside the period."""
        while self._taken_back and self._taken_back[0][0] < event.account_seq:
            self._give_back(self._taken_back.popleft()[1])
        day = event.local_date
        if not self._first_day <= day <= self._last_day:
            if judge.is_replayed and (event.amount_millicredits or event.reduction_mg):
                if day > self._last_day or self._after:
                    self._after.append((event, judge))
                else:
                    self._remember(event, judge)
            return None
        if not judge.is_replayed:
            return _as_recorded(event, judge, Handling.UNTOUCHED)
        if event.disposition not in JUDGED_BY_RULES:
            return _as_recorded(event, judge, Handling.KEPT)
        if self._after:
            for passed in self._after:
                self._remember(*passed)
            self._after.clear()
        return self._judge(event, judge)

    def _judge(self, event: PastEvent, judge: Judge) -> Replayed:
        pinned = judge.course.at(event.occurred_at) or judge.recorded
        compiled = pinned.compiled
        if event.data is None and judge.reads_inputs:
            if compiled is not None:
                self._note(event, compiled)
            return _as_recorded(event, judge, Handling.EVIDENCE_ERASED)
        if compiled is None:
            problem = pinned.problem or "no_rule_in_force"
            return Replayed(event, _JUDGED, pinned, Outcome(problem, 0, 0, None, {"reason": problem}))
        return Replayed(event, _JUDGED, pinned, self._settle(event, compiled))

    def _settle(self, event: PastEvent, compiled: CompiledRule) -> Outcome:
        """Judge an event; what budgets said to it is an input (M16)."""
        draw = no_budget if event.trace is None else recorded(event.trace)
        assessment = _assess(compiled, event)
        outcome = compiled.settle(assessment, self.usage, event.local_date, draw)
        if event.account_seq in self._noted:
            self._keep(event, compiled, assessment, outcome)
        return outcome

    def _keep(
        self, event: PastEvent, compiled: CompiledRule, assessment: Assessment, outcome: Outcome
    ) -> None:
        """Remember what an event that is taken back later has used."""
        if not (outcome.amount_millicredits or outcome.reduction_mg):
            return
        trace: Mapping[str, Any] = outcome.trace or {}
        self._noted[event.account_seq] = _Noted(
            compiled,
            assessment.values,
            event.local_date,
            counted_mg(compiled.rule, outcome.reduction_mg, trace, assessment.estimate_mg),
            outcome.amount_millicredits,
            trace.get("boosts", {}),
        )

    def _give_back(self, event_seq: int) -> None:
        """Give back what an event has used: it was reversed or corrected at this place of the journal."""
        self._after = [passed for passed in self._after if passed[0].account_seq != event_seq]
        noted = self._noted.pop(event_seq, None)
        if noted is not None:
            compiled, values, day, granted_mg, amount_millicredits, bonuses = noted
            give_back(
                compiled,
                values,
                self.usage,
                day,
                granted_mg=granted_mg,
                amount_millicredits=amount_millicredits,
                bonuses=bonuses,
            )

    def _remember(self, event: PastEvent, judge: Judge) -> None:
        """Note what an award outside the period used, by the rule that gave it."""
        compiled = judge.recorded.compiled
        if compiled is None:
            return
        if event.data is not None or not judge.recorded_reads_inputs:
            outcome = self._settle(event, compiled)
            if outcome.amount_millicredits or outcome.reduction_mg:
                return
        self._note(event, compiled)

    def _note(self, event: PastEvent, compiled: CompiledRule) -> None:
        """Note a recorded award as far as the record alone tells: whom it went to is gone with its inputs."""
        if not (event.amount_millicredits or event.reduction_mg):
            return
        bonuses: Mapping[str, int] = (event.trace or {}).get("boosts", {})
        if event.account_seq in self._noted:
            self._noted[event.account_seq] = _Noted(
                compiled, None, event.local_date, event.reduction_mg, event.amount_millicredits, bonuses
            )
        keys = usage_keys(compiled.places, event.local_date)
        for key in keys[: compiled.own_places]:
            row = self.usage.change(key)
            row.awards += 1
            row.reduction_mg += event.reduction_mg
            row.amount_millicredits += event.amount_millicredits - sum(bonuses.values())
        for boost in compiled.boosts.ordered if compiled.boosts is not None else ():
            bonus = bonuses.get(boost.definition.code, 0)
            for place in boost.places if bonus else ():
                row = self.usage.change(keys[place])
                row.awards += 1
                row.amount_millicredits += bonus


def _as_recorded(event: PastEvent, judge: Judge, handling: Handling) -> Replayed:
    outcome = Outcome(None, event.reduction_mg, event.amount_millicredits, None, None)
    return Replayed(event, handling, judge.recorded, outcome)


def _assess(compiled: CompiledRule, event: PastEvent) -> Assessment:
    return _assess_blank(compiled) if event.data is None else compiled.assess(compiled.values(event.data))


@lru_cache(maxsize=256)
def _assess_blank(compiled: CompiledRule) -> Assessment:
    """Return what a rule says of every event, where it looks at none of their attributes."""
    return compiled.assess(compiled.values({}))
