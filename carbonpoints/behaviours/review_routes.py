"""Reviews over HTTP: schema in, one service call, schema out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response, jsonify

from carbonpoints.accounts.models import Review, ReviewStep
from carbonpoints.accounts.schemas import PurposeQuerySchema
from carbonpoints.behaviours import reviews
from carbonpoints.behaviours.review_schemas import (
    OpenReviewSchema,
    ProposeEndSchema,
    ReturnProposalSchema,
    ReviewSchema,
    ReviewsQuerySchema,
    ReviewsSchema,
    SeenProposalSchema,
    review_view,
)
from carbonpoints.core.auth import current_caller
from carbonpoints.core.http import Blueprint, Registration
from carbonpoints.core.idempotency import IdempotencyHeaders, replayed

blueprint = Blueprint(
    "reviews",
    __name__,
    url_prefix="/v1",
    description="Events and accounts that risk checks: marked, and released or forfeited by two persons.",
)
_REVIEW = ReviewSchema()


def _dump(review: Review, steps: Sequence[ReviewStep]) -> dict[str, Any]:
    dumped: dict[str, Any] = _REVIEW.dump(review_view(review, steps))
    return dumped


@blueprint.route("/reviews", methods=["POST"])
@blueprint.arguments(IdempotencyHeaders, location="headers")
@blueprint.arguments(OpenReviewSchema)
@blueprint.response(200, ReviewSchema)
def open_review(headers: dict[str, Any], body: dict[str, Any]) -> Response:
    """Mark an event or an account as under review: what it gave, or is given from now on, cannot be spent."""
    answer = reviews.open_review(
        caller=current_caller(),
        account_id=body.get("account_id"),
        event_id=body.get("event_id"),
        source=body.get("source"),
        id_=body.get("id"),
        reason_code=body["reason_code"],
        words=body["text"],
        key=headers["idempotency_key"],
        answer=_dump,
    )
    return replayed(answer.replay) if answer.replay else jsonify(answer.body)


@blueprint.route("/reviews", methods=["GET"])
@blueprint.arguments(ReviewsQuerySchema, location="query")
@blueprint.response(200, ReviewsSchema)
def list_reviews(query: dict[str, Any]) -> dict[str, Any]:
    """List the programme's reviews, the oldest first."""
    page = reviews.list_reviews(
        caller=current_caller(),
        has_ended=query["ended"],
        limit=query["limit"],
        cursor=query["cursor"],
        purpose=query["purpose"],
    )
    return {"items": [review_view(each) for each in page.items], "next_cursor": page.next_cursor}


@blueprint.route("/reviews/<review_id>", methods=["GET"])
@blueprint.arguments(PurposeQuerySchema, location="query")
@blueprint.response(200, ReviewSchema)
def get_review(query: dict[str, Any], review_id: str) -> dict[str, Any]:
    """Show one review with all that was done in it."""
    found = reviews.read_review(caller=current_caller(), review_id=review_id, purpose=query["purpose"])
    return review_view(*found)


@blueprint.route("/reviews/<review_id>/proposal", methods=["POST"])
@blueprint.arguments(ProposeEndSchema)
@blueprint.response(200, ReviewSchema)
def propose_end(body: dict[str, Any], review_id: str) -> dict[str, Any]:
    """Propose to release or to forfeit what is under review, in the place of what was proposed before."""
    changed = reviews.propose_end(
        caller=current_caller(), review_id=review_id, outcome=body["outcome"], words=body["text"]
    )
    return review_view(*changed)


@blueprint.route("/reviews/<review_id>/return", methods=["POST"])
@blueprint.arguments(ReturnProposalSchema)
@blueprint.response(200, ReviewSchema)
def return_proposal(body: dict[str, Any], review_id: str) -> dict[str, Any]:
    """Send a proposal back, as another person than the one who made it: the review goes on."""
    changed = reviews.return_proposal(
        caller=current_caller(), review_id=review_id, proposal_no=body["proposal_no"], words=body["text"]
    )
    return review_view(*changed)


@blueprint.route("/reviews/<review_id>/confirmation", methods=["POST"])
@blueprint.arguments(IdempotencyHeaders, location="headers")
@blueprint.arguments(SeenProposalSchema)
@blueprint.response(200, ReviewSchema)
def confirm_end(headers: dict[str, Any], body: dict[str, Any], review_id: str) -> Response:
    """End the review as proposed, as a person who neither proposed it nor opened the review."""
    answer = reviews.confirm_end(
        caller=current_caller(),
        review_id=review_id,
        proposal_no=body["proposal_no"],
        key=headers["idempotency_key"],
        answer=_dump,
    )
    return replayed(answer.replay) if answer.replay else jsonify(answer.body)


REVIEWS = Registration(
    blueprint,
    scopes={
        "open_review": "reviews:write",
        "list_reviews": "reviews:read",
        "get_review": "reviews:read",
        "propose_end": "reviews:decide",
        "return_proposal": "reviews:decide",
        "confirm_end": "reviews:decide",
    },
)
