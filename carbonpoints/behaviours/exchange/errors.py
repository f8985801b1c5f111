"""Errors of the exchange."""

from __future__ import annotations

from carbonpoints.core.errors import CarbonpointsError, Conflict, NotFound


class UnknownAgreement(NotFound):
    """No agreement of that code holds in that month."""

    code = "unknown_agreement"
    title = "No such agreement holds in that month."


class OtherDirection(Conflict):
    """The agreement does not cover what is asked for."""

    code = "other_direction"
    title = "The agreement does not cover exchange in this direction."


class ExchangeKeyMissing(CarbonpointsError):
    """The process was started without the secret that the agreement names."""

    code = "exchange_key_missing"
    status = 503
    title = "The secret of the agreement %(agreement)s is not configured."


class ImportNotFound(NotFound):
    """No such import in the caller's programme."""

    code = "import_not_found"
    title = "There is no such import."


class ExportNotFound(NotFound):
    """No such export in the caller's programme."""

    code = "export_not_found"
    title = "There is no such export."


class ExportStep(Conflict):
    """The export was approved or taken before, or is not approved yet."""

    code = "export_step"
    title = "That is no step for this export now: it is %(state)s."
