"""The proof of budgets: what `carbonpoints.ledger.proofs` says of proofs holds for it."""

from __future__ import annotations

from carbonpoints.ledger.proof import Proof

BUDGETS = Proof(
    "budgets",
    "budgets gave out what awards drew and reversals did not give back, within their limits",
    "budget_slice",
    """
    WITH drawn AS (
        SELECT a.programme_id, d.business_date, key AS code, (value ->> 0)::bigint AS millicredits,
            (value ->> 1)::bigint AS microfen
        FROM decision d JOIN account a USING (account_id) CROSS JOIN LATERAL jsonb_each(d.trace -> 'budgets')
        WHERE NOT EXISTS (SELECT FROM decision r WHERE r.account_id = d.account_id
            AND r.kind = %(decision_reversal)s AND (r.trace ->> 'award_seq')::bigint = d.account_seq)
            AND NOT EXISTS (SELECT FROM decision r WHERE r.kind = %(decision_reversal)s
            AND (r.trace ->> 'home_id')::bigint = d.account_id AND (r.trace ->> 'event_seq')::bigint = d.account_seq)
        UNION ALL
        SELECT programme_id, business_date, code, -millicredits, -microfen FROM budget_burn JOIN budget_period USING
            (budget_period_id) WHERE business_date BETWEEN starts_on AND ends_on
    )
    SELECT NULL::bigint, format('budget %%s on %%s: awards drew %%s millicredits, %%s microfen more than slices gave',
        code, business_date, sum(millicredits), sum(microfen))
    FROM drawn GROUP BY programme_id, code, business_date HAVING sum(millicredits) <> 0 OR sum(microfen) <> 0
    UNION ALL
    SELECT NULL, format('budget %%s from %%s: its slices do not add up', code, starts_on)
    FROM budget_period p CROSS JOIN LATERAL (
        SELECT sum(used_millicredits) AS millicredits, sum(used_microfen) AS microfen,
            sum(share_millicredits) AS share_millicredits, sum(share_microfen) AS share_microfen
        FROM budget_slice s WHERE s.budget_period_id = p.budget_period_id
    ) AS s CROSS JOIN LATERAL (
        SELECT coalesce(sum(millicredits), 0) AS millicredits, coalesce(sum(microfen), 0) AS microfen
        FROM budget_burn b WHERE b.budget_period_id = p.budget_period_id
    ) AS b
    WHERE (s.millicredits, s.microfen) <> (b.millicredits, b.microfen)
        OR s.share_millicredits > greatest(limit_millicredits, s.millicredits)
        OR s.share_microfen > greatest(limit_microfen, s.microfen)
    """,
)
