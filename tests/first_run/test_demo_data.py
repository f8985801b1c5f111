"""The demo's data from one start to the next."""

from __future__ import annotations

from flask import Flask
from flask.testing import FlaskClient

from carbonpoints.demo_data import Welcome, seed_demo
from tests.accounts.world import code, nothing_changes, ok

CLOSE = {"reason_code": "customer_request", "reason": "moves away"}


def why(welcome: Welcome) -> str:
    """The address of the shown event."""
    return welcome.curls["Ask why"].split()[2]


def test_a_second_start_leaves_customers_as_they_are(committed: Flask, committed_client: FlaskClient) -> None:
    first = seed_demo(committed)
    customer = {"Authorization": f"Bearer {first.tokens['customer']}"}
    account = ok(committed_client.get("/v1/accounts/mine", headers=customer))["account_id"]
    address = f"/v1/accounts/{account}"
    withdrawal = f"{address}/consents/trips/withdrawal"
    ok(committed_client.post(withdrawal, json={"channel": "app"}, headers=customer))
    keyed = {**customer, "Idempotency-Key": "close-0001"}
    ok(committed_client.post(f"{address}/close", json=CLOSE, headers=keyed))
    with committed.app_context(), nothing_changes():
        second = seed_demo(committed)
    assert second.tokens.keys() == first.tokens.keys()
    assert why(second) == why(first)
    consents = ok(committed_client.get(f"{address}/consents", headers=customer))["items"]
    assert [item["state"] for item in consents if item["source"] == "trips"] == ["withdrawn"]


def test_a_second_start_leaves_a_merged_customer_merged(
    committed: Flask, committed_client: FlaskClient
) -> None:
    first = seed_demo(committed)
    own = {"Authorization": f"Bearer {first.tokens['customer']}"}
    source = ok(committed_client.get("/v1/accounts/mine", headers=own))["account_id"]
    other = f"acct_{int(source.removeprefix('acct_')) + 1}"
    merge = {"into_account_id": other, "reason": "one person"}
    keyed = {"Authorization": f"Bearer {first.tokens['operations']}", "Idempotency-Key": "merge-0001"}
    ok(committed_client.post(f"/v1/accounts/{source}/merges", json=merge, headers=keyed))
    with committed.app_context(), nothing_changes():
        assert why(seed_demo(committed)) == why(first)
    assert code(committed_client.get(f"/v1/accounts/{source}", headers=own)) == (404, "not_found")
