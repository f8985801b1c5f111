"""A change that is worse for customers leaves what was issued as it was (M10)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.core.clock import clock_at
from carbonpoints.rules.submissions import Located, Submission
from tests.behaviours.world import NOW, World, payment, shipped
from tests.rules.catalogue_files import confirm, draft

START = datetime(2026, 8, 1, tzinfo=ZoneInfo("Asia/Shanghai"))
LOTS = "SELECT expires_on::text FROM lot ORDER BY 1"


def lots(session: Session) -> list[str]:
    return list(session.scalars(text(LOTS)))


def test_lots_keep_their_expiry_when_the_rule_s_gets_shorter(session: Session, world: World) -> None:
    assert world.one("non_cash_payment", payment("P1")).disposition is Disposition.CREDITED
    before = lots(session)
    rule = next(rule for rule in shipped().rules if rule.code == "non_cash_payment")
    shorter = replace(rule, expiry_months=rule.expiry_months - 12, valid_from=START)
    confirm(world.programme_id, draft(world.programme_id, Submission(rules=(Located(shorter, "shorter"),))))
    with clock_at(NOW + timedelta(days=30)):
        late = world.one("non_cash_payment", payment("P2"), at=NOW + timedelta(days=29))
        assert late.disposition is Disposition.CREDITED
    with clock_at(START + timedelta(days=1)):
        assert world.one("non_cash_payment", payment("P3"), at=START).disposition is Disposition.CREDITED
    assert before == ["2028-06-30"]
    assert lots(session) == ["2027-08-31", "2028-06-30", "2028-07-31"]
