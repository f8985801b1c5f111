"""Exchange of claims with other programmes: acts by key, their marks, imports and exports."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE identity_exchange_act (
    event_hash BYTEA NOT NULL,
    fingerprint BYTEA NOT NULL,
    revision SMALLINT NOT NULL,
    during TSTZRANGE NOT NULL,
    account_id BIGINT NOT NULL,
    programme_id SMALLINT NOT NULL,
    agreement TEXT NOT NULL,
    period DATE NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_identity_exchange_act PRIMARY KEY (event_hash, fingerprint, revision, during),
    CONSTRAINT ck_identity_exchange_act_during CHECK (NOT isempty(during))
);
CREATE INDEX ix_identity_exchange_act_fingerprint ON identity_exchange_act (programme_id, agreement, period, fingerprint);

CREATE TABLE identity_exchange_mark (
    fingerprint BYTEA NOT NULL,
    import_id UUID NOT NULL,
    line_no INTEGER NOT NULL,
    during TSTZRANGE NOT NULL,
    CONSTRAINT pk_identity_exchange_mark PRIMARY KEY (fingerprint, import_id, line_no),
    CONSTRAINT ck_identity_exchange_mark_during CHECK (NOT isempty(during))
);

CREATE TABLE exchange_import (
    import_id UUID NOT NULL,
    programme_id SMALLINT NOT NULL,
    agreement TEXT NOT NULL,
    period DATE NOT NULL,
    file_hash BYTEA NOT NULL,
    marks INTEGER NOT NULL,
    imported_at TIMESTAMP WITH TIME ZONE NOT NULL,
    person TEXT NOT NULL,
    CONSTRAINT pk_exchange_import PRIMARY KEY (import_id),
    CONSTRAINT uq_exchange_import_programme_id_agreement_period_file_hash UNIQUE (programme_id, agreement, period, file_hash),
    CONSTRAINT fk_exchange_import_programme_id_programme FOREIGN KEY(programme_id) REFERENCES programme (programme_id)
);

CREATE TABLE exchange_export (
    export_id UUID NOT NULL,
    programme_id SMALLINT NOT NULL,
    agreement TEXT NOT NULL,
    period DATE NOT NULL,
    reason TEXT NOT NULL,
    maker_person TEXT NOT NULL,
    requested_at TIMESTAMP WITH TIME ZONE NOT NULL,
    checker_person TEXT,
    approved_at TIMESTAMP WITH TIME ZONE,
    taken_by TEXT,
    taken_at TIMESTAMP WITH TIME ZONE,
    marks INTEGER,
    file_hash BYTEA,
    CONSTRAINT pk_exchange_export PRIMARY KEY (export_id),
    CONSTRAINT ck_exchange_export_four_eyes CHECK (maker_person <> checker_person),
    CONSTRAINT ck_exchange_export_approved_by_somebody CHECK ((checker_person IS NULL) = (approved_at IS NULL)),
    CONSTRAINT ck_exchange_export_taken_whole CHECK ((taken_at IS NULL) = (taken_by IS NULL)
        AND (taken_at IS NULL) = (marks IS NULL) AND (taken_at IS NULL) = (file_hash IS NULL)),
    CONSTRAINT ck_exchange_export_taken_is_approved CHECK (taken_at IS NULL OR approved_at IS NOT NULL),
    CONSTRAINT fk_exchange_export_programme_id_programme FOREIGN KEY(programme_id) REFERENCES programme (programme_id)
);
CREATE INDEX ix_exchange_export_programme_id_requested_at ON exchange_export (programme_id, requested_at);

CREATE TRIGGER identity_exchange_mark_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON identity_exchange_mark
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER exchange_import_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON exchange_import
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION guard_exchange_export() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    approval text[] := '{checker_person,approved_at}';
    taking text[] := '{taken_by,taken_at,marks,file_hash}';
BEGIN
    IF TG_OP = 'INSERT' AND NEW.checker_person IS NULL AND NEW.taken_at IS NULL THEN
        RETURN NEW;
    ELSIF TG_OP = 'UPDATE' AND OLD.checker_person IS NULL AND to_jsonb(NEW) - approval = to_jsonb(OLD) - approval THEN
        RETURN NEW;
    ELSIF TG_OP = 'UPDATE' AND OLD.checker_person IS NOT NULL AND OLD.taken_at IS NULL
        AND to_jsonb(NEW) - taking = to_jsonb(OLD) - taking THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'an export is asked for, approved and taken, each once, and never changed'
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER exchange_export_guard BEFORE INSERT OR UPDATE OR DELETE ON exchange_export
FOR EACH ROW EXECUTE FUNCTION guard_exchange_export();
CREATE TRIGGER exchange_export_no_truncate BEFORE TRUNCATE ON exchange_export
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""
DOWN = """
DROP TABLE exchange_export;
DROP FUNCTION guard_exchange_export();
DROP TABLE exchange_import;
DROP TABLE identity_exchange_mark;
DROP TABLE identity_exchange_act;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
