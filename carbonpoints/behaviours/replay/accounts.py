"""The decided events of accounts, one after another, judged again by the production engine. Without a database.

Every account has its usage in memory only. What was decided for reasons outside the rules (no consent, a frozen
account, a claim of another event, too late) is taken as it was recorded (M16). So is an event whose inputs were erased
(M15), or one that looks at usage of which such an event leaves too little to know; and whatever lies outside the period,
which only tells what had been used.

What a reversal or a correction took back is given back at its own number in the journal, and what a restatement posted
counts from its own number on. Such a result stands as it was posted, unless a draft judges the event. Events that are to
be restated again are replayed by what judged them last instead (`rerun`), as if that had been so from the beginning.
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
from carbonpoints.behaviours.replay.forgotten import Forgotten
from carbonpoints.behaviours.replay.judges import Judge
from carbonpoints.ledger.restating import Restatement
from carbonpoints.rules.budgets import recorded
from carbonpoints.rules.catalogue import PinnedRule
from carbonpoints.rules.draws import no_budget
from carbonpoints.rules.engine import Assessment, CompiledRule, Outcome
from carbonpoints.rules.returning import Counted, count_award, counted_mg, give_back
from carbonpoints.rules.usage import UsageBook

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
    """What budgets said, campaigns gave and caps counted beside what was posted, where they did."""
    data: Mapping[str, str | bool] | None


@dataclass(frozen=True)
class Facts:
    """What is to be known of accounts beside their events, by account."""

    opened_on: Mapping[int, date] = field(default_factory=dict)
    """The local date on which each was opened, which campaigns may ask for."""
    taken_back: Mapping[int, Sequence[tuple[int, int]]] = field(default_factory=dict)
    """What was reversed or corrected: the reversal's number and the event's, in order."""
    restated: Mapping[int, Sequence[Restatement]] = field(default_factory=dict)
    """What restatements posted, in order."""
    adjusted: Mapping[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    """What two persons gave for an event beside: mg and millicredits by account and event."""
    statuses: Mapping[int, str] = field(default_factory=dict)
    """Whether each is open, frozen, closed or merged today."""


class _Noted(NamedTuple):
    """An event that something happens to later, and what it counted for: None where it gave nothing."""

    event: PastEvent
    compiled: CompiledRule | None
    values: Mapping[str, object] | None
    counted: Counted | None
    is_drafted: bool
    """Whether a draft judged it: what was posted for it since has no meaning then."""


class Handling(IntEnum):
    """What became of an event in a replay."""

    JUDGED = 0
    UNTOUCHED = 1
    """The draft cannot touch it."""
    KEPT = 2
    """Decided for reasons outside the rules: its recorded outcome stands."""
    EVIDENCE_ERASED = 3
    """Its inputs are gone, or those of an earlier award that it depends on: its recorded outcome stands."""


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
    rerun: bool = False,
) -> Iterator[Replayed]:
    """Yield the events of a period with what they would give, in the order of accounts and their numbers.

    `events` come in that order, and reach as far as `reach_of` says. Those with a pin that has no judge are another
    programme's. `secret` keys the pseudonyms of parties, in memory only. With `rerun`, events that were restated are
    replayed as what they were restated to.
    """
    account = _Account(0, first_day, last_day, secret, judges)
    for event in events:
        judge = judges.get(event.pin_id)
        if judge is None:
            continue
        if event.account_id != account.account_id:
            account = _Account(event.account_id, first_day, last_day, secret, judges)
            account.know(facts, rerun=rerun)
        restatement = account.restated.get(event.account_seq) if account.restated else None
        if restatement is None:
            replayed = account.take(event, judge)
        elif rerun:
            replayed = account.take(_as_restated(event, restatement), judges[restatement.pin_id])
        else:
            replayed = account.take(event, judge)
            if replayed is not None:
                replayed = _standing(replayed, judge, restatement)
        if replayed is not None:
            yield replayed


def _as_restated(event: PastEvent, restatement: Restatement) -> PastEvent:
    """Return an event as if its restatement had been its decision."""
    trace = {
        **(event.trace or {}),
        "boosts": restatement.bonuses,
        "granted_mg": restatement.granted_mg,
    }
    return event._replace(
        pin_id=restatement.pin_id,
        reduction_mg=restatement.reduction_mg,
        amount_millicredits=restatement.amount_millicredits,
        trace=trace,
    )


def _standing(replayed: Replayed, judge: Judge, restatement: Restatement) -> Replayed:
    """Return an event beside what it comes to today, which is also what it would give unless a draft judged it."""
    event, handling, pinned, outcome = replayed
    event = event._replace(
        reduction_mg=restatement.reduction_mg, amount_millicredits=restatement.amount_millicredits
    )
    if handling is not _JUDGED or judge.course.at(event.occurred_at) is None:
        outcome = Outcome(None, event.reduction_mg, event.amount_millicredits, None, None)
    return Replayed(event, handling, pinned, outcome)


class _Account:
    """One account on its way through its events."""

    def __init__(
        self,
        account_id: int,
        first_day: date,
        last_day: date,
        secret: bytes,
        judges: Mapping[int, Judge],
    ) -> None:
        self.account_id = account_id
        self._first_day = first_day
        self._last_day = last_day
        self._judges = judges
        self.usage = UsageBook(secret=secret)
        self._after: list[tuple[PastEvent, Judge]] = []
        """Awards from after the period on, which matter only where an event of the period was booked still later."""
        self._forgotten = Forgotten()
        self.restated: dict[int, Restatement] = {}
        """What events come to by their latest restatement, by number."""
        self._changes: deque[tuple[int, int, Restatement | None]] = deque()
        """What happens to events later, in order: at which number, to which event; taken back unless restated."""
        self._noted: dict[int, _Noted | None] = {}
        """What something happens to yet, by the number of its event."""

    def know(self, facts: Facts, *, rerun: bool) -> None:
        """Take over what is to be known of this account."""
        self.usage.opened_on = facts.opened_on.get(self.account_id)
        changes: list[tuple[int, int, Restatement | None]] = [
            (seq, event_seq, None) for seq, event_seq in facts.taken_back.get(self.account_id, ())
        ]
        restatements = facts.restated.get(self.account_id, ())
        self.restated = {each.event_seq: each for each in restatements}
        if restatements and not rerun:
            changes += [(each.account_seq, each.event_seq, each) for each in restatements]
            changes.sort(key=lambda change: change[0])
        self._changes.extend(changes)
        self._noted = dict.fromkeys(event_seq for _, event_seq, _ in changes)

    def take(self, event: PastEvent, judge: Judge) -> Replayed | None:
        """Replay the next event; None where it lies outside the period."""
        while self._changes and self._changes[0][0] <= event.account_seq:
            _, event_seq, restatement = self._changes.popleft()
            if restatement is None:
                self._give_back(event_seq)
            else:
                self._restate(event_seq, restatement)
        day = event.local_date
        if not self._first_day <= day <= self._last_day:
            if judge.is_replayed and (event.amount_millicredits or event.reduction_mg):
                if day > self._last_day:
                    self._after.append((event, judge))
                else:
                    self._remember(event, judge)
            return None
        if not judge.is_replayed:
            return _as_recorded(event, judge, Handling.UNTOUCHED)
        if event.disposition not in JUDGED_BY_RULES:
            return _as_recorded(event, judge, Handling.KEPT)
        self._remember_those_after()
        return self._judge(event, judge)

    def _remember_those_after(self) -> None:
        for passed in self._after:
            self._remember(*passed)
        self._after.clear()

    def _judge(self, event: PastEvent, judge: Judge) -> Replayed:
        drafted = judge.course.at(event.occurred_at)
        pinned = drafted or judge.recorded
        compiled = pinned.compiled
        if event.data is None and judge.reads_inputs:
            return self._keep(event, judge, compiled)
        if compiled is None:
            problem = pinned.problem or "no_rule_in_force"
            if event.account_seq in self._noted:
                self._noted[event.account_seq] = _Noted(event, None, None, None, drafted is not None)
            return Replayed(event, _JUDGED, pinned, Outcome(problem, 0, 0, None, {"reason": problem}))
        assessment = assess(compiled, event)
        if (
            self._forgotten
            and assessment.reason is None
            and self._forgotten.touches(compiled, event.local_date)
        ):
            return self._keep(event, judge, compiled)
        # What budgets said is an input (M16).
        draw = no_budget if event.trace is None else recorded(event.trace)
        outcome = compiled.settle(assessment, self.usage, event.local_date, draw)
        if event.account_seq in self._noted:
            counted = _counted(compiled, assessment, outcome)
            is_drafted = drafted is not None
            self._noted[event.account_seq] = _Noted(event, compiled, assessment.values, counted, is_drafted)
        return Replayed(event, _JUDGED, pinned, outcome)

    def _give_back(self, event_seq: int) -> None:
        """Give back what an event has used: it was reversed or corrected at this place of the journal."""
        self._after = [passed for passed in self._after if passed[0].account_seq != event_seq]
        noted = self._noted.pop(event_seq, None)
        if noted is not None and noted.compiled is not None and noted.counted is not None:
            give_back(noted.compiled, noted.values, self.usage, noted.event.local_date, noted.counted)

    def _restate(self, event_seq: int, restatement: Restatement) -> None:
        """Let an event count for what it was restated to, from this place of the journal on."""
        if any(passed[0].account_seq == event_seq for passed in self._after):
            self._remember_those_after()
        noted = self._noted.get(event_seq)
        if noted is None or noted.is_drafted:
            return
        self._give_back(event_seq)
        event, compiled = noted.event, self._judges[restatement.pin_id].recorded.compiled
        values = assess(compiled, event).values if compiled is not None and noted.values is not None else None
        counted = None
        if compiled is not None and (restatement.amount_millicredits or restatement.reduction_mg):
            counted = Counted(restatement.granted_mg, restatement.amount_millicredits, restatement.bonuses)
            count_award(compiled, values, self.usage, event.local_date, counted)
            if values is None:
                self._forgotten.forget_tallies(compiled, event.local_date)
        self._noted[event_seq] = _Noted(event, compiled, values, counted, is_drafted=False)

    def _remember(self, event: PastEvent, judge: Judge) -> None:
        """Note what an award outside the period used, by the rule that gave it."""
        if judge.recorded.compiled is not None:
            self._note(event, judge, judge.recorded.compiled)

    def _keep(self, event: PastEvent, judge: Judge, compiled: CompiledRule | None) -> Replayed:
        """Let the recorded outcome stand, and note it for `compiled`, which cannot tell what it would have given."""
        if compiled is not None and (event.amount_millicredits or event.reduction_mg):
            self._note(event, judge, compiled)
        return _as_recorded(event, judge, Handling.EVIDENCE_ERASED)

    def _note(self, event: PastEvent, judge: Judge, compiled: CompiledRule) -> None:
        """Note a recorded award without judging it, as far as it is known: whom it went to is gone with its inputs."""
        values = compiled.values(event.data) if event.data is not None else None
        if values is None:
            self._forgotten.forget_tallies(compiled, event.local_date)
        granted_mg = recorded_mg(event, judge)
        if granted_mg is None:
            self._forgotten.forget_milligrams(compiled, event.local_date)
        bonuses: Mapping[str, int] = (event.trace or {}).get("boosts", {})
        counted = Counted(granted_mg or 0, event.amount_millicredits, bonuses)
        count_award(compiled, values, self.usage, event.local_date, counted)
        if event.account_seq in self._noted:
            self._noted[event.account_seq] = _Noted(event, compiled, values, counted, is_drafted=False)


def _counted(compiled: CompiledRule, assessment: Assessment, outcome: Outcome) -> Counted | None:
    if not (outcome.amount_millicredits or outcome.reduction_mg):
        return None
    trace: Mapping[str, Any] = outcome.trace or {}
    granted_mg = counted_mg(compiled.rule, outcome.reduction_mg, trace, assessment.estimate_mg)
    return Counted(granted_mg, outcome.amount_millicredits, trace.get("boosts", {}))


def recorded_mg(event: PastEvent, judge: Judge) -> int | None:
    """Return the mg that caps counted for a recorded award; None where that is gone with its inputs."""
    compiled = judge.recorded.compiled
    assert compiled is not None  # noqa: S101 - a rule gave the award
    estimate_mg = 0  # Where a cap cut, the trace says what was counted.
    is_told = compiled.rule.purpose == "reduction" or "granted_mg" in (event.trace or {})
    if event.disposition == Disposition.CREDITED and not is_told:
        if event.data is None and judge.recorded_reads_inputs:
            return None
        estimate_mg = assess(compiled, event).estimate_mg
    return counted_mg(compiled.rule, event.reduction_mg, event.trace, estimate_mg)


def _as_recorded(event: PastEvent, judge: Judge, handling: Handling) -> Replayed:
    outcome = Outcome(None, event.reduction_mg, event.amount_millicredits, None, None)
    return Replayed(event, handling, judge.recorded, outcome)


def assess(compiled: CompiledRule, event: PastEvent) -> Assessment:
    """Return what a rule says of an event's attributes; of one without inputs what it says of any."""
    return _assess_blank(compiled) if event.data is None else compiled.assess(compiled.values(event.data))


@lru_cache(maxsize=256)
def _assess_blank(compiled: CompiledRule) -> Assessment:
    """Return what a rule says of every event, where it looks at none of their attributes."""
    return compiled.assess(compiled.values({}))
