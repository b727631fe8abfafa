"""What a page of builds, or a look for a site's end, costs does not grow with a player's history.

Making the indexes holds up writes, for about two seconds a million builds.

Revision: 0005
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.create_index("build_by_state", "build", ["player", "state", sa.literal_column("id DESC")], unique=False)
    op.create_index(
        "build_cancelled",
        "build",
        ["player", "cancelled_at"],
        unique=False,
        postgresql_where=sa.text("state = 'cancelled'"),
    )
    # The version before lists by build_by_state then: right, but for one player it reads all that they ever built.
    op.drop_index("build_newest", table_name="build")


def downgrade() -> None:
    op.create_index("build_newest", "build", ["player", sa.literal_column("id DESC")], unique=False)
    op.drop_index("build_cancelled", table_name="build")
    op.drop_index("build_by_state", table_name="build")
