"""Back-tests, and past decisions that were run again."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE backtest_run (
    run_id UUID NOT NULL,
    programme_id SMALLINT NOT NULL,
    change_request_id INTEGER,
    draft JSONB NOT NULL,
    draft_hash BYTEA NOT NULL,
    first_day DATE NOT NULL,
    last_day DATE NOT NULL,
    state TEXT NOT NULL,
    requested_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    report JSONB,
    CONSTRAINT pk_backtest_run PRIMARY KEY (run_id),
    CONSTRAINT ck_backtest_run_state CHECK (state IN ('running','done','cancelled')),
    CONSTRAINT ck_backtest_run_done_has_report CHECK ((state = 'done') = (report IS NOT NULL)),
    CONSTRAINT ck_backtest_run_period CHECK (first_day <= last_day),
    CONSTRAINT fk_backtest_run_programme_id_programme FOREIGN KEY(programme_id) REFERENCES programme (programme_id),
    CONSTRAINT fk_backtest_run_change_request_id_change_request FOREIGN KEY(change_request_id) REFERENCES change_request (change_request_id)
);
CREATE INDEX ix_backtest_run_change_request_id ON backtest_run (change_request_id);
CREATE INDEX ix_backtest_run_open ON backtest_run (requested_at, run_id) WHERE state = 'running';

CREATE TABLE backtest_partition (
    run_id UUID NOT NULL,
    partition_no INTEGER NOT NULL,
    first_account_id BIGINT NOT NULL,
    last_account_id BIGINT NOT NULL,
    totals JSONB,
    CONSTRAINT pk_backtest_partition PRIMARY KEY (run_id, partition_no),
    CONSTRAINT fk_backtest_partition_run_id_backtest_run FOREIGN KEY(run_id) REFERENCES backtest_run (run_id)
);
CREATE INDEX ix_backtest_partition_open ON backtest_partition (run_id, partition_no) WHERE totals IS NULL;

CREATE TABLE backtest_account (
    run_id UUID NOT NULL,
    account_id BIGINT NOT NULL,
    events BIGINT NOT NULL,
    baseline_awarded BIGINT NOT NULL,
    baseline_millicredits BIGINT NOT NULL,
    baseline_reduction_mg BIGINT NOT NULL,
    draft_awarded BIGINT NOT NULL,
    draft_millicredits BIGINT NOT NULL,
    draft_reduction_mg BIGINT NOT NULL,
    CONSTRAINT pk_backtest_account PRIMARY KEY (run_id, account_id),
    CONSTRAINT fk_backtest_account_run_id_backtest_run FOREIGN KEY(run_id) REFERENCES backtest_run (run_id)
);

CREATE TABLE reexecution (
    account_id BIGINT NOT NULL,
    account_seq BIGINT NOT NULL,
    executed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    result TEXT NOT NULL,
    outcomes JSONB,
    CONSTRAINT pk_reexecution PRIMARY KEY (account_id, account_seq, executed_at),
    CONSTRAINT ck_reexecution_result CHECK (result IN ('same','differs','evidence_erased','not_judged')),
    CONSTRAINT ck_reexecution_differs_has_outcomes CHECK ((result = 'differs') = (outcomes IS NOT NULL))
);
CREATE INDEX ix_reexecution_differs ON reexecution (executed_at, account_id) WHERE result = 'differs';

CREATE TRIGGER reexecution_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON reexecution
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""
DOWN = """
DROP TABLE reexecution;
DROP TABLE backtest_account;
DROP TABLE backtest_partition;
DROP TABLE backtest_run;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
