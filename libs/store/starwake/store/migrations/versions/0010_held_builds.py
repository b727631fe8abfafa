"""How many builds are under way, of players who have many.

Revision: 0010
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.create_table(
        "held_builds",
        sa.Column("player", sa.Text(), nullable=False),
        sa.Column("builds", sa.Integer(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("player", name=op.f("held_builds_pkey")),
    )


def downgrade() -> None:
    op.drop_table("held_builds")
