"""What a page of the events to come costs does not grow with other players' events.

Revision: 0006
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.create_index(
        "world_event_upcoming",
        "world_event",
        ["player", "due_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'scheduled'"),
    )


def downgrade() -> None:
    op.drop_index("world_event_upcoming", table_name="world_event")
