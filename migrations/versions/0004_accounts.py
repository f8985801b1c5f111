"""Holders, identifiers, linked accounts, consents, status changes, merges."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE consent (
    account_id BIGINT NOT NULL,
    account_seq BIGINT NOT NULL,
    source TEXT NOT NULL,
    action TEXT NOT NULL,
    covers_from TIMESTAMP WITH TIME ZONE,
    text_version TEXT NOT NULL,
    channel TEXT NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_consent PRIMARY KEY (account_id, account_seq),
    CONSTRAINT ck_consent_action CHECK (action IN ('given','withdrawn')),
    CONSTRAINT ck_consent_covers_from CHECK ((action = 'given') = (covers_from IS NOT NULL))
);
CREATE INDEX ix_consent_account_id_source_account_seq ON consent (account_id, source, account_seq);

CREATE TABLE holder (
    account_id BIGINT NOT NULL,
    born_on DATE,
    guardian_consent_at TIMESTAMP WITH TIME ZONE,
    deceased_on DATE,
    name TEXT,
    CONSTRAINT pk_holder PRIMARY KEY (account_id)
);

CREATE TABLE holder_identifier (
    account_id BIGINT NOT NULL,
    identifier_no INTEGER NOT NULL,
    scheme TEXT NOT NULL,
    identity_hash BYTEA NOT NULL,
    masked_value TEXT NOT NULL,
    valid_from TIMESTAMP WITH TIME ZONE NOT NULL,
    valid_to TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_holder_identifier PRIMARY KEY (account_id, identifier_no),
    CONSTRAINT ck_holder_identifier_scheme CHECK (scheme IN ('CUSTOMER_REF','USCC','LEI','ISIN','DEMO'))
);

CREATE TABLE identity_bank_account (
    identity_hash BYTEA NOT NULL,
    account_id BIGINT NOT NULL,
    relation TEXT NOT NULL,
    CONSTRAINT pk_identity_bank_account PRIMARY KEY (identity_hash, account_id),
    CONSTRAINT ck_identity_bank_account_relation CHECK (relation IN ('owner','authorised_user'))
);
CREATE UNIQUE INDEX uq_identity_bank_account_owner ON identity_bank_account (identity_hash) WHERE relation = 'owner';

CREATE TABLE identity_holder (
    identity_hash BYTEA NOT NULL,
    valid_from TIMESTAMP WITH TIME ZONE NOT NULL,
    valid TSTZRANGE NOT NULL,
    account_id BIGINT NOT NULL,
    CONSTRAINT pk_identity_holder PRIMARY KEY (identity_hash, valid_from),
    CONSTRAINT ex_identity_holder_one_at_a_time EXCLUDE USING gist (identity_hash WITH =, valid WITH &&)
);

CREATE TABLE linked_account (
    account_id BIGINT NOT NULL,
    identity_hash BYTEA NOT NULL,
    relation TEXT NOT NULL,
    masked_value TEXT NOT NULL,
    linked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    unlinked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_linked_account PRIMARY KEY (account_id, identity_hash),
    CONSTRAINT ck_linked_account_relation CHECK (relation IN ('owner','authorised_user'))
);

CREATE TABLE merge (
    account_id BIGINT NOT NULL,
    account_seq BIGINT NOT NULL,
    into_account_id BIGINT NOT NULL,
    reason TEXT NOT NULL,
    moved_identifiers JSONB NOT NULL,
    merged_at TIMESTAMP WITH TIME ZONE NOT NULL,
    unmerged_seq BIGINT,
    CONSTRAINT pk_merge PRIMARY KEY (account_id, account_seq)
);

CREATE TABLE status_change (
    account_id BIGINT NOT NULL,
    account_seq BIGINT NOT NULL,
    from_status TEXT NOT NULL,
    to_status TEXT NOT NULL,
    reason_code TEXT NOT NULL,
    reason TEXT NOT NULL,
    actor_role TEXT NOT NULL,
    actor_hash BYTEA NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_status_change PRIMARY KEY (account_id, account_seq)
);

"""

APPEND_ONLY = (
    "consent",
    "status_change",
)


def upgrade() -> None:
    op.execute(TABLES)
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:

    op.execute("DROP TABLE status_change")
    op.execute("DROP TABLE merge")
    op.execute("DROP TABLE linked_account")
    op.execute("DROP TABLE identity_holder")
    op.execute("DROP TABLE identity_bank_account")
    op.execute("DROP TABLE holder_identifier")
    op.execute("DROP TABLE holder")
    op.execute("DROP TABLE consent")
