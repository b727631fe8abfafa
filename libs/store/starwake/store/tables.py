"""The tables, as SQLModel classes: the model that alembic's history has to end in.

Only the schema lives here. What runs against it at full speed are the named queries in `sql/`, through asyncpg.
Every moment is a `timestamptz(3)`: milliseconds, as the frames show it, so that a row and its frame never differ.
"""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlmodel import Field, SQLModel

_NAMES = {
    "ix": "%(table_name)s_%(column_0_N_name)s",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "pk": "%(table_name)s_pkey",
}

metadata = MetaData(naming_convention=_NAMES)


class _Table(SQLModel):
    metadata = metadata


def _moment(*, nullable: bool = False) -> Any:  # noqa: ANN401 - SQLModel's Field is typed so
    return Field(sa_type=TIMESTAMP(timezone=True, precision=3), nullable=nullable)  # pyright: ignore[reportArgumentType, reportCallIssue, reportUnknownVariableType]


class BuildTable(_Table, table=True):
    """One order of a player: `building -> completed | cancelled`, nothing else.

    Indexes, and what each is for:
        build_site_busy: one build a site; also the count of a player's builds at once.
        build_due: what is due, oldest first (sweep).
        build_waiting: what waits, in the order of the alarms' subjects (reconcile). `revision >= 1` holds for every
            row; only the query that asks for it may take this index: to a plan made while the table is empty it would
            look as good as any other for one player's builds, and then read all that wait.
        build_by_state: `build.list`, whatever it asks for: a page costs the same however much is of another state.
        build_cancelled: when a site became free.
        build_standing: what a player has finished, by kind (prerequisites).
        build_recent: rows completed ahead of their `due_at`, which readers still show as building.
    `duration_ms` is how long it was to take when it was ordered, kept once it is rescheduled: null is the same as
    `due_at - started_at`.
    None of the updates could be HOT: the row's state is in the partial indexes' predicates. So no fillfactor here.
    """

    __tablename__: ClassVar[str] = "build"  # pyright: ignore[reportIncompatibleUnannotatedOverride, reportIncompatibleVariableOverride]
    __table_args__ = (
        CheckConstraint("state IN ('building', 'completed', 'cancelled')", name="state"),
        CheckConstraint("revision >= 1", name="revision"),
        CheckConstraint("due_at >= started_at", name="due"),
        CheckConstraint("(state = 'completed') = (completed_at IS NOT NULL)", name="completed"),
        CheckConstraint("(state = 'cancelled') = (cancelled_at IS NOT NULL)", name="cancelled"),
        CheckConstraint("player <> ''", name="player"),
        Index("build_site_busy", "player", "site", unique=True, postgresql_where=text("state = 'building'")),
        Index("build_due", "due_at", "id", postgresql_where=text("state = 'building'")),
        Index("build_waiting", "id", postgresql_where=text("state = 'building' AND revision >= 1")),
        Index("build_by_state", "player", "state", text("id DESC")),
        Index("build_cancelled", "player", "cancelled_at", postgresql_where=text("state = 'cancelled'")),
        Index("build_standing", "player", "kind", postgresql_where=text("state = 'completed'")),
        Index("build_recent", "player", "due_at", postgresql_where=text("state = 'completed'")),
    )

    id: UUID = Field(sa_column=Column(Uuid(as_uuid=True), primary_key=True))
    player: str = Field(sa_column=Column(Text, nullable=False))
    kind: str = Field(sa_column=Column(Text, nullable=False))
    site: str = Field(sa_column=Column(Text, nullable=False))
    state: str = Field(sa_column=Column(Text, nullable=False))
    revision: int = Field(sa_column=Column(Integer, nullable=False))
    started_at: datetime = _moment()
    due_at: datetime = _moment()
    completed_at: datetime | None = _moment(nullable=True)
    cancelled_at: datetime | None = _moment(nullable=True)
    follow_ups: list[dict[str, Any]] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    trace: str | None = Field(default=None, sa_column=Column(Text))
    duration_ms: int | None = Field(default=None, sa_column=Column(BigInteger))


