"""An order that waits for its site."""

from datetime import datetime, timedelta

import msgspec

from starwake.contracts.builds import BuildRecord, BuildState, FollowUp
from starwake.contracts.ids import BuildId, PlayerId, Revision
from starwake.contracts.sites import shown_site
from starwake.contracts.times import to_rfc3339


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """The `queued` object of replies and pushes; `id` becomes the build's, `duration_s` is in seconds."""

    id: str
    kind: str
    site: str
    duration_s: float
    queued_at: str


class QueuedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of waiting orders; `duration_ms` is in milliseconds, as it was when the order was given."""

    id: BuildId
    player: PlayerId
    site: str
    kind: str
    duration_ms: int
    created_at: datetime
    follow_ups: tuple[FollowUp, ...] = ()
    trace: str | None = None

    def view(self) -> Queued:
        """What the player sees of this row."""
        return Queued(
            id=self.id,
            kind=self.kind,
            site=shown_site(self.site),
            duration_s=self.duration_ms / 1000,
            queued_at=to_rfc3339(self.created_at),
        )

    def started(self, at: datetime) -> BuildRecord:
        """The build that this order becomes when its site is free, at `at`."""
        return BuildRecord(
            id=self.id,
            player=self.player,
            kind=self.kind,
            site=self.site,
            state=BuildState.BUILDING,
            revision=Revision(1),
            started_at=at,
            due_at=at + timedelta(milliseconds=self.duration_ms),
            follow_ups=self.follow_ups,
            trace=self.trace,
        )
