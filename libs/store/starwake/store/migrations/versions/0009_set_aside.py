"""What can never be told is set aside, with the reason, so that it holds up nobody behind it.

Revision: 0009
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    # Without a default: nothing is rewritten, and the version before, which does not know it, goes on trying.
    op.add_column("outbox", sa.Column("set_aside", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("outbox", "set_aside")