class InboxTable(_Table, table=True):
    """Which command ids were carried out, and their outcome: what makes a command safe to repeat. Kept 7 days.

    `player` is empty for what operators asked. `fingerprint` is a hash of the arguments, `outcome` the reply's body.
    """

    __tablename__: ClassVar[str] = "inbox"  # pyright: ignore[reportIncompatibleUnannotatedOverride, reportIncompatibleVariableOverride]
    __table_args__ = (Index("inbox_created", "created_at"),)

    player: str = Field(sa_column=Column(Text, primary_key=True))
    command_id: str = Field(sa_column=Column(Text, primary_key=True))
    command: str = Field(sa_column=Column(Text, nullable=False))
    fingerprint: bytes = Field()
    outcome: str = Field(sa_column=Column(Text, nullable=False))
    created_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=func.now()),
    )


class RefusalTable(_Table, table=True):
    """How often a command id was refused, kept as long as the inbox remembers what was carried out.

    A refusal is not an outcome: the same id may be tried again. But whoever tries has to know of all refusals before,
    so that an earlier attempt, late on its way, is not carried out after its player was told that it was refused.
    """

    __tablename__: ClassVar[str] = "refusal"  # pyright: ignore[reportIncompatibleUnannotatedOverride, reportIncompatibleVariableOverride]
    __table_args__ = (CheckConstraint("times >= 1", name="times"), Index("refusal_refused", "refused_at"))

    player: str = Field(sa_column=Column(Text, primary_key=True))
    command_id: str = Field(sa_column=Column(Text, primary_key=True))
    times: int = Field(sa_column=Column(Integer, nullable=False))
    refused_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=func.now()),
    )


class HeldBuildsTable(_Table, table=True):
    """How many builds a player has under way, of players who have many; no fewer than there are (`orders.sql`).

    `counted_at` is when they were counted; what orders did since is in `builds`, what came due since is not.
    """

    __tablename__: ClassVar[str] = "held_builds"  # pyright: ignore[reportIncompatibleUnannotatedOverride, reportIncompatibleVariableOverride]

    player: str = Field(sa_column=Column(Text, primary_key=True))
    builds: int = Field(sa_column=Column(Integer, nullable=False))
    counted_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class OutboxTable(_Table, table=True):
    """The pushes that wait to be published; a row is deleted once the stream holds it.

    `payload` is the stored body of the push, `tell_at` the moment before which it is not published, `player` null the
    feed that everybody has, `trace` the trace context that the push bears. Rows of one source are published in
    the order of `id`. `set_aside` says why the stream can never take a row (too large, say): it is not tried again.
    """

    __tablename__: ClassVar[str] = "outbox"  # pyright: ignore[reportIncompatibleUnannotatedOverride, reportIncompatibleVariableOverride]
    __table_args__ = (
        CheckConstraint("source_kind IN ('build', 'event')", name="source_kind"),
        Index("outbox_message_id_key", "message_id", unique=True),
        Index("outbox_source", "source_id", "id"),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    message_id: str = Field(sa_column=Column(Text, nullable=False))
    source_kind: str = Field(sa_column=Column(Text, nullable=False))
    source_id: UUID = Field(sa_column=Column(Uuid(as_uuid=True), nullable=False))
    revision: int = Field(sa_column=Column(Integer, nullable=False))
    player: str | None = Field(default=None, sa_column=Column(Text))
    payload: str = Field(sa_column=Column(Text, nullable=False))
    tell_at: datetime = _moment()
    created_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=func.now()),
    )
    trace: str | None = Field(default=None, sa_column=Column(Text))
    set_aside: str | None = Field(default=None, sa_column=Column(Text))


