"""A figure that was wrong in the first half of June, and what setting it right does to bus rides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.drafts import put_in_force, read_draft
from carbonpoints.approvals.kinds import read_items
from carbonpoints.approvals.lifecycle import Step
from carbonpoints.approvals.services import draft_change
from carbonpoints.approvals.steps import lock_change, take_step
from carbonpoints.approvals.versions import VersionKind
from carbonpoints.behaviours.restating.runs import QUIET, continue_next_restatement
from carbonpoints.behaviours.work import Receipt
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import transaction
from carbonpoints.rules.definitions import RuleDefinition
from carbonpoints.rules.reading import as_content
from tests.behaviours.world import NOW, World, shipped

ZONE = ZoneInfo("Asia/Shanghai")
FIRST, LAST = "2026-06-01", "2026-06-14"
WRONG_FROM, WRONG_TO = datetime(2026, 6, 1, tzinfo=ZONE), datetime(2026, 6, 15, tzinfo=ZONE)
YESTERDAY = NOW - timedelta(days=1)
POSTED_AT = NOW + 2 * QUIET
KM_MG = 26_900
"""mg for a kilometre, and as many millicredits, by the shipped figure."""


def factor(value: str, *, valid_to: datetime | None = WRONG_TO) -> ProposedVersion:
    """The figure of bus rides as it ought to have been."""
    found = next(each for each in shipped().factors if each.code == "BUS_EV_SZ")
    content = as_content(replace(found, valid_from=WRONG_FROM.date()))
    return ProposedVersion(
        kind=VersionKind.FACTOR,
        code="BUS_EV_SZ",
        content={**content, "value": value},
        valid_from=WRONG_FROM,
        valid_to=valid_to,
    )


def rule(code: str = "bus_trip", **changes: Any) -> ProposedVersion:
    """A shipped rule as it ought to have been."""
    found: RuleDefinition = next(each for each in shipped().rules if each.code == code)
    return ProposedVersion(
        kind=VersionKind.RULE,
        code=code,
        content=as_content(replace(found, **changes)),
        valid_from=WRONG_FROM,
        valid_to=WRONG_TO,
    )


def restatement(
    code: str = "bus-2026-06", behaviours: Sequence[str] = ("bus_trip",), **changes: Any
) -> ProposedVersion:
    content = {
        "code": code,
        "first_day": FIRST,
        "last_day": LAST,
        "behaviours": list(behaviours),
        "explanation_en": "The figure for bus rides was wrong.",
        "explanation_zh": "公交出行的减排数值有误。",
        **changes,
    }
    return ProposedVersion(kind=VersionKind.RESTATEMENT, code=code, content=content)


def approve(world: World, *items: ProposedVersion) -> None:
    put_in_force_at_once(world.programme_id, *items)


def put_in_force_at_once(programme_id: int, *items: ProposedVersion) -> None:
    """Put versions in force as two persons do, without asking for evidence and notice."""
    with transaction() as session:
        made = draft_change(
            session,
            programme_id=programme_id,
            proposed=read_items(items, ZONE),
            maker_person="maker",
            reason="test",
        )
        assert made.draft_id is not None
        change = lock_change(session, programme_id, made.draft_id)
        take_step(session, change, Step.SUBMIT, person="maker")
        put_in_force(session, change, read_draft(session, change), person="checker", reason=None)


def post(at: datetime = POSTED_AT) -> None:
    with clock_at(at):
        while continue_next_restatement():
            pass


def restate(world: World, *items: ProposedVersion, code: str = "bus-2026-06", **options: Any) -> None:
    """Approve corrected versions with a restatement, and post it."""
    approve(world, *items, restatement(code, **options))
    post()


def ride(
    world: World,
    km: str = "5",
    *,
    name: str | None = None,
    customer: str = "C1",
    at: datetime = YESTERDAY,
    revision: int = 0,
) -> Receipt:
    world.sent += 1
    reference = name or f"T{world.sent}"
    data: Mapping[str, object] = {"distance_km": km, "fare_medium": "qr", "ticket_reference": reference}
    return world.one("bus_trip", data, customer=customer, at=at, event_id=reference, revision=revision)


class Held(NamedTuple):
    """What a customer has, and what the last restatement posted."""

    available: int
    reduction: int


def held(session: Session, world: World, customer: str = "C1") -> Held:
    rows = session.execute(
        text("SELECT kind, sum(amount)::bigint FROM balance WHERE account_id = :id GROUP BY kind"),
        {"id": world.accounts[customer]},
    )
    found: dict[int, int] = {int(kind): int(amount) for kind, amount in rows}
    session.rollback()
    return Held(found.get(1, 0), found.get(5, 0))


def posted(session: Session, code: str = "bus-2026-06") -> dict[str, int]:
    """What a restatement posted, less what is zero."""
    found = session.scalar(
        text("SELECT posted FROM restatement_run JOIN version USING (version_id) WHERE code = :code"),
        {"code": code},
    )
    session.rollback()
    assert found is not None
    return {name: number for name, number in found.items() if number}


def counted(session: Session, world: World, period: str, customer: str = "C1") -> tuple[int, int, int] | None:
    """What an account's bus rides count for: awards, mg and millicredits of the only day, month or year."""
    rows = session.execute(
        text(
            "SELECT awards, reduction_mg, amount_millicredits FROM usage "
            "WHERE account_id = :id AND scope = 'bus_trip' AND period = :period AND awards > 0"
        ),
        {"id": world.accounts[customer], "period": period},
    ).all()
    session.rollback()
    assert len(rows) < 2
    return tuple(rows[0]) if rows else None
