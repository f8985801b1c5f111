"""The life of a change request: steps, evidence, and four eyes over every maker."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UP = r"""
ALTER TABLE change_request
    ADD COLUMN starts_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN rolls_back_id INTEGER,
    ADD CONSTRAINT fk_change_request_rolls_back_id_change_request FOREIGN KEY(rolls_back_id) REFERENCES change_request (change_request_id),
    DROP CONSTRAINT ck_change_request_active_is_checked,
    ADD CONSTRAINT ck_change_request_active_is_checked CHECK (state NOT IN ('active','approved','scheduled','superseded') OR checker_person IS NOT NULL),
    DROP CONSTRAINT ck_change_request_state,
    ADD CONSTRAINT ck_change_request_state CHECK (state IN ('active','approved','draft','rejected','scheduled','submitted','superseded','withdrawn'));
CREATE INDEX ix_change_request_programme_id ON change_request (programme_id, change_request_id);
CREATE INDEX ix_version_change_request_id ON version (change_request_id);

CREATE TABLE change_step (
    change_request_id INTEGER NOT NULL,
    step_no INTEGER NOT NULL,
    step TEXT NOT NULL,
    from_state TEXT,
    to_state TEXT NOT NULL,
    person TEXT,
    reason TEXT,
    content_hash BYTEA,
    fields JSONB NOT NULL,
    request_id TEXT,
    taken_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_change_step PRIMARY KEY (change_request_id, step_no),
    CONSTRAINT ck_change_step_allowed_step CHECK ((coalesce(from_state, ''), step, to_state) IN (('','draft','draft'),('draft','edit','draft'),('submitted','edit','draft'),('draft','submit','submitted'),('draft','withdraw','withdrawn'),('submitted','withdraw','withdrawn'),('submitted','reject','rejected'),('submitted','agree','submitted'),('submitted','approve','approved'),('approved','schedule','scheduled'),('approved','activate','active'),('scheduled','activate','active'),('scheduled','supersede','superseded'),('active','supersede','superseded'))),
    CONSTRAINT ck_change_step_taken_by_somebody CHECK ((person IS NULL) = (step IN ('activate','schedule','supersede'))),
    CONSTRAINT ck_change_step_says_why CHECK (step NOT IN ('draft','edit','reject','withdraw') OR coalesce(reason, '') ~ '\S'),
    CONSTRAINT fk_change_step_change_request_id_change_request FOREIGN KEY(change_request_id) REFERENCES change_request (change_request_id)
);

CREATE TABLE change_evidence (
    change_request_id INTEGER NOT NULL,
    evidence_no INTEGER NOT NULL,
    kind TEXT NOT NULL,
    content_hash BYTEA NOT NULL,
    result TEXT NOT NULL,
    details JSONB NOT NULL,
    person TEXT,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_change_evidence PRIMARY KEY (change_request_id, evidence_no),
    CONSTRAINT ck_change_evidence_kind CHECK (kind IN ('back_test','burn_forecast','migration_matrix','price_and_stock_forecast','sample_cases','static_checks','trial_load')),
    CONSTRAINT ck_change_evidence_result CHECK (result IN ('failed','no_history_yet','passed','warning')),
    CONSTRAINT ck_change_evidence_history CHECK (result <> 'no_history_yet' OR kind IN ('back_test','burn_forecast','migration_matrix','price_and_stock_forecast')),
    CONSTRAINT fk_change_evidence_change_request_id_change_request FOREIGN KEY(change_request_id) REFERENCES change_request (change_request_id)
);

-- What was drafted and confirmed before went the same way without leaving steps; so did what a downgrade left.
INSERT INTO change_step
SELECT c.change_request_id, s.step_no, s.step, s.from_state, s.to_state, s.person, s.reason,
       (SELECT v.content_hash FROM version v WHERE v.change_request_id = c.change_request_id AND v.kind = 'proposal'
        ORDER BY v.version_no DESC LIMIT 1),
       '[]', NULL, s.taken_at
FROM change_request c CROSS JOIN LATERAL (VALUES
    (1, 'draft', NULL, 'draft', c.maker_person, coalesce(nullif(trim(c.reason), ''), 'not said'), c.created_at,
     CAST('{draft,submitted,approved,scheduled,active,superseded,rejected,withdrawn}' AS TEXT[])),
    (2, 'withdraw', 'draft', 'withdrawn', c.maker_person, 'not said', c.created_at, '{withdrawn}'),
    (2, 'submit', 'draft', 'submitted', c.maker_person, NULL, c.created_at,
     '{submitted,approved,scheduled,active,superseded,rejected}'),
    (3, 'reject', 'submitted', 'rejected', c.checker_person, 'not said', c.decided_at, '{rejected}'),
    (3, 'approve', 'submitted', 'approved', c.checker_person, NULL, c.decided_at,
     '{approved,scheduled,active,superseded}'),
    (4, 'schedule', 'approved', 'scheduled', NULL, NULL, c.decided_at, '{scheduled}'),
    (4, 'activate', 'approved', 'active', NULL, NULL, c.decided_at, '{active,superseded}'),
    (5, 'supersede', 'active', 'superseded', NULL, NULL, c.decided_at, '{superseded}')
) AS s(step_no, step, from_state, to_state, person, reason, taken_at, states)
WHERE c.state = ANY(s.states);
"""

GUARDS = """
CREATE FUNCTION guard_change_step() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    latest change_step;
    submitted_no INTEGER;
