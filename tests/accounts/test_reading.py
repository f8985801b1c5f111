from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from carbonpoints.accounts.reading import parse_period
from carbonpoints.core.clock import clock_at
from carbonpoints.core.errors import NotFound
from carbonpoints.core.ids import parse_account_id
from carbonpoints.core.roles import Role
from carbonpoints.core.sentences import CAVEAT
from tests.accounts.world import NOW, World, code, fields, nothing_changes, ok, rows

SOON = NOW + timedelta(days=3)


def available(answer: dict[str, Any]) -> int:
    balances = answer["balances"]
    assert isinstance(balances["available_millicredits"], int)
    return balances["available_millicredits"]


def test_balances_now_and_as_of_any_past_instant(world: World) -> None:
    account = world.open()
    world.earn(account, 5000)
    with clock_at(SOON):
        world.earn(account, 700, at=SOON, expires_on=date(2026, 6, 30))
        now = ok(world.get("/accounts/mine"))["balances"]
        assert (now["available_millicredits"], now["expiring_30d_millicredits"]) == (5700, 700)
        assert available(ok(world.get("/accounts/mine", as_of=NOW.isoformat()))) == 5000
        assert available(ok(world.get(f"/accounts/{account}", as_of="2026-06-15T03:59:59Z"))) == 0
    with clock_at(NOW + timedelta(days=30)):
        assert available(ok(world.get("/accounts/mine"))) == 5000
        assert available(ok(world.get("/accounts/mine", as_of=SOON.isoformat()))) == 5700


@pytest.mark.parametrize(
    ("as_of", "why"),
    [
        ("2026-06-15T04:00:01Z", "in_future"),
        ("2026-06-15T03:00:00", "offset_missing"),
        ("now", "wrong_format"),
        ("20260615T030000Z", "wrong_format"),
    ],
)
def test_an_instant_to_come_or_without_offset_is_refused(world: World, as_of: str, why: str) -> None:
    account = world.open()
    with nothing_changes():
        assert fields(world.get(f"/accounts/{account}", as_of=as_of)) == [("as_of", why)]


def test_transactions_come_latest_first_in_pages(world: World) -> None:
    account = world.open()
    for amount in (100, 200, 300):
        world.earn(account, amount)
    first = ok(world.get("/transactions", limit="2"))
    assert [item["amount_millicredits"] for item in first["items"]] == [300, 200]
    second = ok(world.get("/transactions", limit="2", cursor=first["next_cursor"]))
    number = account.removeprefix("acct_")
    assert second == {
        "items": [
            {
                "transaction_id": f"txn_{number}_3",
                "flow": "earn",
                "unit": "CREDIT",
                "moved_from": "issued",
                "moved_to": "available",
                "amount_millicredits": 100,
                "occurred_at": "2026-06-15T04:00:00+00:00",
                "booked_at": "2026-06-15T04:00:00+00:00",
                "business_date": "2026-06-15",
                "expires_on": "2028-06-30",
                "event_id": f"evt_{number}_2",
            }
        ],
        "next_cursor": None,
        "caveat": CAVEAT._asdict(),
    }


def test_transactions_are_filtered(world: World) -> None:
    account = world.open()
    world.earn(account, 100)
    world.earn(account, 200, matures_on=date(2026, 7, 1))
    with clock_at(SOON):
        world.earn(account, 300, at=SOON)

    def amounts(**query: str) -> list[int]:
        return [item["amount_millicredits"] for item in ok(world.get("/transactions", **query))["items"]]

    with clock_at(SOON):
        assert amounts(flow="earn_pending") == [200]
        assert amounts(flow="earn,earn_pending", unit="CREDIT") == [300, 200, 100]
        assert amounts(unit="MG_CO2E") == []
        assert amounts(**{"from": SOON.isoformat()}) == [300]
        assert amounts(to=SOON.isoformat()) == [200, 100]
        assert amounts(account_id=account, limit="1") == [300]


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ({"flow": "gift"}, (422, "invalid_request")),
        ({"cursor": "!"}, (422, "invalid_request")),
        ({"limit": "0"}, (422, "invalid_request")),
        ({"from": "2026-06-15 03:00:00Z"}, (422, "invalid_request")),
        ({"to": "2026-06-15T03:00:00+08"}, (422, "invalid_request")),
        ({"sort": "amount"}, (422, "invalid_request")),
        ({"account_id": "acct_1"}, (404, "not_found")),
        ({"account_id": "100001"}, (404, "not_found")),
    ],
)
def test_a_wrong_query_is_refused(world: World, query: dict[str, str], refusal: tuple[int, str]) -> None:
    world.open()
    assert code(world.get("/transactions", **query)) == refusal


