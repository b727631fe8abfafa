"""Traces: what is yet to be told, and what is announced, know the trace that they belong to.

Revision: 0003
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    # Without a default: nothing is rewritten, and the version before, which does not know them, leaves them empty.
    op.add_column("outbox", sa.Column("trace", sa.Text(), nullable=True))
    op.add_column("world_event", sa.Column("trace", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("world_event", "trace")
    op.drop_column("outbox", "trace")
