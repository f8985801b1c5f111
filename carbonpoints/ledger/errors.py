"""What the ledger refuses, with stable codes."""

from __future__ import annotations

from carbonpoints.core.errors import Busy, Conflict, NotFound


class LedgerFault(Exception):
    """The caller asked for something that the ledger's rules make impossible: a fault of ours, never booked."""


class BookedLater(Busy):
    """The account's journal is ahead of this machine's clock; booking time never runs backwards (M4)."""

    code = "booked_later"
    title = "The account was booked later than this machine's clock says; please try again."


class InsufficientCredits(Conflict):
    """Less is available than was asked for; nothing was booked."""

    code = "insufficient_credits"
    title = "There are not enough credits available."


class AccountNotOpen(Conflict):
    """The account is frozen, closed or merged; nothing was booked."""

    code = "account_not_open"
    title = "The account is not open."


class HoldNotFound(NotFound):
    """The account has no open hold of this number."""

    code = "hold_not_found"


class AwardNotFound(NotFound):
    """The account has no award of this number."""

    code = "award_not_found"


class CaptureNotFound(NotFound):
    """The account has no capture of this number."""

    code = "capture_not_found"


class HoldExceeded(Conflict):
    """More was asked for than the hold still has, or than was captured."""

    code = "hold_exceeded"
    title = "The hold has less than that."


class HoldsOpen(Conflict):
    """The account has open holds; they are captured or released first."""

    code = "holds_open"
    title = "Something is still on hold in this account."


class ReferenceInUse(Conflict):
    """The account already has a hold with this reference."""

    code = "hold_reference_in_use"
    title = "There is already a hold for this."


class AlreadyReversed(Conflict):
    """The award was reversed before; nothing was booked."""

    code = "already_reversed"
    title = "The award was reversed before."
