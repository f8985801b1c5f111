"""What may go wrong when a change is proposed or confirmed."""

from __future__ import annotations

from carbonpoints.core.errors import CarbonpointsError, Conflict, NotFound


class FourEyes(CarbonpointsError):
    """The person who made the change tries to confirm it (M10: compared by person, not by token)."""

    code = "four_eyes"
    status = 403
    title = "A change is confirmed by another person than the one who made it."


class UnknownProgramme(NotFound):
    """There is no programme of this number."""


class UnknownChange(NotFound):
    """There is no change request of this number."""


class ChangeNotOpen(Conflict):
    """The change request is no draft any more."""

    code = "change_not_open"
    title = "This change has been decided already."


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
