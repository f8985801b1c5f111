"""Appeals as their tests call them."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.behaviours.api import Api, ride

WORDS = "坐了公交,但未获得积分。"
LATE = {"time": "2026-05-01T04:00:00+00:00"}


class People(NamedTuple):
    sender: Api
    customer: Api
    maker: Api
    checker: Api


def post(api: Api, path: str, sent: dict[str, Any], **options: Any) -> Any:
    return api.call("POST", path, json=sent, **options)


def filed(api: Api, **named: str) -> dict[str, Any]:
    answer = post(api, "/appeals", {"text": WORDS, "attachments": ["photo 17"], **named})
    assert answer.status_code == 201, answer.text
    return dict(answer.json)


def late_ride(sender: Api) -> str:
    sent = sender.send(ride("E-1") | LATE)
    assert sent["disposition"] == "too_late"
    return str(sent["event_id"])


def propose(api: Api, appeal: dict[str, Any], **values: Any) -> Any:
    sent = {"outcome": "adjusted", "reason": "The bus company was late.", **values}
    return post(api, f"/appeals/{appeal['appeal_id']}/resolution", sent)


def confirm(api: Api, appeal: dict[str, Any], number: int = 1, key: str = "appeal-0001") -> Any:
    headers = {"Idempotency-Key": key}
    return post(api, f"/appeals/{appeal['appeal_id']}/adjustment", {"proposal_no": number}, headers=headers)
