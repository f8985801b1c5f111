"""Reviews of events and accounts, and the flow that sets aside what an award gave."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

UP = r"""
ALTER TABLE account ADD COLUMN review_seq BIGINT DEFAULT '0' NOT NULL;
ALTER TABLE pending_award
    ADD COLUMN review_seq BIGINT DEFAULT '0' NOT NULL,
    DROP CONSTRAINT pk_pending_award,
    ADD CONSTRAINT pk_pending_award PRIMARY KEY (account_id, award_seq, lot_no);

CREATE TABLE review (
    account_id BIGINT NOT NULL,
    review_seq BIGINT NOT NULL,
    programme_id SMALLINT NOT NULL,
    event_hash BYTEA,
    event_seq BIGINT,
    reason_code TEXT NOT NULL,
    opened_by TEXT NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    step_count SMALLINT NOT NULL,
    proposal_no SMALLINT DEFAULT '0' NOT NULL,
    proposed_outcome TEXT,
    maker_person TEXT,
    checker_person TEXT,
    outcome TEXT,
    ended_at TIMESTAMP WITH TIME ZONE,
    ended_seq BIGINT,
    CONSTRAINT pk_review PRIMARY KEY (account_id, review_seq),
    CONSTRAINT ck_review_about CHECK ((event_hash IS NULL) = (event_seq IS NULL)),
    CONSTRAINT ck_review_outcome CHECK (outcome IN ('released','forfeited','reversed')),
    CONSTRAINT ck_review_proposal CHECK (proposed_outcome IN ('released','forfeited') AND maker_person IS NOT NULL
        OR proposed_outcome IS NULL AND maker_person IS NULL),
    CONSTRAINT ck_review_four_eyes CHECK (checker_person <> maker_person AND checker_person <> opened_by),
    CONSTRAINT ck_review_ended CHECK ((ended_at IS NULL) = (outcome IS NULL)
        AND (ended_at IS NULL) = (ended_seq IS NULL)),
    CONSTRAINT ck_review_confirmed CHECK (CASE WHEN outcome IN ('released','forfeited')
        THEN checker_person IS NOT NULL AND outcome IS NOT DISTINCT FROM proposed_outcome
        ELSE checker_person IS NULL END),
    CONSTRAINT fk_review_programme_id_programme FOREIGN KEY(programme_id) REFERENCES programme (programme_id)
);
CREATE INDEX ix_review_programme_id_opened_at_account_id_review_seq ON review (programme_id, opened_at, account_id, review_seq);
CREATE UNIQUE INDEX uq_review_open ON review (account_id, event_hash) NULLS NOT DISTINCT WHERE ended_at IS NULL;

CREATE TABLE review_step (
    account_id BIGINT NOT NULL,
    review_seq BIGINT NOT NULL,
    step_no SMALLINT NOT NULL,
    step TEXT NOT NULL,
    outcome TEXT,
    person TEXT,
    text TEXT,
    taken_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_review_step PRIMARY KEY (account_id, review_seq, step_no),
    CONSTRAINT ck_review_step_step CHECK (step IN ('opened','proposed','returned','confirmed','reversed')),
    CONSTRAINT ck_review_step_outcome CHECK ((outcome IS NOT NULL) = (step IN ('proposed','confirmed'))),
    CONSTRAINT ck_review_step_taken_by_somebody CHECK ((person IS NULL) = (step = 'reversed')),
    CONSTRAINT ck_review_step_says_why CHECK (step IN ('confirmed','reversed') OR coalesce(text, '') ~ '\S'),
    CONSTRAINT fk_review_step_account_id_review_seq_review FOREIGN KEY(account_id, review_seq) REFERENCES review (account_id, review_seq)
);
CREATE TRIGGER review_step_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON review_step
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION guard_review_step() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    latest review_step;
BEGIN
    SELECT * INTO latest FROM review_step WHERE account_id = NEW.account_id AND review_seq = NEW.review_seq
    ORDER BY step_no DESC LIMIT 1;
    IF NEW.step_no <> coalesce(latest.step_no, 0) + 1 OR (NEW.step = 'opened') <> (NEW.step_no = 1)
       OR latest.step IN ('confirmed', 'reversed') THEN
        RAISE EXCEPTION 'steps of a review follow each other until it has ended' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.step IN ('returned', 'confirmed') THEN
        IF latest.step <> 'proposed' OR latest.outcome <> NEW.outcome THEN
            RAISE EXCEPTION 'what is decided on is what was proposed last' USING ERRCODE = 'restrict_violation';
        END IF;
        IF latest.person = NEW.person OR NEW.step = 'confirmed' AND EXISTS (
            SELECT FROM review_step WHERE account_id = NEW.account_id AND review_seq = NEW.review_seq
            AND step = 'opened' AND person = NEW.person) THEN
            RAISE EXCEPTION 'four eyes: % marked or proposed this', NEW.person USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER review_step_guard BEFORE INSERT ON review_step FOR EACH ROW EXECUTE FUNCTION guard_review_step();

