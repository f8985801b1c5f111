from __future__ import annotations

from datetime import UTC, date, datetime

from carbonpoints.core.clock import clock_at
from carbonpoints.core.sentences import CAVEAT
from tests.accounts.world import CLOSE, World, hold, nothing_changes, ok


def test_not_using_an_account_leaves_each_lot_its_date(world: World) -> None:
    account = world.open()
    world.earn(account, 5000, expires_on=date(2026, 7, 31))
    world.earn(account, 700, expires_on=date(2026, 7, 31), matures_on=date(2026, 7, 1))
    world.earn(account, 3000, expires_on=date(2027, 7, 31))
    hold(world, account, 1000)
    with nothing_changes():
        preview = ok(world.get(f"/accounts/{account}/dormancy-preview"))
    assert preview.pop("balances") == ok(world.get(f"/accounts/{account}"))["balances"]
    assert preview == {
        "account_id": account,
        "forfeited_millicredits": 0,
        "endings": [
            {"expires_on": "2026-07-31", "amount_millicredits": 4700},
            {"expires_on": "2027-07-31", "amount_millicredits": 3000},
        ],
        "sentence": {
            "en": "Not using the account takes nothing from it: its 7.7 credits keep their last dates. "
            "The next to end are 4.7 credits, after 2026-07-31.",
            "zh": "账户长期不使用不会被扣除积分:现有 7.7 积分的有效期不变,其中 4.7 积分最先到期,最后可用日为 2026-07-31。",
        },
        "caveat": CAVEAT._asdict(),
    }


def test_what_has_ended_is_not_announced_swept_or_not(world: World) -> None:
    account = world.open()
    world.earn(account, 5000, expires_on=date(2026, 7, 31))
    with clock_at(datetime(2026, 8, 1, 4, tzinfo=UTC)):
        preview = ok(world.get(f"/accounts/{account}/dormancy-preview"))
    assert (preview["endings"], preview["balances"]["available_millicredits"]) == ([], 0)
    assert preview["sentence"] == {
        "en": "Not using the account takes nothing from it; it has no credits that could end.",
        "zh": "账户长期不使用不会被扣除积分;目前没有会到期的积分。",
    }


def test_nothing_takes_the_credits_of_an_account_that_is_not_used(world: World) -> None:
    account = world.open()
    world.earn(account, 5000, expires_on=date(2036, 7, 31))
    with clock_at(datetime(2036, 7, 31, 4, tzinfo=UTC)):
        assert ok(world.get(f"/accounts/{account}"))["balances"]["available_millicredits"] == 5000


def test_closing_is_announced_in_words(world: World) -> None:
    account = world.open()
    world.earn(account, 5000)
    world.earn(account, 700, matures_on=date(2026, 7, 1))
    sentence = ok(world.get(f"/accounts/{account}/closure-preview"))["sentence"]
    assert sentence == {
        "en": "Closing is final: 5.7 credits that are available or pending would be lost without compensation.",
        "zh": "销户后不可恢复:可用和待生效的 5.7 积分将作废,不予补偿。",
    }
    closed = ok(world.post(f"/accounts/{account}/close", CLOSE, key="close-0001"))
    assert closed["balances"]["available_millicredits"] == 0
