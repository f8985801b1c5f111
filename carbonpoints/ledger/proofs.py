"""The proofs of `flask ledger check`, as SQL.

Each proof is one query over everything; it returns the places where the books contradict themselves as
(account, what is wrong) and nothing where they do not. `examined` names the table whose rows it goes through.
Parameters name the chart's numbers: %(kind_held)s, %(flow_earn)s, %(unit_credit)s, %(decision_event)s.

A check often comes right after a load, when the tables' statistics are still those of empty ones. Two sums over many
rows are then taken for a handful and compared each with each. A FULL JOIN, with a condition that also holds where a
side is missing, is always done by hashing or sorting; so is a grouping.
"""

from __future__ import annotations

from carbonpoints.ledger.award_proofs import AWARDS, PENDING, RESTATEMENTS, REVIEWS
from carbonpoints.ledger.proof import Proof

BALANCES = Proof(
    "balances",
    "every balance is the sum of its entries",
    "entry",
    """
    WITH summed AS (
        SELECT account_id, unit_id, kind, lot_no, sum(amount) AS amount FROM side
        WHERE kind < %(first_house_kind)s GROUP BY account_id, unit_id, kind, lot_no
    )
    SELECT account_id, format('unit %%s kind %%s lot %%s: balance %%s, entries %%s',
        unit_id, kind, lot_no, coalesce(b.amount, 0), coalesce(s.amount, 0))
    FROM summed s FULL JOIN balance b USING (account_id, unit_id, kind, lot_no)
    WHERE coalesce(b.amount, 0) <> coalesce(s.amount, 0)
    """,
)
NEVER_NEGATIVE = Proof(
    "never_negative",
    "no balance was ever below zero",
    "entry",
    """
    WITH running AS (
        SELECT account_id, account_seq, unit_id, kind, lot_no,
            sum(amount) OVER (PARTITION BY account_id, unit_id, kind, lot_no ORDER BY account_seq) AS amount
        FROM side WHERE kind < %(first_house_kind)s
    )
    SELECT account_id, format('unit %%s kind %%s lot %%s: %%s after number %%s',
        unit_id, kind, lot_no, amount, account_seq)
    FROM running WHERE amount < 0
    """,
)
LOTS = Proof(
    "lots",
    "every entry of a lot kind has its lot, and every lot begins with its first entry",
    "lot",
    """
    WITH used AS (
        SELECT account_id, lot_no, min(account_seq) AS first_seq, min(unit_id) AS least, max(unit_id) AS most
        FROM entry WHERE lot_no <> 0 GROUP BY account_id, lot_no
    )
    SELECT account_id, format('lot %%s: created by %%s, first used by %%s', lot_no, l.created_seq, u.first_seq)
    FROM used u FULL JOIN lot l USING (account_id, lot_no)
    WHERE (l.created_seq = u.first_seq AND l.unit_id = u.least AND l.unit_id = u.most) IS NOT TRUE
    UNION ALL
    SELECT account_id, format('entry %%s: lot %%s', account_seq, lot_no) FROM entry
    WHERE (lot_no <> 0) <> (from_kind = ANY(%(lot_kinds)s) OR to_kind = ANY(%(lot_kinds)s))
    UNION ALL
    SELECT account_id, format('%%s lots, numbered up to %%s', count(*), max(lot_no)) FROM lot
    GROUP BY account_id HAVING count(*) <> max(lot_no) OR min(lot_no) <> 1
    """,
)
HOUSE = Proof(
    "house",
    "what the house issued is what customers have and what ended; passing kinds are empty",
    "entry",
    """
    WITH summed AS (
        SELECT account_id, unit_id, kind, sum(amount) AS amount FROM side
        WHERE kind >= %(first_house_kind)s GROUP BY account_id, unit_id, kind
    ),
    customers AS (SELECT unit_id, sum(amount) AS amount FROM balance GROUP BY unit_id),
    house AS (SELECT unit_id, sum(amount) AS amount FROM summed GROUP BY unit_id)
    SELECT NULL::bigint, format('unit %%s: customers %%s, house %%s', unit_id, c.amount, h.amount)
    FROM customers c FULL JOIN house h USING (unit_id)
    WHERE coalesce(c.amount, 0) + coalesce(h.amount, 0) <> 0
    UNION ALL
    SELECT account_id, format('%%s carried into a grace and not out of it', amount) FROM summed
    WHERE kind = %(kind_carried)s AND amount <> 0
    """,
)
HOLDS = Proof(
    "holds",
    "every hold has open what was held and neither captured nor released, and that is what is held",
    "hold",
    """
    WITH used AS (
        SELECT e.account_id, coalesce((d.trace ->> 'hold_seq')::bigint, d.account_seq) AS hold_seq,
            sum(amount) FILTER (WHERE flow = %(flow_hold)s) AS held,
            sum(amount) FILTER (WHERE flow <> %(flow_hold)s) AS ended
        FROM entry e JOIN decision d ON d.account_id = e.account_id AND d.account_seq = e.cause_seq
        WHERE flow IN (%(flow_hold)s, %(flow_capture)s, %(flow_release)s) GROUP BY 1, 2
    )
    SELECT account_id, format('hold %%s: %%s of %%s open, entries %%s held, %%s ended',
        hold_seq, h.open_amount, h.amount, u.held, u.ended)
    FROM used u FULL JOIN hold h USING (account_id, hold_seq)
    WHERE (h.amount = u.held AND h.open_amount = u.held - coalesce(u.ended, 0)) IS NOT TRUE
    UNION ALL
    SELECT account_id, format('balance %%s, holds %%s', coalesce(b.amount, 0), coalesce(h.amount, 0))
    FROM (
        SELECT account_id, sum(amount) AS amount FROM balance WHERE kind = %(kind_held)s GROUP BY account_id
    ) AS b FULL JOIN (
        SELECT account_id, sum(open_amount) AS amount FROM hold GROUP BY account_id
    ) AS h USING (account_id)
    WHERE coalesce(b.amount, 0) <> coalesce(h.amount, 0)
    """,
)
REFUNDS = Proof(
    "refunds",
    "no capture was given back more than once",
    "hold",
    """
    WITH used AS (
        SELECT e.account_id, coalesce((d.trace ->> 'capture_seq')::bigint, d.account_seq) AS capture_seq, e.lot_no,
            sum(CASE flow WHEN %(flow_capture)s THEN amount ELSE -amount END) AS amount
        FROM entry e JOIN decision d ON d.account_id = e.account_id AND d.account_seq = e.cause_seq
        WHERE flow IN (%(flow_capture)s, %(flow_refund)s) GROUP BY 1, 2, 3
    )
    SELECT account_id, format('capture %%s: %%s too much given back to lot %%s', capture_seq, -amount, lot_no)
    FROM used WHERE amount < 0
    """,
)
CLAWBACK = Proof(
    "clawback",
    "what is due is what reversals charged and nothing settled or moved",
    "balance",
    """
    WITH contra AS (
        SELECT account_id, -sum(amount) AS amount FROM side
        WHERE kind = %(kind_clawback_contra)s GROUP BY account_id
    ),
    moved AS (
        SELECT account_id, sum(CASE to_kind WHEN %(kind_clawback_due)s THEN amount ELSE -amount END) AS amount
        FROM entry WHERE flow IN (%(flow_transfer_in)s, %(flow_transfer_out)s)
            AND %(kind_clawback_due)s IN (from_kind, to_kind)
        GROUP BY account_id
    ),
    settled AS (
        SELECT account_id, sum(amount) FILTER (WHERE flow = %(flow_settle_clawback)s) AS taken,
            sum(amount) FILTER (WHERE flow = %(flow_discharge_clawback)s) AS discharged
        FROM entry WHERE flow IN (%(flow_settle_clawback)s, %(flow_discharge_clawback)s) GROUP BY account_id
    ),
    due AS (SELECT account_id, amount FROM balance WHERE kind = %(kind_clawback_due)s)
    SELECT account_id, format('due %%s, charged and open %%s', d.amount, c.amount)
    FROM contra c FULL JOIN due d USING (account_id) FULL JOIN moved m USING (account_id)
    WHERE coalesce(d.amount, 0) <> coalesce(c.amount, 0) + coalesce(m.amount, 0)
    UNION ALL
    SELECT account_id, format('settled %%s, discharged %%s', taken, discharged) FROM settled
    WHERE taken IS DISTINCT FROM discharged
    """,
)
NUMBERING = Proof(
    "numbering",
    "an account's decisions and entries together bear the numbers 1 to its last, each once",
    "decision",
    """
    WITH numbered AS (
        SELECT account_id, sum(n) AS n, min(least) AS least, max(most) AS most, max(booked_at) AS booked_at FROM (
            SELECT account_id, count(*) AS n, min(account_seq) AS least, max(account_seq) AS most,
                max(booked_at) AS booked_at
            FROM decision GROUP BY account_id
            UNION ALL
            SELECT account_id, count(*), min(account_seq), max(account_seq), NULL FROM entry GROUP BY account_id
        ) AS one GROUP BY account_id
    )
    SELECT account_id, format('last number %%s, %%s rows numbered %%s to %%s', a.last_seq, n.n, n.least, n.most)
    FROM account a FULL JOIN numbered n USING (account_id)
    WHERE (a.last_seq = 0 AND n.n IS NULL
        OR a.last_seq = n.n AND a.last_seq = n.most AND n.least = 1 AND a.last_booked_at = n.booked_at) IS NOT TRUE
    UNION ALL
    SELECT account_id, format('number %%s is a decision and an entry', account_seq)
    FROM decision JOIN entry USING (account_id, account_seq)
    """,
)
CAUSES = Proof(
    "causes",
    "every entry follows the decision that caused it, booked at its instant",
    "entry",
    """
    WITH caused AS (
        SELECT account_id, cause_seq, count(*) AS n, max(account_seq) AS last, min(booked_at) AS least,
            max(booked_at) AS most, min(business_date) AS first_date, max(business_date) AS last_date
        FROM entry GROUP BY account_id, cause_seq
    )
    SELECT c.account_id, format('cause %%s: %%s entries up to %%s, booked %%s to %%s',
        c.cause_seq, c.n, c.last, c.least, c.most)
    FROM caused c FULL JOIN decision d ON d.account_id = c.account_id AND d.account_seq = c.cause_seq
    WHERE CASE WHEN c.n IS NULL THEN false ELSE (
        c.last - c.cause_seq = c.n AND c.least = d.booked_at AND c.most = d.booked_at
        AND c.first_date = d.business_date AND c.last_date = d.business_date
    ) IS NOT TRUE END
    """,
)
TIMES = Proof(
    "times",
    "booking time never runs backwards inside an account",
    "decision",
    """
    SELECT account_id, format('number %%s is booked before the one it follows', account_seq) FROM (
        SELECT account_id, account_seq, booked_at,
            lag(booked_at) OVER (PARTITION BY account_id ORDER BY account_seq) AS before
        FROM decision
    ) AS ordered WHERE booked_at < before
    """,
)
SNAPSHOTS = Proof(
    "snapshots",
    "every snapshot is the one before and the entries since",
    "balance_snapshot",
    """
    WITH stretch AS (
        SELECT account_id, account_seq, booked_at, balances,
            lag(account_seq, 1, 0::bigint) OVER past AS since, lag(balances) OVER past AS before
        FROM balance_snapshot WINDOW past AS (PARTITION BY account_id ORDER BY account_seq)
    ),
    part AS (
        SELECT account_id, account_seq, item, 1 AS sign FROM stretch, jsonb_array_elements(balances) AS item
        UNION ALL
        SELECT account_id, account_seq, item, -1 FROM stretch, jsonb_array_elements(before) AS item
    ),
    side AS (
        SELECT account_id, account_seq, (item ->> 0)::int AS unit_id, (item ->> 1)::int AS kind,
            (item ->> 2)::int AS lot_no, sign * (item ->> 3)::bigint AS amount
        FROM part
        UNION ALL
        SELECT s.account_id, s.account_seq, e.unit_id, v.kind, e.lot_no, v.amount
        FROM stretch s
        JOIN entry e ON e.account_id = s.account_id AND e.account_seq > s.since AND e.account_seq <= s.account_seq
        CROSS JOIN LATERAL (VALUES (e.from_kind, e.amount), (e.to_kind, -e.amount)) AS v (kind, amount)
        WHERE v.kind < %(first_house_kind)s
    )
    SELECT account_id, format('snapshot %%s: unit %%s kind %%s lot %%s differs by %%s', account_seq, unit_id, kind,
        lot_no, sum(amount))
    FROM side GROUP BY account_id, account_seq, unit_id, kind, lot_no HAVING sum(amount) <> 0
    UNION ALL
    SELECT s.account_id, format('snapshot %%s: booked %%s, its row %%s', s.account_seq, s.booked_at, d.booked_at)
    FROM balance_snapshot s
    LEFT JOIN LATERAL (
        SELECT booked_at FROM decision WHERE account_id = s.account_id AND account_seq <= s.account_seq
        ORDER BY account_seq DESC LIMIT 1
    ) AS d ON true
    WHERE s.booked_at IS DISTINCT FROM d.booked_at
    """,
)
TRANSFERS = Proof(
    "transfers",
    "what left an account for another has arrived there, or its message waits in the outbox",
    "transfer_leg",
    """
    WITH moved AS (
        SELECT account_id, cause_seq AS decision_seq, CASE flow WHEN %(flow_transfer_out)s THEN 'out' ELSE 'in' END
            AS direction, sum(amount) AS amount
        FROM entry WHERE flow IN (%(flow_transfer_out)s, %(flow_transfer_in)s) GROUP BY 1, 2, 3
    ),
    leg AS (
        SELECT account_id, transfer_id, decision_seq, direction, counterpart_account_id, parcels,
            (SELECT sum((parcel ->> 'amount')::bigint) FROM jsonb_array_elements(parcels) AS parcel) AS amount
        FROM transfer_leg
    )
    SELECT account_id, format('decision %%s: %%s moved %%s, parcels %%s', decision_seq, direction, m.amount, l.amount)
    FROM moved m FULL JOIN leg l USING (account_id, decision_seq, direction)
    WHERE m.amount IS DISTINCT FROM l.amount
    UNION ALL
    SELECT * FROM (
        SELECT coalesce(o.account_id, i.account_id), CASE
            WHEN o.account_id IS NULL AND i.account_id IS NOT NULL
            THEN format('transfer %%s arrived and never left %%s', i.transfer_id, i.counterpart_account_id)
            WHEN o.parcels IS DISTINCT FROM i.parcels AND m.account_id IS NULL
            THEN format('transfer %%s to %%s has neither arrived nor a message', o.transfer_id,
                o.counterpart_account_id)
            END AS detail
        FROM (SELECT * FROM leg WHERE direction = 'out') AS o
        FULL JOIN (SELECT * FROM leg WHERE direction = 'in') AS i ON i.account_id = o.counterpart_account_id
            AND i.transfer_id = o.transfer_id AND i.counterpart_account_id = o.account_id
        FULL JOIN (
            SELECT account_id, account_seq FROM outbox_message
            WHERE topic = 'ledger.transfer_in' AND delivered_at IS NULL
        ) AS m ON m.account_id = o.account_id AND m.account_seq = o.decision_seq
    ) AS moved WHERE detail IS NOT NULL
    """,
)

PROOFS = (
    NUMBERING,
    CAUSES,
    TIMES,
    BALANCES,
    NEVER_NEGATIVE,
    LOTS,
    AWARDS,
    RESTATEMENTS,
    HOUSE,
    HOLDS,
    REFUNDS,
    PENDING,
    REVIEWS,
    CLAWBACK,
    TRANSFERS,
    SNAPSHOTS,
)
