"""Restatements: what they would post, and how far posting has come."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE backtest_run ADD COLUMN restatement JSONB;

CREATE TABLE restatement_run (
    version_id INTEGER NOT NULL,
    programme_id SMALLINT NOT NULL,
    approved_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    posted JSONB,
    CONSTRAINT pk_restatement_run PRIMARY KEY (version_id),
    CONSTRAINT ck_restatement_run_finished_has_posted CHECK ((finished_at IS NULL) = (posted IS NULL)),
    CONSTRAINT fk_restatement_run_version_id_version FOREIGN KEY(version_id) REFERENCES version (version_id),
    CONSTRAINT fk_restatement_run_programme_id_programme FOREIGN KEY(programme_id) REFERENCES programme (programme_id)
);
CREATE INDEX ix_restatement_run_open ON restatement_run (approved_at, version_id) WHERE finished_at IS NULL;

CREATE TABLE restatement_partition (
    version_id INTEGER NOT NULL,
    partition_no INTEGER NOT NULL,
    first_account_id BIGINT NOT NULL,
    last_account_id BIGINT NOT NULL,
    posted JSONB,
    CONSTRAINT pk_restatement_partition PRIMARY KEY (version_id, partition_no),
    CONSTRAINT fk_restatement_partition_version_id_restatement_run FOREIGN KEY(version_id) REFERENCES restatement_run (version_id)
);
CREATE INDEX ix_restatement_partition_open ON restatement_partition (version_id, partition_no) WHERE posted IS NULL;
"""
DOWN = """
DROP TABLE restatement_partition;
DROP TABLE restatement_run;
ALTER TABLE backtest_run DROP COLUMN restatement;
"""
BEFORE = "'back_test','burn_forecast','migration_matrix','price_and_stock_forecast','sample_cases','static_checks','trial_load'"
AFTER = BEFORE.replace("'sample_cases'", "'restatement','sample_cases'")
HISTORICAL = "'back_test','burn_forecast','migration_matrix','price_and_stock_forecast'"


def allow(kinds: str, historical: str) -> None:
    """Put the kinds of evidence into the CHECKs."""
    op.execute("ALTER TABLE change_evidence DROP CONSTRAINT ck_change_evidence_kind")
    op.execute("ALTER TABLE change_evidence DROP CONSTRAINT ck_change_evidence_history")
    op.execute(
        f"ALTER TABLE change_evidence ADD CONSTRAINT ck_change_evidence_kind CHECK (kind IN ({kinds}))"
    )
    op.execute(
        "ALTER TABLE change_evidence ADD CONSTRAINT ck_change_evidence_history "
        f"CHECK (result <> 'no_history_yet' OR kind IN ({historical}))"
    )


def upgrade() -> None:
    op.execute(UP)
    allow(AFTER, f"{HISTORICAL},'restatement'")


def downgrade() -> None:
    allow(BEFORE, HISTORICAL)
    op.execute(DOWN)
