"""The tables as a model: builds, orders that wait, the inbox, what is yet to be told; a method, a transaction."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from starwake.contracts.batches import Busy, Loaded, PlayerRows
from starwake.contracts.builds import BuildRecord, BuildState
from starwake.contracts.events import BUILD_STARTED, Notification, build_event, completion_events
from starwake.contracts.ids import CommandId, PlayerId
from starwake.contracts.queued import QueuedOrder
from starwake.contracts.subjects import AlarmKey
from starwake.game.built_in import BUILT_IN
from starwake.game.catalogue import load_catalogue
from starwake.game.decide import ACCEPTED, Decision, decide
from starwake.game.requests import Request
from starwake.game.rules import World
from starwake.store.outbox import OutboxRow

PLAYER = PlayerId("ada")
CATALOGUE = load_catalogue()
KINDS = frozenset(CATALOGUE.kinds)


@dataclass(frozen=True)
class Message:
    """A delivery of a due alarm."""

    sequence: int
    key: AlarmKey
    body: bytes


@dataclass
class Table:
    """What Postgres holds of one player. `outbox` by place; `waiting` in the order in which they were given."""

    builds: dict[str, BuildRecord] = field(default_factory=dict[str, BuildRecord])
    waiting: list[QueuedOrder] = field(default_factory=list[QueuedOrder])
    withdrawn: set[str] = field(default_factory=set[str])
    were_queued: set[str] = field(default_factory=set[str])
    outbox: dict[int, OutboxRow] = field(default_factory=dict[int, OutboxRow])
    places: Iterator[int] = field(default_factory=lambda: iter(range(1, 10**6)))
    _ids: Iterator[str] = field(
        default_factory=lambda: (f"00000000-0000-7000-8000-{number:012d}" for number in range(1, 10**6))
    )

    @property
    def pending(self) -> list[BuildRecord]:
        """What is under way."""
        return [build for build in self.builds.values() if build.state is BuildState.BUILDING]

    def order(self, command: str, now: datetime, **args: Any) -> Decision | None:  # noqa: ANN401 - the order's own
        """The command service's transaction; None where it refuses."""
        order = BUILT_IN[command]
        request = Request(PLAYER, CommandId(next(self._ids)), order, order.args(**args), b"")
        loaded = Loaded(now, {}, {PLAYER: self._picture(now)})
        decision = decide([request], loaded, World(CATALOGUE, {}, lambda: next(self._ids)), _raised)
        if decision.answers[0].outcome != ACCEPTED:
            return None
        writes = decision.writes
        for build in (*writes.started.values(), *writes.changed.values()):
            self._put(build)
        self.waiting = [order for order in self.waiting if order.id not in writes.unqueued]
        self.waiting += writes.queued.values()
        self.were_queued |= writes.queued.keys()
        self.withdrawn |= set(writes.unqueued) - writes.started.keys()
        for told in writes.outbox:
            self.tell(told.notification, told.source_id, told.tell_at, now)
        return decision

    def complete(self, build: BuildRecord, now: datetime) -> list[OutboxRow]:
        """The scheduler's UPDATE of one row; what stands in the outbox of it, in order."""
        self._put(build.completed())
        for notification in completion_events(self.builds[build.id]):
            self.tell(notification, build.id, build.due_at, now)
        return [row for row in self.outbox.values() if row.source_id == build.id]

    def start_next(self, completed: BuildRecord, now: datetime) -> BuildRecord | None:
        """The order that waits behind this build begins when it ended, if the site is free."""
        following = next((order for order in self.waiting if order.site == completed.site), None)
        return None if following is None else self._start(following, completed.due_at, now)

    def start_stranded(self, older_than: timedelta, now: datetime) -> list[BuildRecord]:
        """Orders that wait although their site is free begin when it became free, or when they were given."""
        started: list[BuildRecord] = []
        for site in sorted({order.site for order in self.waiting}):
            first = next(order for order in self.waiting if order.site == site)
            ends = [end for build in self.builds.values() if build.site == site and (end := ended_at(build))]
            if max([first.created_at, *ends]) >= now - older_than:
                continue
            build = self._start(first, max([first.created_at, *ends]), now)
            started += [build] if build else []
        return started

    def transitions_of(self, source: str) -> list[str]:
        """What has to be told of a row: the message ids behind its own, in order."""
        told = ["0"] if source in self.were_queued else []
        told += ["0.1"] if source in self.withdrawn else []
        build = self.builds.get(source)
        return told if build is None else [*told, *(str(revision) for revision in range(1, build.revision + 1))]

    def fates(self) -> list[str]:
        """The orders that were queued, once for each of: it waits, was withdrawn, became a build."""
        began = self.were_queued & self.builds.keys()
        return sorted([*(order.id for order in self.waiting), *self.withdrawn, *began])

    def tell(self, notification: Notification, source: str, tell_at: datetime, now: datetime) -> None:
        """A row for the outbox."""
        place = next(self.places)
        self.outbox[place] = OutboxRow(place, notification, tell_at, source, now)

    def _start(self, order: QueuedOrder, at: datetime, now: datetime) -> BuildRecord | None:
        if any(build.site == order.site for build in self.pending):
            return None
        build = order.started(at)
        self.waiting.remove(order)
        self._put(build)
        self.tell(build_event(BUILD_STARTED, at, build), build.id, at, now)
        return build

    def _put(self, build: BuildRecord) -> None:
        before = self.builds.get(build.id)
        assert before is None or before.state is BuildState.BUILDING, "both ends are final"
        assert build.revision == (1 if before is None else before.revision + 1)
        self.builds[build.id] = build

    def _picture(self, now: datetime) -> PlayerRows:
        rows = PlayerRows(by_id=dict(self.builds), standing=set(KINDS))
        for build in self.builds.values():
            if build.state is BuildState.COMPLETED and build.due_at > now:  # completed ahead: still busy
                rows.busy[build.site] = Busy(build.kind, build.due_at)
                rows.builds += 1
        for build in self.pending:
            rows.busy[build.site] = Busy(build.kind)
            rows.builds += 1
        for order in self.waiting:
            rows.queues.setdefault(order.site, []).append(order)
        return rows


def ended_at(build: BuildRecord) -> datetime | None:
    """When a build ended, None while it goes on."""
    return build.completed_at or build.cancelled_at


def overlaps(builds: Sequence[BuildRecord]) -> list[tuple[BuildRecord, BuildRecord]]:
    """Pairs of builds that stood on one site at the same time."""
    ordered = sorted(builds, key=lambda build: (build.site, build.started_at, ended_at(build) or build.due_at))
    return [
        (one, two)
        for one, two in pairwise(ordered)
        if one.site == two.site and ((end := ended_at(one)) is None or end > two.started_at)
    ]


def _raised(_request: Request, error: Exception) -> None:
    raise error
