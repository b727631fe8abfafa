"""What the terminal client knows: the player's builds by revision, warnings, the feed, the line. Pure."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from starwake.client import (
    Build,
    BuildState,
    Connected,
    Disconnected,
    DragonsInbound,
    Kind,
    Missed,
    Notice,
    Push,
    Upcoming,
)
from starwake.contracts import events

FEED_LINES = 200
"""Lines of the feed that are kept."""

FINISHED_KEPT = 500
"""Builds that are over and still known by their number; older ones are forgotten."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """A build under the short number by which the player speaks of it."""

    number: int
    build: Build


@dataclass(slots=True)
class PlayState:
    """Everything that is shown."""

    player: str
    kinds: dict[str, Kind] = field(default_factory=dict[str, Kind])
    tracked: dict[str, Tracked] = field(default_factory=dict[str, Tracked])
    warnings: dict[str, DragonsInbound] = field(default_factory=dict[str, DragonsInbound])
    feed: deque[tuple[datetime, str]] = field(default_factory=lambda: deque[tuple[datetime, str]](maxlen=FEED_LINES))
    line: Connected | Disconnected | None = None
    line_since: datetime | None = None
    numbers_given: int = 0

    # -- builds ----------------------------------------------------------------------------------------------------

    def see(self, build: Build) -> Tracked:
        """Take a build in, unless something newer is known of it already; what is known now."""
        known = self.tracked.get(build.id)
        if known is None:
            self.numbers_given += 1
            known = self.tracked[build.id] = Tracked(self.numbers_given, build)
            self._forget_finished()
        elif build.revision > known.build.revision:
            known = self.tracked[build.id] = Tracked(known.number, build)
        return known

    def known(self) -> dict[str, Build]:
        """What is known now of each build: to be handed to `see_all` with the list that is asked for next."""
        return {build_id: one.build for build_id, one in self.tracked.items()}

    def see_all(self, building: Iterable[Build], before: Mapping[str, Build]) -> None:
        """Take a fresh list of all that is being built; whatever else was being built when it was asked for is over.

        What was known `before` it was asked for is older than it, whatever its revision: a table that was restored from
        an older copy knows of fewer. What came since is newer, unless its revision says otherwise.
        """
        listed = {build.id: build for build in building}
        for one in self.active():
            if one.build.id not in listed and before.get(one.build.id) is one.build:
                del self.tracked[one.build.id]
        for build in listed.values():
            one = self.see(build)
            if before.get(build.id) is one.build:
                self.tracked[build.id] = Tracked(one.number, build)

    def _forget_finished(self) -> None:
        finished = [key for key, one in self.tracked.items() if one.build.state is not BuildState.BUILDING]
        for key in finished[:-FINISHED_KEPT]:
            del self.tracked[key]

    def active(self) -> list[Tracked]:
        """What is being built, next due first."""
        building = [one for one in self.tracked.values() if one.build.state is BuildState.BUILDING]
        return sorted(building, key=lambda one: (one.build.due_at, one.number))

    def numbered(self, number: int) -> Tracked | None:
        """The build with this number."""
        return next((one for one in self.tracked.values() if one.number == number), None)

    def sites(self) -> list[str]:
        """Every site seen so far."""
        return sorted({one.build.site for one in self.tracked.values()})

    def title(self, kind: str) -> str:
        """A kind as people call it."""
        known = self.kinds.get(kind)
        return kind if known is None else known.title

    # -- what comes in ---------------------------------------------------------------------------------------------

    def push(self, push: Push) -> None:
        """A push; data that does not fit its event is shown all the same, and changes nothing."""
        try:
            build = push.build
            inbound = push.data_as(DragonsInbound) if push.event == events.DRAGONS_INBOUND else None
        except msgspec.ValidationError:
            return
        if build is not None:
            self.see(build)
        if inbound is not None:
            self.warnings[inbound.event_id or ""] = inbound
        if push.event == events.DRAGONS_ARRIVED:
            self.warnings.pop(str(push.data.get("event_id", "")), None)

    def announced(self, event: Upcoming) -> None:
        """Something that is still to come: dragons are warned of, whether or not a warning was seen here."""
        event_id = str(event.data.get("event_id", event.id))
        if event.event == events.DRAGONS_ARRIVED and event_id not in self.warnings:
            left_s = (event.due_at - event.announced_at).total_seconds()
            self.warnings[event_id] = DragonsInbound(arrives_at=event.due_at, remaining_s=left_s, event_id=event_id)

    def notice(self, notice: Notice, now: datetime) -> None:
        """News of the line."""
        if not isinstance(notice, Missed):
            self.line, self.line_since = notice, now

    def current_warning(self, now: datetime) -> DragonsInbound | None:
        """The warning whose time comes next; those whose time has passed are dropped."""
        self.warnings = {key: one for key, one in self.warnings.items() if one.arrives_at > now}
        return min(self.warnings.values(), key=lambda one: one.arrives_at, default=None)
