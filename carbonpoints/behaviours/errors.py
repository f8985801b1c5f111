"""Errors of the intake."""

from __future__ import annotations

from carbonpoints.core.errors import CarbonpointsError, Conflict, NotFound


class UnknownSource(CarbonpointsError):
    """The CloudEvents `source` is not registered in the programme, or not this caller's."""

    code = "unknown_source"
    status = 422
    title = "This event source is not registered: %(source)s"


class SourceNotYours(CarbonpointsError):
    """The caller's token does not speak for this CloudEvents `source`."""

    code = "source_not_yours"
    status = 403
    title = "Your token does not speak for the source %(source)s."


class EventNotFound(NotFound):
    """No such event, or not for this caller."""

    code = "event_not_found"
    title = "There is no such event for you."


class AppealNotFound(NotFound):
    """No such appeal, or not for this caller."""

    code = "appeal_not_found"
    title = "There is no such appeal for you."


class AppealExists(Conflict):
    """There is an appeal about this event already."""

    code = "appeal_exists"
    title = "There is an appeal about this event already."


class AppealResolved(Conflict):
    """The appeal was resolved; that is final."""

    code = "appeal_resolved"
    title = "This appeal was resolved before."


class ProposalChanged(Conflict):
    """What is to be confirmed is not what stands proposed now."""

    code = "proposal_changed"
    title = "Another proposal stands now, or none."


class ReviewNotFound(NotFound):
    """No such review, or not for this caller."""

    code = "review_not_found"
    title = "There is no such review for you."


class ReviewOpen(Conflict):
    """The event or the account is under review already."""

    code = "review_open"
    title = "This is under review already."


class ReviewEnded(Conflict):
    """The review has ended; that is final."""

    code = "review_ended"
    title = "This review has ended."


class NothingToReview(Conflict):
    """The event earned nothing, was taken back, or what it earned went through a merge of accounts."""

    code = "nothing_to_review"
    title = "Nothing of what this event earned is there to be held; the account can be marked."


class FeedProfileNotFound(NotFound):
    """No such feed profile in the caller's programme."""

    code = "feed_profile_not_found"
    title = "There is no such feed profile."


class FeedJobNotFound(NotFound):
    """No such job, or not of this caller's programme and sources."""

    code = "feed_job_not_found"
    title = "There is no such feed job for you."
