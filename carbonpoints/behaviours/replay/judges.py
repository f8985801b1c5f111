"""Who judges a past event when it is replayed: what really judged it, or a draft in its place. Without a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, timedelta

from carbonpoints.core.clock import month_end
from carbonpoints.rules.catalogue import Catalogue, PinnedRule
from carbonpoints.rules.compiling import variables_of
from carbonpoints.rules.engine import CompiledRule
from carbonpoints.rules.language import compile_expression
from carbonpoints.rules.timelines import Timeline
from carbonpoints.rules.usage import period_start

Course = Timeline[PinnedRule | None]
"""What a draft changes for one behaviour: who judges its acts at each instant; None where what judged them stays."""
NO_DRAFT: Course = Timeline((), (None,))


@dataclass(frozen=True, slots=True)
class Judge:
    """How the events that were decided by one pin are replayed."""

    recorded: PinnedRule
    course: Course
    is_replayed: bool
    """Whether a draft can touch the events: their rule is drafted, or shares usage with one that is."""
    reads_inputs: bool
    """Whether anything that may judge them looks at an attribute."""
    recorded_reads_inputs: bool
    """Whether what really judged them does."""

    def judging(self) -> Iterator[PinnedRule]:
        """Yield everything that may judge the events."""
        yield self.recorded
        yield from (each for each in self.course.entries if each is not None)

    def rules(self) -> Iterator[CompiledRule]:
        """Yield every rule that may judge the events."""
        yield from _compiled(self.judging())


def make_judges(pins: Mapping[int, PinnedRule], in_force: Catalogue, drafted: Catalogue) -> dict[int, Judge]:
    """Return a judge for each pin that decisions may have used.

    What a draft does not change is judged by the pins, which are what really judged.
    """
    behaviours = {pinned.behaviour.code for pinned in pins.values()}
    by_behaviour = {code: _course(in_force.timeline(code), drafted.timeline(code)) for code in behaviours}
    courses = {pin_id: by_behaviour[recorded.behaviour.code] for pin_id, recorded in pins.items()}
    changed = {pin_id for pin_id, course in courses.items() if any(course.entries)}
    return _judges(pins, courses, changed)


def make_rerun_judges(
    pins: Mapping[int, PinnedRule], corrected: Catalogue, behaviours: AbstractSet[str]
) -> dict[int, Judge]:
    """Return judges for a restatement: acts of these behaviours are judged by what is held to have been in force.

    All others are judged by the pins, and only where they share usage with those.
    """
    restated = {pin_id for pin_id, pinned in pins.items() if pinned.behaviour.code in behaviours}
    courses = {
        pin_id: corrected.timeline(pinned.behaviour.code) if pin_id in restated else NO_DRAFT
        for pin_id, pinned in pins.items()
    }
    return _judges(pins, courses, restated)


def make_judges_of(pin_id: int, pins: Mapping[int, PinnedRule]) -> dict[int, Judge]:
    """Return judges that judge again the events of one pin, by that pin, and all that its usage depends on."""
    return _judges(pins, dict.fromkeys(pins, NO_DRAFT), {pin_id})


def _judges(
    pins: Mapping[int, PinnedRule], courses: Mapping[int, Course], touched: AbstractSet[int]
) -> dict[int, Judge]:
    scopes = {
        pin_id: frozenset().union(*map(scopes_of, _compiled((recorded, *courses[pin_id].entries))))
        for pin_id, recorded in pins.items()
    }
    replayed = _sharing(scopes, touched)
    looking = _looking(
        (recorded, [each or recorded for each in courses[pin_id].entries])
        for pin_id, recorded in pins.items()
    )
    looked = _looking((recorded, [recorded]) for recorded in pins.values())
    return {
        pin_id: Judge(
            recorded,
            courses[pin_id],
            is_replayed=pin_id in replayed,
            reads_inputs=recorded.behaviour.code in looking,
            recorded_reads_inputs=recorded.behaviour.code in looked,
        )
        for pin_id, recorded in pins.items()
    }


def _looking(judging: Iterable[tuple[PinnedRule, list[PinnedRule]]]) -> AbstractSet[str]:
    """Return the behaviours for which one of the judges looks at inputs.

    What was restated is judged by another pin of its behaviour: whatever that one looks at is read for all.
    """
    return {
        recorded.behaviour.code for recorded, judges in judging if any(map(reads_inputs, _compiled(judges)))
    }


def _course(in_force: Course, drafted: Course) -> Course:
    starts = sorted({*in_force.starts, *drafted.starts})
    before = [(in_force.entries[0], drafted.entries[0])]
    pairs = before + [(in_force.at(start), drafted.at(start)) for start in starts]
    return Timeline(starts, [new if _hash(new) != _hash(old) else None for old, new in pairs])


def _hash(pinned: PinnedRule | None) -> bytes:
    return b"" if pinned is None else pinned.pin_hash


def _compiled(pinned: Iterable[PinnedRule | None]) -> Iterator[CompiledRule]:
    for each in pinned:
        if each is not None and each.compiled is not None:
            yield each.compiled


def scopes_of(rule: CompiledRule) -> frozenset[str]:
    """Return the scopes of usage that a rule reads and notes."""
    return frozenset(scope for scope, _ in rule.places) | {rule.rule.code}


def _sharing(scopes: Mapping[int, AbstractSet[str]], touched: AbstractSet[int]) -> AbstractSet[int]:
    """Return these pins, and those whose rules share usage with one of them, however far."""
    while True:
        reached = {scope for pin_id in touched for scope in scopes[pin_id]}
        further = touched | {pin_id for pin_id, own in scopes.items() if not reached.isdisjoint(own)}
        if further == touched:
            return touched
        touched = further


def reads_inputs(compiled: CompiledRule) -> bool:
    """Whether a rule looks at any attribute of an event."""
    rule, behaviour = compiled.rule, compiled.behaviour
    if rule.counters or compiled.boosts is not None:
        return True
    variables = variables_of(behaviour, compiled.constants)
    expressions = [condition.test for condition in (*compiled.screens, *compiled.histories)]
    expressions += [
        compile_expression(text, variables, expects="number")
        for text in (rule.baseline, rule.project, rule.leakage)
    ]
    read = frozenset().union(*(expression.names for expression in expressions))
    return any(
        code in read and not (attribute.default is not None and attribute.min == attribute.max is not None)
        for code, attribute in behaviour.attributes.items()
    )


def reach_of(judges: Iterable[Judge], first_day: date, last_day: date) -> tuple[date, date]:
    """Return the first and last local date whose events matter for those of a period.

    Usage counts from the beginning of the longest period that a rule looks at; a late event that was booked after
    others of its own period counts what these have used, wherever in it they lie.
    """
    rules = [rule for judge in judges if judge.is_replayed for rule in judge.rules()]
    windows = {period for rule in rules for _, period in rule.places}
    back = max((rule.look_back_days for rule in rules), default=0)
    starts = [period_start(window, first_day) for window in windows]
    return min([first_day - timedelta(days=back), *starts]), max(
        [last_day, *(_end(w, last_day) for w in windows)]
    )


def _end(window: str, day: date) -> date:
    if window == "day":
        return day
    return month_end(day) if window == "month" else date(day.year, 12, 31)
