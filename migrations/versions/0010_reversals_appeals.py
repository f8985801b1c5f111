"""Reversals claimed by identity, appeals, and the flow of adjustments."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE identity_reversal (
    event_hash BYTEA NOT NULL,
    reversal_hash BYTEA NOT NULL,
    CONSTRAINT pk_identity_reversal PRIMARY KEY (event_hash)
);

CREATE TABLE appeal (
    account_id BIGINT NOT NULL,
    appeal_no BIGINT NOT NULL,
    programme_id SMALLINT NOT NULL,
    event_hash BYTEA NOT NULL,
    event_seq BIGINT,
    disposition SMALLINT NOT NULL,
    filed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    text TEXT,
    attachments JSONB,
    proposal_no SMALLINT DEFAULT '0' NOT NULL,
    outcome TEXT,
    reason TEXT,
    amount_millicredits BIGINT DEFAULT '0' NOT NULL,
    reduction_mg BIGINT DEFAULT '0' NOT NULL,
    maker_person TEXT,
    checker_person TEXT,
    resolved_at TIMESTAMP WITH TIME ZONE,
    adjustment_seq BIGINT,
    CONSTRAINT pk_appeal PRIMARY KEY (account_id, appeal_no),
    CONSTRAINT uq_appeal_account_id_event_hash UNIQUE (account_id, event_hash),
    CONSTRAINT ck_appeal_outcome CHECK (outcome IN ('rejected','upheld','adjusted')),
    CONSTRAINT ck_appeal_four_eyes CHECK (maker_person <> checker_person),
    CONSTRAINT ck_appeal_outcome_is_made CHECK ((outcome IS NULL) = (maker_person IS NULL)),
    CONSTRAINT ck_appeal_resolved_has_outcome CHECK (resolved_at IS NULL OR outcome IS NOT NULL),
    CONSTRAINT ck_appeal_adjustment_is_checked CHECK (outcome IS DISTINCT FROM 'adjusted' OR resolved_at IS NULL
        OR checker_person IS NOT NULL AND adjustment_seq IS NOT NULL),
    CONSTRAINT ck_appeal_adjustment_gives CHECK (amount_millicredits >= 0 AND reduction_mg >= 0
        AND (outcome IS NOT DISTINCT FROM 'adjusted') = (amount_millicredits + reduction_mg > 0)),
    CONSTRAINT fk_appeal_programme_id_programme FOREIGN KEY(programme_id) REFERENCES programme (programme_id)
);
CREATE INDEX ix_appeal_programme_id_filed_at_account_id_appeal_no ON appeal (programme_id, filed_at, account_id, appeal_no);
CREATE INDEX ix_appeal_worded ON appeal (resolved_at) WHERE text IS NOT NULL OR reason IS NOT NULL;

-- Reversals and corrections are decided from now on; what was answered 21 is remembered no longer, and may be sent again.
DELETE FROM identity_undecided WHERE disposition = 21;
"""
MOVEMENTS = "16868609,33645826,50397697,67267333,167837955,184615782,201392897,335610215,352387431,369164655,369192705,503382376,503382632,520226156,536963332,553714024,570492009,671154538,671154794,671155306,671221098,687958529,687958530,687958532,688024069,838926701,838926957,855729665"
ADJUST = "1006726657,1006792197"
NUMBER = "((flow::int << 24) | (unit_id::int << 16) | (from_kind::int << 8) | to_kind::int)"


def allow(movements: str) -> None:
    """Put the chart's movements into the CHECK: added first without looking at what is there, then proven."""
    op.execute("ALTER TABLE entry DROP CONSTRAINT ck_entry_allowed_movement")
    op.execute(
        f"ALTER TABLE entry ADD CONSTRAINT ck_entry_allowed_movement CHECK ({NUMBER} = ANY (ARRAY[{movements}])) NOT VALID"
    )
    op.execute("ALTER TABLE entry VALIDATE CONSTRAINT ck_entry_allowed_movement")


def upgrade() -> None:
    op.execute(TABLES)
    allow(f"{MOVEMENTS},{ADJUST}")


def downgrade() -> None:
    allow(MOVEMENTS)
    op.execute("DROP TABLE appeal")
    op.execute("DROP TABLE identity_reversal")
