"""From when until when a bank account is linked, for acts that are reported late."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# What has ended so far was forgotten here and stays so: nobody knows any more to whom those acts were given.
UP = """
ALTER TABLE identity_bank_account ADD COLUMN valid_from TIMESTAMP WITH TIME ZONE, ADD COLUMN valid TSTZRANGE;
UPDATE identity_bank_account i SET valid_from = l.linked_at, valid = tstzrange(l.linked_at, NULL)
FROM linked_account l WHERE l.account_id = i.account_id AND l.identity_hash = i.identity_hash;
ALTER TABLE identity_bank_account ALTER COLUMN valid_from SET NOT NULL, ALTER COLUMN valid SET NOT NULL,
    DROP CONSTRAINT pk_identity_bank_account,
    ADD CONSTRAINT pk_identity_bank_account PRIMARY KEY (identity_hash, account_id, valid_from),
    ADD CONSTRAINT ex_identity_bank_account_one_owner
        EXCLUDE USING gist (identity_hash WITH =, valid WITH &&) WHERE (relation = 'owner'),
    ADD CONSTRAINT ex_identity_bank_account_one_link
        EXCLUDE USING gist (identity_hash WITH =, account_id WITH =, valid WITH &&);
DROP INDEX uq_identity_bank_account_owner;
"""

DOWN = """
DELETE FROM identity_bank_account WHERE NOT upper_inf(valid);
ALTER TABLE identity_bank_account DROP CONSTRAINT ex_identity_bank_account_one_owner,
    DROP CONSTRAINT ex_identity_bank_account_one_link,
    DROP CONSTRAINT pk_identity_bank_account,
    ADD CONSTRAINT pk_identity_bank_account PRIMARY KEY (identity_hash, account_id),
    DROP COLUMN valid_from, DROP COLUMN valid;
CREATE UNIQUE INDEX uq_identity_bank_account_owner ON identity_bank_account (identity_hash) WHERE relation = 'owner';
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