BEGIN
    -- One step after the other, whoever writes them.
    PERFORM FROM change_request WHERE change_request_id = NEW.change_request_id FOR NO KEY UPDATE;
    SELECT * INTO latest FROM change_step WHERE change_request_id = NEW.change_request_id
    ORDER BY step_no DESC LIMIT 1;
    IF NEW.step_no <> coalesce(latest.step_no, 0) + 1 OR NEW.from_state IS DISTINCT FROM latest.to_state THEN
        RAISE EXCEPTION 'a step of a change request begins where the last one led'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.step IN ('agree', 'approve', 'reject') THEN
        IF EXISTS (SELECT FROM change_step WHERE change_request_id = NEW.change_request_id
                   AND step IN ('draft', 'edit', 'submit') AND person = NEW.person) THEN
            RAISE EXCEPTION 'four eyes: % made this change and cannot decide on it', NEW.person
                USING ERRCODE = 'restrict_violation';
        END IF;
        SELECT max(step_no) INTO submitted_no FROM change_step
        WHERE change_request_id = NEW.change_request_id AND step = 'submit';
        IF NEW.step <> 'reject' AND EXISTS (
            SELECT FROM change_step WHERE change_request_id = NEW.change_request_id
            AND step = 'agree' AND person = NEW.person AND step_no > submitted_no) THEN
            RAISE EXCEPTION 'four eyes: % has agreed already', NEW.person USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER change_step_guard BEFORE INSERT ON change_step
    FOR EACH ROW EXECUTE FUNCTION guard_change_step();

CREATE FUNCTION guard_change_request() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state = 'draft' AND NEW.checker_person IS NULL THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'a change request begins as a draft' USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.change_request_id, NEW.programme_id, NEW.origin, NEW.reason, NEW.maker_person, NEW.created_at, NEW.rolls_back_id)
       IS DISTINCT FROM
       (OLD.change_request_id, OLD.programme_id, OLD.origin, OLD.reason, OLD.maker_person, OLD.created_at, OLD.rolls_back_id) THEN
        RAISE EXCEPTION 'what a change request began with stays' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state IS DISTINCT FROM (SELECT to_state FROM change_step
                                   WHERE change_request_id = NEW.change_request_id ORDER BY step_no DESC LIMIT 1)
       OR NEW.checker_person IS DISTINCT FROM (SELECT person FROM change_step
                                   WHERE change_request_id = NEW.change_request_id AND step IN ('approve', 'reject')) THEN
        RAISE EXCEPTION 'the state and the checker of a change request follow from its steps'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER change_request_guard BEFORE INSERT OR UPDATE ON change_request
    FOR EACH ROW EXECUTE FUNCTION guard_change_request();
CREATE TRIGGER change_request_kept BEFORE DELETE OR TRUNCATE ON change_request
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION guard_new_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.kind = 'proposal' OR EXISTS (
        SELECT FROM change_step WHERE change_request_id = NEW.change_request_id AND step = 'approve') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a version needs a change request that was approved' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER version_needs_approval BEFORE INSERT ON version
    FOR EACH ROW EXECUTE FUNCTION guard_new_version();
"""

APPEND_ONLY = ("change_step", "change_evidence")

DOWN = """
DROP TRIGGER version_needs_approval ON version;
DROP FUNCTION guard_new_version();
DROP TRIGGER change_request_kept ON change_request;
DROP TRIGGER change_request_guard ON change_request;
DROP FUNCTION guard_change_request();
DROP TABLE change_evidence;
DROP TABLE change_step;
DROP FUNCTION guard_change_step();
DROP INDEX ix_version_change_request_id;
DROP INDEX ix_change_request_programme_id;
ALTER TABLE change_request
    DROP CONSTRAINT ck_change_request_active_is_checked,
    ADD CONSTRAINT ck_change_request_active_is_checked CHECK (state <> 'active' OR checker_person IS NOT NULL),
    DROP CONSTRAINT ck_change_request_state,
    ADD CONSTRAINT ck_change_request_state CHECK (state IN ('draft','submitted','approved','scheduled','active','superseded','rejected','withdrawn')),
    DROP COLUMN rolls_back_id,
    DROP COLUMN starts_at;
"""


def upgrade() -> None:
    op.execute(UP)
    op.execute(GUARDS)
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    op.execute(DOWN)
