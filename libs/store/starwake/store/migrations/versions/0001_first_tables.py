"""The first tables: build, inbox, outbox, queued_order, world_event, feed_mark.

Revision: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.create_table(
        "build",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("player", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.Column("due_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.Column("completed_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=True),
        sa.Column("cancelled_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=True),
        sa.Column("follow_ups", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("trace", sa.Text(), nullable=True),
        sa.CheckConstraint("(state = 'cancelled') = (cancelled_at IS NOT NULL)", name=op.f("build_cancelled_check")),
        sa.CheckConstraint("(state = 'completed') = (completed_at IS NOT NULL)", name=op.f("build_completed_check")),
        sa.CheckConstraint("player <> ''", name=op.f("build_player_check")),
        sa.CheckConstraint("state IN ('building', 'completed', 'cancelled')", name=op.f("build_state_check")),
        sa.CheckConstraint("due_at >= started_at", name=op.f("build_due_check")),
        sa.CheckConstraint("revision >= 1", name=op.f("build_revision_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("build_pkey")),
    )
    op.create_index(
        "build_due", "build", ["due_at", "id"], unique=False, postgresql_where=sa.text("state = 'building'")
    )
    op.create_index("build_newest", "build", ["player", sa.literal_column("id DESC")], unique=False)
    op.create_index(
        "build_recent", "build", ["player", "due_at"], unique=False, postgresql_where=sa.text("state = 'completed'")
    )
    op.create_index(
        "build_site_busy", "build", ["player", "site"], unique=True, postgresql_where=sa.text("state = 'building'")
    )
    op.create_index(
        "build_standing", "build", ["player", "kind"], unique=False, postgresql_where=sa.text("state = 'completed'")
    )
    op.create_table(
        "feed_mark",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stream", name=op.f("feed_mark_pkey")),
    )
    op.create_table(
        "inbox",
        sa.Column("player", sa.Text(), nullable=False),
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("player", "command_id", name=op.f("inbox_pkey")),
    )
    op.create_index("inbox_created", "inbox", ["created_at"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("source_kind", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("player", sa.Text(), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("tell_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("source_kind IN ('build', 'event')", name=op.f("outbox_source_kind_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
    )
    op.create_index("outbox_message_id_key", "outbox", ["message_id"], unique=True)
    op.create_index("outbox_source", "outbox", ["source_id", "id"], unique=False)
    op.create_table(
        "queued_order",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("player", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("follow_ups", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("trace", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("duration_ms >= 0", name=op.f("queued_order_duration_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("queued_order_pkey")),
    )
    op.create_index("queued_order_next", "queued_order", ["player", "site", "position"], unique=False)
    op.create_table(
        "world_event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("series", sa.Uuid(), nullable=False),
        sa.Column("player", sa.Text(), nullable=True),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("due_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("told_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(state = 'told') = (told_at IS NOT NULL)", name=op.f("world_event_told_check")),
        sa.CheckConstraint("state IN ('scheduled', 'told', 'cancelled')", name=op.f("world_event_state_check")),
        sa.CheckConstraint("revision >= 1", name=op.f("world_event_revision_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("world_event_pkey")),
    )
    op.create_index(
        "world_event_due",
        "world_event",
        ["due_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'scheduled'"),
    )
    op.create_index("world_event_series", "world_event", ["series"], unique=False)
    # The outbox is a queue: rows live for milliseconds, so vacuum goes by their number, not by a share of the table.
    op.execute(
        "ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,"
        " autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0,"
        " autovacuum_analyze_threshold = 100000, autovacuum_vacuum_cost_delay = 0)"
    )
    # Each build is updated once or twice in its life and never in place: keep its indexes lean as the table grows.
    op.execute("ALTER TABLE build SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05)")


def downgrade() -> None:
    op.drop_table("world_event")
    op.drop_table("queued_order")
    op.drop_table("outbox")
    op.drop_table("inbox")
    op.drop_table("feed_mark")
    op.drop_table("build")
