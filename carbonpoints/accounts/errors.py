"""What can be refused about an account, each with its stable code."""

from __future__ import annotations

from carbonpoints.core.errors import CarbonpointsError, Conflict, InvalidRequest


class NotYours(CarbonpointsError):
    """The caller's role may not do this, although its token carries the scope."""

    code = "role_not_allowed"
    status = 403
    title = "Your role may not do this."


class PurposeNeeded(InvalidRequest):
    """Staff say why they read another person's data (M21); customer service names its case."""

    code = "purpose_needed"
    title = "Say for which purpose you read another person's data."


class ProgrammeNotSetUp(CarbonpointsError):
    """No settings of the programme are in force."""

    code = "programme_not_set_up"
    status = 503
    title = "The programme is not set up."


class GuardianConsentNeeded(CarbonpointsError):
    """A minor's account is opened with a guardian's consent only (M2)."""

    code = "guardian_consent_needed"
    status = 403
    title = "A minor's account needs a guardian's consent."


class AccountFrozen(Conflict):
    """The account is frozen."""

    code = "account_frozen"
    title = "The account is frozen."


class AccountNotFrozen(Conflict):
    """Only a frozen account can be unfrozen."""

    code = "account_not_frozen"
    title = "The account is not frozen."


class AccountClosed(Conflict):
    """The account is closed; closing is final."""

    code = "account_closed"
    title = "The account is closed."


class AccountMerged(Conflict):
    """The account was merged into another account of its holder."""

    code = "account_merged"
    title = "The account was merged into another account."


class HolderDeceased(Conflict):
    """The holder's death is recorded; only a correction of the record lifts the freeze."""

    code = "holder_deceased"
    title = "The holder's death is recorded."


class CreditsInTransit(Conflict):
    """Credits are on their way into this account; the same call succeeds once they have arrived."""

    code = "credits_in_transit"
    title = "Credits are on their way into the account; please try again."
    retry_after_s = 5


class UnderReview(Conflict):
    """Something in the account is under review; the same call succeeds once that has ended."""

    code = "under_review"
    title = "Something in this account is under review."


class IdentifierTaken(Conflict):
    """The identifier belongs to another holder."""

    code = "identifier_taken"
    title = "The identifier belongs to another account."


class IdentifierNotInForce(Conflict):
    """The identifier has already ended."""

    code = "identifier_not_in_force"
    title = "The identifier is no longer in force."


class BankAccountTaken(Conflict):
    """Another holder owns the bank account."""

    code = "bank_account_taken"
    title = "The bank account belongs to another holder."


class BankAccountLinkedOtherwise(Conflict):
    """The holder is linked to this bank account in the other relation."""

    code = "bank_account_linked_otherwise"
    title = "The bank account is already linked in another relation."


class BankAccountNotLinked(Conflict):
    """The holder never had this bank account."""

    code = "bank_account_not_linked"
    title = "The bank account is not linked to this holder."


class ConsentTextOutdated(Conflict):
    """The text agreed to is not the one that the programme offers."""

    code = "consent_text_outdated"
    title = "The consent text has changed; version %(offered)s is offered."


class ConsentNotGiven(Conflict):
    """There is no consent for this source that could be withdrawn."""

    code = "consent_not_given"
    title = "No consent for this source was ever given."


class ConsentWithdrawn(Conflict):
    """The holder withdrew consent for this source; only the holder gives it again (M11)."""

    code = "consent_withdrawn"
    title = "The holder has withdrawn this consent and must give it again in person."


class MergeRefused(Conflict):
    """Two accounts are merged when both are open, different and personal, in one programme."""

    code = "merge_refused"
    title = "These accounts cannot be merged."


class MergeUndone(Conflict):
    """The merge was already undone."""

    code = "merge_undone"
    title = "The merge was already undone."
