"""What may go wrong with a change request."""

from __future__ import annotations

from carbonpoints.core.errors import CarbonpointsError, Conflict, InvalidRequest, NotFound


class FourEyes(CarbonpointsError):
    """A person who made the change tries to decide on it (M10: compared by person, not by token)."""

    code = "four_eyes"
    status = 403
    title = "A change is decided by another person than those who made it."


class UnknownProgramme(NotFound):
    """There is no programme of this number."""


class UnknownChange(NotFound):
    """There is no change request of this number."""


class StepNotAllowed(Conflict):
    """The table of steps has no such step from where the change stands (`lifecycle.ALLOWED_STEPS`)."""

    code = "step_not_allowed"
    title = "This step is not possible where the change stands."

    def __init__(self, *, step: str, state: str) -> None:
        super().__init__(
            "%(step)s is not possible: the change is %(state)s.", params={"step": step, "state": state}
        )


class NothingChanges(Conflict):
    """What is proposed is what is in force already, or what the draft says already."""

    code = "nothing_changes"
    title = "Nothing would change."


class NothingToRestore(Conflict):
    """The change put in force what nothing was before: there is no earlier state of it to go back to."""

    code = "nothing_to_restore"
    title = "This change replaced nothing that could be restored."


class EvidenceMissing(Conflict):
    """The draft lacks evidence that a change of its kinds needs."""

    code = "evidence_missing"
    title = "Evidence is missing for this draft."


class EvidenceFailed(InvalidRequest):
    """What was found out about the draft speaks against it; `fields` names each finding."""

    code = "evidence_failed"
    title = "The checks of this draft failed."


class NoticeTooShort(Conflict):
    """A change that is worse for customers starts before it could be announced long enough."""

    code = "notice_too_short"
    title = "This change is worse for customers and must be announced first."


class SecondCheckerNeeded(Conflict):
    """The evidence asks for two checkers, and this one has agreed already."""

    code = "second_checker_needed"
    title = "Another checker must agree as well."


class ChangeOutdated(Conflict):
    """What the draft was compared with is not in force any more: propose it afresh."""

    code = "change_outdated"
    title = "What this change would replace has changed in the meantime."


class ValidityOverlap(Conflict):
    """Two proposed versions of one code hold at the same instant."""

    code = "validity_overlap"
    title = "Two versions of the same code would hold at the same time."


class IdentityFixed(Conflict):
    """A bank's issuer, or a programme's time zone or currency, would change: they never do (M1)."""

    code = "identity_fixed"
    title = "A bank's issuer and a programme's time zone and currency never change."
