"""Reviews as their tests call them."""

from __future__ import annotations

from typing import Any, NamedTuple

from carbonpoints.behaviours.review_ends import RELEASED
from carbonpoints.behaviours.taking_back import FORFEITED
from carbonpoints.behaviours.work import Receipt
from carbonpoints.core.ids import NumberedId, account_public_id
from tests.behaviours.api import Api, body
from tests.behaviours.world import World

__all__ = ["FORFEITED", "RELEASED"]

WHY = {"reason_code": "split_payments", "text": "Ten payments within a minute."}


class Officers(NamedTuple):
    """Three persons of risk."""

    opener: Api
    maker: Api
    checker: Api


def event_id_of(receipt: Receipt) -> str:
    return str(NumberedId("evt", receipt.account_id, receipt.account_seq))


def post(api: Api, path: str, sent: dict[str, Any], key: str | None = None) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return api.call("POST", path, json=sent, headers=headers)


def mark(api: Api, key: str = "mark-0001", **about: str) -> Any:
    return post(api, "/reviews", {**WHY, **about}, key)


def marked(api: Api, key: str = "mark-0001", **about: str) -> str:
    return str(body(mark(api, key, **about))["review_id"])


def mark_account(api: Api, world: World, customer: str = "C1", key: str = "mark-account") -> str:
    return marked(api, key, account_id=account_public_id(world.accounts[customer]))


def propose(api: Api, review_id: str, outcome: str, words: str = "Looked at it.") -> Any:
    return post(api, f"/reviews/{review_id}/proposal", {"outcome": outcome, "text": words})


def send_back(api: Api, review_id: str, number: int = 1) -> Any:
    return post(api, f"/reviews/{review_id}/return", {"proposal_no": number, "text": "Look again."})


def confirm(api: Api, review_id: str, number: int = 1, key: str = "confirm-0001") -> Any:
    return post(api, f"/reviews/{review_id}/confirmation", {"proposal_no": number}, key)


def end(officers: Officers, review_id: str, outcome: str) -> dict[str, Any]:
    """Let two persons end a review."""
    number = body(propose(officers.maker, review_id, outcome))["proposal_no"]
    return body(confirm(officers.checker, review_id, number, f"confirm-{review_id}-{number}"))