CREATE FUNCTION guard_review() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.ended_at IS NOT NULL
       OR (NEW.account_id, NEW.review_seq, NEW.programme_id, NEW.event_hash, NEW.event_seq, NEW.reason_code,
           NEW.opened_by, NEW.opened_at)
       IS DISTINCT FROM (OLD.account_id, OLD.review_seq, OLD.programme_id, OLD.event_hash, OLD.event_seq,
           OLD.reason_code, OLD.opened_by, OLD.opened_at) THEN
        RAISE EXCEPTION 'what a review began with stays, and so does its end' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER review_guard BEFORE UPDATE ON review FOR EACH ROW EXECUTE FUNCTION guard_review();
CREATE TRIGGER review_kept BEFORE DELETE OR TRUNCATE ON review FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""
DOWN = """
DROP TABLE review_step;
DROP FUNCTION guard_review_step();
DROP TABLE review;
DROP FUNCTION guard_review();
ALTER TABLE pending_award
    DROP CONSTRAINT pk_pending_award,
    ADD CONSTRAINT pk_pending_award PRIMARY KEY (account_id, award_seq),
    DROP COLUMN review_seq;
ALTER TABLE account DROP COLUMN review_seq;
"""
BEFORE = "16868609,33645826,50397697,67267333,167837955,184615782,201392897,335610215,352387431,369164655,369192705,503382376,503382632,520226156,536963332,553714024,570492009,671154538,671154794,671155306,671221098,687958529,687958530,687958532,688024069,838926701,838926957,855729665,1006726657,1006792197"
AFTER = "16868609,33645826,50397697,67267333,83951874,167837955,184615782,201392897,335610215,352387431,369164655,369164911,369192705,503382376,503382632,520226156,536963332,553714024,570492009,671154538,671154794,671155306,671221098,687958529,687958530,687958532,688024069,838926701,838926957,855729665,1006726657,1006792197"
NUMBER = "((flow::int << 24) | (unit_id::int << 16) | (from_kind::int << 8) | to_kind::int)"


def allow(movements: str) -> None:
    """Put the chart's movements into the CHECK: added first without looking at what is there, then proven."""
    op.execute("ALTER TABLE entry DROP CONSTRAINT ck_entry_allowed_movement")
    op.execute(
        f"ALTER TABLE entry ADD CONSTRAINT ck_entry_allowed_movement CHECK ({NUMBER} = ANY (ARRAY[{movements}])) NOT VALID"
    )
    op.execute("ALTER TABLE entry VALIDATE CONSTRAINT ck_entry_allowed_movement")


def upgrade() -> None:
    op.execute(UP)
    allow(AFTER)


def downgrade() -> None:
    allow(BEFORE)
    op.execute(DOWN)
