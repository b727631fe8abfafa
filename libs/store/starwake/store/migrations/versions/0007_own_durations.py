"""Durations: a build that is rescheduled keeps how long it was to take when it was ordered.

Revision: 0007
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    # Without a default: nothing is rewritten. Empty means `due_at - started_at`, as the version before leaves it.
    op.add_column("build", sa.Column("duration_ms", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("build", "duration_ms")
