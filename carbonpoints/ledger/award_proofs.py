"""Proofs about awards: what was given, restated, pending and under review. See `proofs`."""

from __future__ import annotations

from carbonpoints.ledger.proof import Proof

PENDING = Proof(
    "pending",
    "what is pending is the pending awards",
    "pending_award",
    """
    SELECT account_id, format('lot %%s: balance %%s, awards %%s', lot_no, coalesce(b.amount, 0),
        coalesce(p.amount, 0))
    FROM (SELECT account_id, lot_no, amount FROM balance WHERE kind = %(kind_pending)s) AS b
    FULL JOIN (
        SELECT account_id, lot_no, sum(amount) AS amount FROM pending_award GROUP BY account_id, lot_no
    ) AS p USING (account_id, lot_no)
    WHERE coalesce(b.amount, 0) <> coalesce(p.amount, 0)
    """,
)
REVIEWS = Proof(
    "reviews",
    "an account is under the review that its journal says is open, and nothing waits for one that has ended",
    "decision",
    """
    WITH review AS (
        SELECT account_id, trace, coalesce((trace ->> 'review_seq')::bigint, account_seq) AS review_seq
        FROM decision WHERE kind = %(decision_review)s
    ),
    open_one AS (
        SELECT account_id, review_seq, bool_or(trace ? 'event_seq') AS is_of_event FROM review
        GROUP BY account_id, review_seq HAVING NOT bool_or(trace ? 'review_seq')
    )
    SELECT account_id, format('account under review %%s, its journal %%s', a.review_seq, o.review_seq)
    FROM (SELECT account_id, review_seq FROM account WHERE review_seq <> 0) AS a
    FULL JOIN (SELECT account_id, review_seq FROM open_one WHERE NOT is_of_event) AS o USING (account_id)
    WHERE a.review_seq IS DISTINCT FROM o.review_seq
    UNION ALL
    SELECT account_id, format('award %%s waits for review %%s', p.award_seq, review_seq)
    FROM (SELECT account_id, review_seq, award_seq FROM pending_award WHERE review_seq <> 0) AS p
    FULL JOIN open_one o USING (account_id, review_seq)
    WHERE CASE WHEN p.award_seq IS NULL THEN false ELSE o.is_of_event IS NULL END
    """,
)
AWARDS = Proof(
    "awards",
    "every award, adjustment and restatement is what its entries credited and quantified",
    "decision",
    """
    WITH awarded AS (
        SELECT account_id, cause_seq AS account_seq,
            coalesce(sum(amount) FILTER (WHERE unit_id = %(unit_credit)s), 0) AS amount,
            coalesce(sum(amount) FILTER (WHERE unit_id = %(unit_mg_co2e)s), 0) AS reduction
        FROM entry WHERE flow IN (%(flow_earn)s, %(flow_earn_pending)s, %(flow_quantify)s, %(flow_adjust)s)
        GROUP BY account_id, cause_seq
    )
    SELECT account_id, CASE WHEN d.kind IN (%(decision_event)s, %(decision_adjustment)s, %(decision_restatement)s)
        THEN format('event %%s: decided %%s and %%s mg, entries %%s and %%s mg', account_seq,
            d.amount_millicredits, d.reduction_mg, coalesce(a.amount, 0), coalesce(a.reduction, 0))
        ELSE format('decision %%s is no event and has an award', account_seq) END
    FROM decision d FULL JOIN awarded a USING (account_id, account_seq)
    WHERE CASE WHEN d.kind IN (%(decision_event)s, %(decision_adjustment)s, %(decision_restatement)s)
        THEN d.amount_millicredits <> coalesce(a.amount, 0) OR d.reduction_mg <> coalesce(a.reduction, 0)
        ELSE a.amount IS NOT NULL END
    """,
)
RESTATEMENTS = Proof(
    "restatements",
    "every restatement moved what its award comes to beyond what it came to before",
    "decision",
    """
    SELECT account_id, format('restatement %%s: %%s to %%s, entries %%s mg and %%s credits', account_seq,
        trace -> 'before', trace -> 'after', m.reduction_mg, amount_millicredits)
    FROM decision d CROSS JOIN LATERAL (
        SELECT coalesce(sum(CASE flow WHEN %(flow_quantify)s THEN amount ELSE -amount END), 0) AS reduction_mg
        FROM entry e WHERE e.account_id = d.account_id AND e.cause_seq = d.account_seq
            AND e.account_seq BETWEEN d.account_seq + 1 AND d.account_seq + 4
            AND flow IN (%(flow_quantify)s, %(flow_reverse_reduction)s)
    ) AS m
    WHERE kind = %(decision_restatement)s AND NOT trace ? 'moved_to' AND (
        (trace -> 'before' ->> 0)::bigint + m.reduction_mg <> (trace -> 'after' ->> 0)::bigint
        OR (trace -> 'before' ->> 1)::bigint + amount_millicredits <> (trace -> 'after' ->> 1)::bigint
    )
    """,
)
