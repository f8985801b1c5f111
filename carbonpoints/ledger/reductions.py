"""The milligrams that stand of the awards of a time: what was posted, restated and adjusted, less what was taken back."""

from __future__ import annotations

from datetime import date

from sqlalchemy.orm import Session

from carbonpoints.core.db import raw_connection
from carbonpoints.ledger.chart import DecisionKind

# A reversal names the event that it takes back, and its home where the event was decided in another account.
STANDING = f"""
WITH events AS (
    SELECT d.account_id, d.account_seq, d.pin_id, d.reduction_mg
    FROM decision d JOIN account a ON a.account_id = d.account_id AND a.programme_id = %(programme_id)s
    WHERE d.kind = {DecisionKind.EVENT:d} AND d.local_date BETWEEN %(first_day)s AND %(last_day)s
),
taken AS (
    SELECT DISTINCT coalesce((trace ->> 'home_id')::bigint, account_id) AS account_id,
        (trace ->> 'event_seq')::bigint AS account_seq
    FROM decision WHERE kind = {DecisionKind.REVERSAL:d} AND trace ? 'event_seq'
),
restated AS (
    SELECT DISTINCT ON (account_id, trace -> 'event_seq') account_id,
        (trace ->> 'event_seq')::bigint AS account_seq, pin_id, (trace -> 'after' ->> 0)::bigint AS reduction_mg
    FROM decision WHERE kind = {DecisionKind.RESTATEMENT:d} AND trace ? 'event_seq'
    ORDER BY account_id, trace -> 'event_seq', account_seq DESC
),
adjusted AS (
    SELECT account_id, (trace ->> 'event_seq')::bigint AS account_seq, sum(reduction_mg) AS reduction_mg
    FROM decision WHERE kind = {DecisionKind.ADJUSTMENT:d} AND trace ? 'event_seq' AND reduction_mg > 0 GROUP BY 1, 2
)
SELECT coalesce(r.pin_id, e.pin_id) AS pin_id,
    sum(coalesce(r.reduction_mg, e.reduction_mg) + coalesce(g.reduction_mg, 0))::bigint
FROM events e LEFT JOIN restated r USING (account_id, account_seq) LEFT JOIN adjusted g USING (account_id, account_seq)
WHERE coalesce(r.reduction_mg, e.reduction_mg) + coalesce(g.reduction_mg, 0) > 0
    AND NOT EXISTS (SELECT FROM taken t WHERE t.account_id = e.account_id AND t.account_seq = e.account_seq)
GROUP BY 1
"""  # noqa: S608 - composed of constants of this module


def standing_reductions(
    session: Session, programme_id: int, *, first_day: date, last_day: date
) -> dict[int, int]:
    """Return what stands of a programme's awards of local dates, both included, in mg by pin."""
    parameters = {"programme_id": programme_id, "first_day": first_day, "last_day": last_day}
    return dict(raw_connection(session).execute(STANDING, parameters).fetchall())
