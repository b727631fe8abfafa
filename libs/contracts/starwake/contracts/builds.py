"""A build as the table holds it, and as a player sees it."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from starwake.contracts.ids import BuildId, PlayerId, Revision
from starwake.contracts.sites import shown_site
from starwake.contracts.times import to_rfc3339


class BuildState(StrEnum):
    """`building -> completed | cancelled`, nothing else; both ends are final."""

    BUILDING = "building"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class FollowUp(msgspec.Struct, frozen=True):
    """An event that is pushed right after `build.completed`; the game decides it when the order is given."""

    event: str
    data: dict[str, Any]


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """The `build` object of replies and pushes; times are RFC 3339, UTC, milliseconds."""

    id: str
    kind: str
    site: str
    state: str
    revision: int
    started_at: str
    due_at: str
    completed_at: str | None = None
    cancelled_at: str | None = None


class BuildRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the build table; (id, revision) names one content for ever, since each transition grows the revision."""

    id: BuildId
    player: PlayerId
    kind: str
    site: str
    state: BuildState
    revision: Revision
    started_at: datetime
    due_at: datetime
    completed_at: datetime | None = None
    cancelled_at: datetime | None = None
    follow_ups: tuple[FollowUp, ...] = ()
    trace: str | None = None
    """W3C `traceparent` of the order, so that the completion's trace can link to it days later."""
    duration_ms: int | None = None
    """How long it was to take when it was ordered, in milliseconds; None where it still takes that, never moved."""

    @property
    def duration(self) -> timedelta:
        """How long it was to take when it was ordered, whatever became of its kind and the time scale since."""
        return self.due_at - self.started_at if self.duration_ms is None else timedelta(milliseconds=self.duration_ms)

    def view(self) -> Build:
        """What the player sees of this row."""
        return Build(
            id=self.id,
            kind=self.kind,
            site=shown_site(self.site),
            state=self.state.value,
            revision=self.revision,
            started_at=to_rfc3339(self.started_at),
            due_at=to_rfc3339(self.due_at),
            completed_at=None if self.completed_at is None else to_rfc3339(self.completed_at),
            cancelled_at=None if self.cancelled_at is None else to_rfc3339(self.cancelled_at),
        )

    def completed(self) -> "BuildRecord":
        """This row as it will be once its time has come: completed at exactly `due_at`, one revision on.

        Not the moment of the UPDATE on purpose: in the universe the shipyard stood at `due_at` whether or not a
        server was up, and what follows from it (the next order on the site) starts then.
        """
        return msgspec.structs.replace(
            self, state=BuildState.COMPLETED, revision=Revision(self.revision + 1), completed_at=self.due_at
        )
