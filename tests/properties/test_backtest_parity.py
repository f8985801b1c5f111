"""A back-test of the rules in force gives exactly what was really decided: every event, every digit, any history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.versions import VersionKind, current_versions
from carbonpoints.behaviours.dispositions import Disposition, disposition_of
from carbonpoints.behaviours.replay.accounts import JUDGED_BY_RULES, Handling, Replayed
from carbonpoints.behaviours.replay.history import Period
from carbonpoints.behaviours.replay.runs import continue_next_run, start_run
from carbonpoints.behaviours.replay.services import read_backtest
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import transaction
from tests.properties.histories import (
    CODES,
    FIRST_DAY,
    Erasure,
    History,
    campaigns,
    histories,
    periods,
    plain_histories,
    proposed,
    rules,
    shared_caps,
)
from tests.properties.replayed_worlds import FIRST_STEP, STEP, Past, make_past

ALL_DAYS = Period(FIRST_DAY, FIRST_DAY + timedelta(days=90))
SUPPRESSED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
EVENTS = text("""
SELECT d.*, v.code AS behaviour FROM decision d JOIN account a USING (account_id) JOIN rule_pin p USING (pin_id)
JOIN version v ON v.version_id = p.behaviour_version_id
WHERE a.programme_id = :programme_id AND d.kind = 2 AND d.local_date BETWEEN :first_day AND :last_day
    AND NOT coalesce(d.trace ? 'refused_reversal', false)
ORDER BY account_id, account_seq
""")
# Gross: whatever events were given, also where a reversal or a correction took it back afterwards.
DECIDED = text("""
SELECT v.code AS behaviour, d.local_date::text AS local_date, count(*) AS events,
    count(*) FILTER (WHERE d.reduction_mg + d.amount_millicredits > 0) AS awarded_events,
    coalesce(sum(d.amount_millicredits), 0)::bigint AS amount_millicredits,
    coalesce(sum(d.reduction_mg), 0)::bigint AS reduction_mg
FROM decision d JOIN account a USING (account_id) JOIN rule_pin p USING (pin_id)
JOIN version v ON v.version_id = p.behaviour_version_id
WHERE a.programme_id = :programme_id AND d.kind = 2 AND d.local_date BETWEEN :first_day AND :last_day
    AND NOT coalesce(d.trace ? 'refused_reversal', false)
GROUP BY GROUPING SETS ((v.code), (d.local_date), ()) ORDER BY 1, 2
""")
EARNED = text("""
SELECT coalesce(sum(e.amount) FILTER (WHERE e.flow IN (1, 2)), 0)::bigint,
    coalesce(sum(e.amount) FILTER (WHERE e.flow = 4), 0)::bigint
