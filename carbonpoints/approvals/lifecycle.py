"""The life of a change request: which step leads from which state to which, and who may take it. Pure.

The same table stands in the database as a CHECK on the steps, so that no writer can take another way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from carbonpoints.approvals.errors import StepNotAllowed


class State(StrEnum):
    """Where a change request stands."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    APPROVED = "approved"
    """Its versions are known; the clock names the state after that at once."""
    SCHEDULED = "scheduled"
    """Approved, and nothing of it holds yet."""
    ACTIVE = "active"
    SUPERSEDED = "superseded"
    """Every version it made has been replaced, and nothing of them holds any more."""
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class Step(StrEnum):
    """What is done to a change request."""

    DRAFT = "draft"
    EDIT = "edit"
    SUBMIT = "submit"
    WITHDRAW = "withdraw"
    AGREE = "agree"
    """Approve as one of two, where the evidence asks for a second checker."""
    APPROVE = "approve"
    REJECT = "reject"
    SCHEDULE = "schedule"
    ACTIVATE = "activate"
    SUPERSEDE = "supersede"


class Actor(StrEnum):
    """Who takes a step."""

    MAKER = "maker"
    """Whoever drafts, edits and submits; a change may have several."""
    CHECKER = "checker"
    """A person who is none of its makers."""
    CLOCK = "clock"
    """Nobody: the state follows from what the versions say at this instant."""


@dataclass(frozen=True)
class AllowedStep:
    """One line of the table; `before` is None for the step that a change request begins with."""

    before: State | None
    step: Step
    after: State
    actor: Actor


ALLOWED_STEPS = (
    AllowedStep(None, Step.DRAFT, State.DRAFT, Actor.MAKER),
    AllowedStep(State.DRAFT, Step.EDIT, State.DRAFT, Actor.MAKER),
    AllowedStep(State.SUBMITTED, Step.EDIT, State.DRAFT, Actor.MAKER),
    AllowedStep(State.DRAFT, Step.SUBMIT, State.SUBMITTED, Actor.MAKER),
    AllowedStep(State.DRAFT, Step.WITHDRAW, State.WITHDRAWN, Actor.MAKER),
    AllowedStep(State.SUBMITTED, Step.WITHDRAW, State.WITHDRAWN, Actor.MAKER),
    AllowedStep(State.SUBMITTED, Step.REJECT, State.REJECTED, Actor.CHECKER),
    AllowedStep(State.SUBMITTED, Step.AGREE, State.SUBMITTED, Actor.CHECKER),
    AllowedStep(State.SUBMITTED, Step.APPROVE, State.APPROVED, Actor.CHECKER),
    AllowedStep(State.APPROVED, Step.SCHEDULE, State.SCHEDULED, Actor.CLOCK),
    AllowedStep(State.APPROVED, Step.ACTIVATE, State.ACTIVE, Actor.CLOCK),
    AllowedStep(State.SCHEDULED, Step.ACTIVATE, State.ACTIVE, Actor.CLOCK),
    AllowedStep(State.SCHEDULED, Step.SUPERSEDE, State.SUPERSEDED, Actor.CLOCK),
    AllowedStep(State.ACTIVE, Step.SUPERSEDE, State.SUPERSEDED, Actor.CLOCK),
)

OPEN = frozenset({State.DRAFT, State.SUBMITTED})
"""States in which a change request waits for somebody."""
CHECKED = frozenset({State.APPROVED, State.SCHEDULED, State.ACTIVE, State.SUPERSEDED})
"""States that a checker answers for."""
FOLLOWS_CLOCK = CHECKED - {State.SUPERSEDED}
"""States that the clock may change."""
MADE_BY = frozenset({Step.DRAFT, Step.EDIT, Step.SUBMIT})
"""Whoever took one of these is a maker of the change for good."""
REASONED = frozenset({Step.DRAFT, Step.EDIT, Step.WITHDRAW, Step.REJECT})
"""Steps that say why."""

_AFTER = {(allowed.before, allowed.step): allowed.after for allowed in ALLOWED_STEPS}
ACTOR_OF = {allowed.step: allowed.actor for allowed in ALLOWED_STEPS}


def state_after(before: State | None, step: Step) -> State:
    """Return the state that a step leads to; raises StepNotAllowed."""
    after = _AFTER.get((before, step))
    if after is None:
        raise StepNotAllowed(step=step.value, state=before.value if before else "new")
    return after


def steps_of(actor: Actor) -> list[Step]:
    """Return the steps that such an actor takes, each once."""
    return [step for step, one in ACTOR_OF.items() if one is actor]


def listed(words: Iterable[StrEnum]) -> str:
    """Return words of an enumeration as an SQL list."""
    return "(" + ",".join(f"'{word}'" for word in sorted(words)) + ")"


def allowed_steps_sql() -> str:
    """Return the table as an SQL condition over `from_state`, `step` and `to_state`."""
    triples = ",".join(
        f"('{allowed.before or ''}','{allowed.step}','{allowed.after}')" for allowed in ALLOWED_STEPS
    )
    return f"(coalesce(from_state, ''), step, to_state) IN ({triples})"
