"""Segments of a received file, cut first and staged side by side."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE feed_job
    ADD COLUMN cut_bytes BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN cut_lines BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN segment_count INTEGER DEFAULT '0' NOT NULL,
    ADD COLUMN is_cut BOOLEAN DEFAULT false NOT NULL;

CREATE TABLE feed_segment (
    job_id UUID NOT NULL,
    segment_no INTEGER NOT NULL,
    from_byte BIGINT NOT NULL,
    to_byte BIGINT NOT NULL,
    lines_before BIGINT NOT NULL,
    record_count INTEGER NOT NULL,
    staged_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_feed_segment PRIMARY KEY (job_id, segment_no),
    CONSTRAINT fk_feed_segment_job_id_feed_job FOREIGN KEY(job_id) REFERENCES feed_job (job_id)
);
CREATE INDEX ix_feed_segment_open ON feed_segment (job_id, segment_no) WHERE staged_at IS NULL;

-- A file that was being staged goes on from where it stands; its chunks were numbered from 1.
UPDATE feed_job SET cut_bytes = staged_bytes, cut_lines = line_count,
    segment_count = (SELECT coalesce(max(chunk_no), 0) / 1000 FROM feed_chunk c WHERE c.job_id = feed_job.job_id)
WHERE state = 'received';
"""
DOWN = """
DROP TABLE feed_segment;
ALTER TABLE feed_job DROP COLUMN is_cut, DROP COLUMN segment_count, DROP COLUMN cut_lines, DROP COLUMN cut_bytes;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