def test_a_statement_adds_up(world: World) -> None:
    account = world.open()
    world.earn(account, 100)
    july = NOW + timedelta(days=30)
    with clock_at(july):
        world.earn(account, 200, at=july)
        world.earn(account, 300, at=july)
        month = ok(world.get("/statements/2026-07"))
        year = ok(world.get("/statements/2026"))
        june = ok(world.get("/statements/2026-06"))
    assert (month["account_id"], month["start"], month["end"]) == (account, "2026-07-01", "2026-07-15")
    assert [month[part]["available_millicredits"] for part in ("opening", "closing")] == [100, 600]
    assert month["movements"] == [
        {
            "flow": "earn",
            "unit": "CREDIT",
            "moved_from": "issued",
            "moved_to": "available",
            "amount_millicredits": 500,
            "entry_count": 2,
        }
    ]
    assert month["period_reduction_mg"] == 0
    assert [june[part]["available_millicredits"] for part in ("opening", "closing")] == [0, 100]
    assert [year[part]["available_millicredits"] for part in ("opening", "closing")] == [0, 600]
    assert (year["start"], year["end"], june["end"]) == ("2026-01-01", "2026-07-15", "2026-06-30")


@pytest.mark.parametrize(
    "period",
    [
        "2026-13",
        "2026-1",
        "0001",
        "1899",
        "last",
        "2026-07",
        "2027",
        "2199-12",
        "9999",
        "9999-12",
        "２０２６",
    ],
)
def test_what_is_no_period_or_has_not_begun_is_not_there(world: World, period: str) -> None:
    world.open()
    assert code(world.get(f"/statements/{period}")) == (404, "not_found")


def test_periods() -> None:
    assert parse_period("2028-02") == (date(2028, 2, 1), date(2028, 2, 29))
    assert parse_period("2199-12") == (date(2199, 12, 1), date(2199, 12, 31))
    for period in ("2026-00", "2200", "9999-12"):
        with pytest.raises(NotFound):
            parse_period(period)


@pytest.mark.parametrize(
    "path", ["/accounts/mine", "/accounts/{}/closure-preview", "/transactions", "/statements/2026-06"]
)
def test_an_answer_says_once_what_its_reductions_are(world: World, path: str) -> None:
    account = world.open()
    answer = world.get(path.format(account))
    assert ok(answer)["caveat"] == {"en": CAVEAT.en, "zh": CAVEAT.zh}
    assert answer.text.count('"caveat"') == 1
    assert "estimate" in CAVEAT.en
    assert "估算" in CAVEAT.zh


READS = ["/accounts/{}", "/transactions?account_id={}", "/statements/2026?account_id={}"]
MORE_READS = ["/accounts/{}/closure-preview", "/accounts/{}/identifiers", "/accounts/{}/consents"]


@pytest.mark.parametrize("path", [*READS, *MORE_READS, "/accounts/{}/linked-accounts"])
def test_another_customer_sees_nothing_and_staff_leave_a_record(world: World, path: str) -> None:
    account = world.open("C1")
    world.open("C2")
    address, _, query = path.format(account).partition("?")
    options = dict([query.split("=")]) if query else {}
    with nothing_changes():
        assert code(world.get(address, subject="C2", **options)) == (404, "not_found")
        assert code(world.get(address, role=Role.ENTERPRISE_USER, **options)) == (404, "not_found")
        assert code(world.get(address, role=Role.FEED_PARTNER, **options)) == (403, "insufficient_scope")
    ok(world.get(address, role=Role.AUDITOR, subject="auditor", **options))
    assert rows("SELECT account_id, purpose, actor_role FROM audit_record") == [
        (parse_account_id(account), "case:1", "auditor")
    ]


@pytest.mark.parametrize("path", ["/accounts/mine", "/transactions", "/statements/2026"])
def test_only_a_customer_has_an_own_account(world: World, path: str) -> None:
    with nothing_changes():
        assert code(world.get(path)) == (404, "not_found")
        assert code(world.get(path, role=Role.OPERATIONS)) == (404, "not_found")
