"""Revocations: the table holds what NATS alone held, so that losing its store makes no revoked token count again.

Revision: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.create_table(
        "revocation",
        sa.Column("player", sa.Text(), nullable=False),
        sa.Column("revoked_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.PrimaryKeyConstraint("player", name=op.f("revocation_pkey")),
    )
    op.create_index("revocation_revoked", "revocation", ["revoked_at"], unique=False)


def downgrade() -> None:
    op.drop_table("revocation")