class QueuedOrderTable(_Table, table=True):
    """An order that waits for its site: started, at the `due_at` of the one before, by whoever completes that one.

    `id` becomes the build's id; orders of one site start in the order of `position`. `follow_ups` and `trace` are
    copied into the build. An order is queued only while the site's building row is locked (FOR NO KEY UPDATE), so
    the completing transaction has to look for the next order in a statement *after* its UPDATE: only that one's
    snapshot holds what was committed while the UPDATE waited for the lock.
    """

    __tablename__: ClassVar[str] = "queued_order"  # pyright: ignore[reportIncompatibleUnannotatedOverride, reportIncompatibleVariableOverride]
    __table_args__ = (
        CheckConstraint("duration_ms >= 0", name="duration"),
        Index("queued_order_next", "player", "site", "position"),
    )

    id: UUID = Field(sa_column=Column(Uuid(as_uuid=True), primary_key=True))
    position: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), nullable=False))
    player: str = Field(sa_column=Column(Text, nullable=False))
    site: str = Field(sa_column=Column(Text, nullable=False))
    kind: str = Field(sa_column=Column(Text, nullable=False))
    duration_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    follow_ups: list[dict[str, Any]] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    trace: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=func.now()),
    )


class WorldEventTable(_Table, table=True):
    """One push of an announcement, now or later; an announcement with warnings is several rows of one series.

    `scheduled -> told | cancelled`; `player` null is everybody. The row decides, as with builds.
    """

    __tablename__: ClassVar[str] = "world_event"  # pyright: ignore[reportIncompatibleUnannotatedOverride, reportIncompatibleVariableOverride]
    __table_args__ = (
        CheckConstraint("state IN ('scheduled', 'told', 'cancelled')", name="state"),
        CheckConstraint("revision >= 1", name="revision"),
        CheckConstraint("(state = 'told') = (told_at IS NOT NULL)", name="told"),
        Index("world_event_due", "due_at", "id", postgresql_where=text("state = 'scheduled'")),
        Index("world_event_waiting", "id", postgresql_where=text("state = 'scheduled' AND revision >= 1")),
        Index("world_event_series", "series"),
        Index("world_event_upcoming", "player", "due_at", "id", postgresql_where=text("state = 'scheduled'")),
    )

    id: UUID = Field(sa_column=Column(Uuid(as_uuid=True), primary_key=True))
    series: UUID = Field(sa_column=Column(Uuid(as_uuid=True), nullable=False))
    player: str | None = Field(default=None, sa_column=Column(Text))
    event: str = Field(sa_column=Column(Text, nullable=False))
    data: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    due_at: datetime = _moment()
    state: str = Field(sa_column=Column(Text, nullable=False))
    revision: int = Field(sa_column=Column(Integer, nullable=False))
    told_at: datetime | None = _moment(nullable=True)
    created_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=func.now()),
    )
    trace: str | None = Field(default=None, sa_column=Column(Text))


class FeedMarkTable(_Table, table=True):
    """The highest sequence ever published into each stream, and its epoch: a stream below it has gone backwards."""

    __tablename__: ClassVar[str] = "feed_mark"  # pyright: ignore[reportIncompatibleUnannotatedOverride, reportIncompatibleVariableOverride]

    stream: str = Field(sa_column=Column(Text, primary_key=True))
    epoch: str = Field(sa_column=Column(Text, nullable=False))
    last_seq: int = Field(sa_column=Column(BigInteger, nullable=False))


class RevocationTable(_Table, table=True):
    """Up to when a player's tokens no longer count; the stream REVOCATIONS is filled from here.

    `revocation_revoked` is for retention.
    """

    __tablename__: ClassVar[str] = "revocation"  # pyright: ignore[reportIncompatibleUnannotatedOverride, reportIncompatibleVariableOverride]
    __table_args__ = (Index("revocation_revoked", "revoked_at"),)

    player: str = Field(sa_column=Column(Text, primary_key=True))
    revoked_at: datetime = _moment()
