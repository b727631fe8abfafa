"""What a player gets to see, typed: builds, kinds, pushes, and notices about the line. All are immutable.

Fields that this version does not know are ignored, so a newer server does no harm. Times are aware, in UTC.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from starwake.contracts.builds import BuildState

Payload = TypeVar("Payload")


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """One build of the player, as of `revision`; apply a build over another only if its revision is higher."""

    id: str
    kind: str
    site: str
    state: BuildState
    revision: int
    started_at: datetime
    due_at: datetime
    completed_at: datetime | None = None
    cancelled_at: datetime | None = None

    def progress(self, now: datetime) -> float:
        """How much of its time has passed at `now` (the server's clock), from 0.0 to 1.0."""
        whole = (self.due_at - self.started_at).total_seconds()
        passed = (now - self.started_at).total_seconds()
        return 1.0 if whole <= 0 else min(max(passed / whole, 0.0), 1.0)


class BuildPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of `build.list`, newest first; `next` is the `after` of the next page, None on the last."""

    builds: tuple[Build, ...]
    next: str | None = None


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """An order that waits for its site; `id` becomes the build's, `duration_s` is in seconds."""

    id: str
    kind: str
    site: str
    duration_s: float
    queued_at: datetime


class QueuedPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of `build.queued`, first come first; `next` is the `after` of the next page, None on the last."""

    queued: tuple[Queued, ...]
    next: int | None = None


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can be built; `duration_s` is in seconds and counts as it stands (time scale applied)."""

    kind: str
    title: str
    duration_s: float
    description: str = ""
    category: str | None = None
    requires: tuple[str, ...] = ()
    reschedulable: bool = False


class Star(msgspec.Struct, frozen=True, kw_only=True, rename={"spectral_class": "class"}):
    """A star that was discovered; the distance is in light years."""

    name: str
    spectral_class: str | None = None
    distance_ly: float | None = None


class StarsDiscovered(msgspec.Struct, frozen=True, kw_only=True):
    """The data of `stars.discovered`."""

    stars: tuple[Star, ...]
    site: str | None = None


class DragonsInbound(msgspec.Struct, frozen=True, kw_only=True):
    """The data of `dragons.inbound`: a warning, `remaining_s` seconds ahead of `arrives_at`."""

    arrives_at: datetime
    remaining_s: float
    event_id: str | None = None


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the server told without being asked.

    Attributes:
        event: what happened, past tense and dotted: `build.completed`.
        at: when it happened, by the server's clock.
        data: what goes with it, decoded JSON; `build` and `data_as` read it typed.
        seq: its place in its feed; grows, with gaps.
        feed: the player's own feed, or the one that everybody has.
        replayed: whether it was pushed while this client was away.
    """

    event: str
    at: datetime
    data: Mapping[str, Any]
    seq: int
    feed: Literal["player", "all"] = "player"
    replayed: bool = False

    @property
    def build(self) -> Build | None:
        """The build that the push speaks of, or None.

        Raises:
            msgspec.ValidationError: `data` holds a `build` that is none.
        """
        found = self.data.get("build")
        return None if found is None else msgspec.convert(found, Build)

    def data_as(self, payload: type[Payload]) -> Payload:
        """`data` as a msgspec Struct, a dataclass or a TypedDict, such as `DragonsInbound`.

        Raises:
            msgspec.ValidationError: the data does not fit.
        """
        return msgspec.convert(self.data, payload)


class Upcoming(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is announced to the player, or to all, and still to come at `due_at`."""

    id: str
    event: str
    due_at: datetime
    announced_at: datetime
    data: Mapping[str, Any]
    feed: Literal["player", "all"] = "player"


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of `event.list`, soonest first; `next` is the `after` of the next page, None on the last."""

    events: tuple[Upcoming, ...]
    next: str | None = None


class FeedPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of `feed.list`, oldest first; `next` is the `before` of the page of older ones, None on the last."""

    pushes: tuple[Push, ...]
    next: int | None = None


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """The line is up.

    Attributes:
        player: who the server says we are.
        session: the server's name for this connection.
        recovered: True if all that was missed follows now, False if it could not be replayed,
            None on a first connection.
    """

    player: str
    session: str
    recovered: bool | None


class Disconnected(msgspec.Struct, frozen=True, kw_only=True):
    """The line is down; the next try comes in `retry_in_s` seconds. `code` is None where no close code came."""

    code: int | None
    reason: str
    retry_in_s: float


class Missed(msgspec.Struct, frozen=True, kw_only=True):
    """Pushes are gone for good; a fresh `build_list` tells how things stand."""

    reason: str


Notice: TypeAlias = Connected | Disconnected | Missed
