"""How often each order was refused: an attempt that nobody waits for any more must not be carried out after that.

Revision: 0002
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.create_table(
        "refusal",
        sa.Column("player", sa.Text(), nullable=False),
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("refused_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("times >= 1", name=op.f("refusal_times_check")),
        sa.PrimaryKeyConstraint("player", "command_id", name=op.f("refusal_pkey")),
    )
    op.create_index("refusal_refused", "refusal", ["refused_at"], unique=False)


def downgrade() -> None:
    op.drop_table("refusal")
