"""What else a decision used: shared caps and campaigns, beside rule, behaviour type and factors."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE rule_pin ADD COLUMN term_version_ids JSONB DEFAULT '[]'::jsonb NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE rule_pin DROP COLUMN term_version_ids")