FROM entry e JOIN account a USING (account_id)
JOIN decision d ON d.account_id = e.account_id AND d.account_seq = e.cause_seq
WHERE a.programme_id = :programme_id AND d.kind = 2 AND d.local_date BETWEEN :first_day AND :last_day
""")


@pytest.fixture
def seen(session: Session) -> Iterator[Counter[str]]:
    """What the examples have met: how many of which, and `worlds`, how many programmes they have made."""
    with clock_at(FIRST_STEP + 20 * STEP):
        yield Counter()
        session.rollback()


def happened(session: Session, seen: Counter[str], history: History) -> Past:
    seen["worlds"] += 1
    return make_past(session, seen["worlds"], history)


def in_force(past: Past) -> list[ProposedVersion]:
    """Everything that a programme holds and that judges acts, as a draft that changes nothing."""
    return [
        ProposedVersion(
            kind=kind,
            code=version.code,
            content=version.content,
            valid_from=version.valid_from,
            valid_to=version.valid_to,
        )
        for kind in (VersionKind.RULE, VersionKind.SHARED_CAP, VersionKind.CAMPAIGN)
        for version in current_versions(past.session, past.world.programme_id, kind)
    ]


def decisions_of(past: Past, period: Period) -> Sequence[Row[Any]]:
    """Return what was decided about the acts of a period, with their behaviours."""
    parameters = {"programme_id": past.world.programme_id, **vars(period)}
    return past.session.execute(EVENTS, parameters).all()


def same(replayed: Replayed, decision: Row[Any]) -> None:
    """Hold what a replay gives against a decision: class, mg, millicredits, counters, caps, boosts, budgets."""
    outcome = replayed.outcome
    given = (outcome.reduction_mg, outcome.amount_millicredits)
    assert given == (decision.reduction_mg, decision.amount_millicredits)
    if replayed.handling is Handling.JUDGED:
        assert (disposition_of(outcome), outcome.trace) == (decision.disposition, decision.trace)


def expected_handlings(past: Past, history: History, decision: Row[Any], drafted: set[str]) -> set[Handling]:
    """Return how a decision may have been handled, where rules of these behaviours are drafted."""
    found = {Handling.JUDGED} if decision.disposition in JUDGED_BY_RULES else {Handling.KEPT}
    erased = {past.world.accounts[step.customer] for step in history.steps if isinstance(step, Erasure)}
    if decision.disposition in JUDGED_BY_RULES and decision.account_id in erased:
        found |= {Handling.EVIDENCE_ERASED}
    return found if decision.behaviour in drafted else found | {Handling.UNTOUCHED}


@dataclass(frozen=True)
class Question:
    period: Period
    rules: set[str]
    """Those that are handed in as a draft, beside all shared caps and campaigns."""
    is_reported: bool
    """Whether a whole back-test is run as well."""

    def draft(self, past: Past, history: History) -> list[ProposedVersion]:
        """Return what is in force again, as a draft; not what judges the past otherwise than it was judged."""
        return [
            version
            for version in in_force(past)
            if version.kind is not VersionKind.RULE or version.code in self.rules
            if not history.changed & {version.code, *(version.content or {}).get("behaviours", ())}
        ]


QUESTIONS = st.builds(
    Question,
    periods(),
    st.sampled_from([{*CODES}, {*CODES}, {CODES[0]}, {CODES[1]}, {*CODES[1:]}]),
    st.sampled_from([True, False, False]),
)


@settings(max_examples=20, deadline=None, suppress_health_check=SUPPRESSED)
@given(history=histories(), question=QUESTIONS)
def check_parity(session: Session, seen: Counter[str], history: History, question: Question) -> None:
    past = happened(session, seen, history)
    draft, period = question.draft(past, history), question.period
    drafted = {version.code for version in draft if version.kind is VersionKind.RULE}
    replayed, decisions = past.backtest(draft, period), decisions_of(past, period)
    assert [each.event[:2] for each in replayed] == [(d.account_id, d.account_seq) for d in decisions]
    for each, decision in zip(replayed, decisions, strict=True):
        same(each, decision)
        assert each.handling in expected_handlings(past, history, decision, drafted)
        seen.update([each.handling.name, Disposition(decision.disposition).code, *(decision.trace or {})])
    if question.is_reported:
        check_report(past, draft, period)
    session.rollback()


def test_a_backtest_of_the_rules_in_force_is_what_was_decided(session: Session, seen: Counter[str]) -> None:
    check_parity(session, seen)
    often = [
        "JUDGED",
        "KEPT",
        "credited",
        "partly_credited",
        "capped",
        "ineligible",
        "counters",
        "boosts",
        "budgets",
    ]
    assert [name for name in often if not seen[name]] == [], "the pasts have become too plain"


def check_report(past: Past, draft: list[ProposedVersion], period: Period) -> None:
    """Hold the totals of a run, baseline and draft, against sums over decisions and entries.

    A run sets a draft's first version of each code back to the beginning: what has held since then may be drafted.
    """
    began = {version.key for version in draft if version.valid_from is None}
    draft = [version for version in draft if version.key in began]
    if not draft:
        return
    programme_id = past.world.programme_id
    with transaction() as session:
        run_id = start_run(session, programme_id, draft, period, change_request_id=None)
    while continue_next_run():
        pass
    report = read_backtest(run_id=run_id).report
    assert report is not None
    parameters = {"programme_id": programme_id, **vars(period)}
    *parts, whole = [_both_sides(row._asdict()) for row in past.session.execute(DECIDED, parameters)]
    sums = ("awarded_events", "amount_millicredits", "reduction_mg")
    for side in ("baseline", "draft"):
        assert {name: report[side][name] for name in sums} == whole[side]
    assert report["events"] == whole["events"]
    assert [*report["behaviours"], *report["days"]] == parts
    earned = past.session.execute(EARNED, parameters).one()
    assert (report["draft"]["amount_millicredits"], report["draft"]["reduction_mg"]) == tuple(earned)
    assert (report["accounts_with_more"], report["accounts_with_less"]) == (0, 0)
    past.session.rollback()


def _both_sides(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return sums as a report has them where the draft changes nothing."""
    sums = ("awarded_events", "amount_millicredits", "reduction_mg")
    named = {name: row[name] for name in ("behaviour", "local_date") if row[name] is not None}
    side = {name: row[name] for name in sums}
    return {**named, "events": row["events"], "baseline": side, "draft": side}


@st.composite
def drafts(draw: st.DrawFn) -> ProposedVersion:
    """Return a rule, a shared cap or a campaign with other values, from the beginning on."""
    kind = draw(
        st.sampled_from([VersionKind.RULE, VersionKind.RULE, VersionKind.SHARED_CAP, VersionKind.CAMPAIGN])
    )
    definition: Any
    if kind is VersionKind.RULE:
        definition = draw(rules(draw(st.sampled_from(CODES))))
    elif kind is VersionKind.SHARED_CAP:
        definition = draw(shared_caps(0))
    else:
        definition = draw(campaigns(0))
    return proposed(kind, definition, None, None)


@settings(max_examples=10, deadline=None, suppress_health_check=SUPPRESSED)
@given(history=plain_histories(), draft=drafts())
def test_a_draft_gives_what_it_would_have_given_had_it_been_in_force(
    session: Session, seen: Counter[str], history: History, draft: ProposedVersion
) -> None:
    past = happened(session, seen, history)
    held = [*(version for version in history.held if version.key != draft.key), draft]
    other = happened(session, seen, replace(history, held=held))
    replayed, expected = past.backtest([draft], ALL_DAYS), decisions_of(other, ALL_DAYS)
    assert len(replayed) == len(expected)
    for each, decision in zip(replayed, expected, strict=True):
        assert each.event.occurred_at == decision.occurred_at
        same(each, decision)
    session.rollback()
