"""PURE: what a player may do now. Each rule answers with an `Outcome`, or raises `Refusal`.

A `Player` is a picture of the rows that an order needs, taken under locks at `now`. A rule never changes it;
`apply` does, once the order is accepted, so that the next order of the same batch is judged by what this one did.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

import msgspec

from starwake.contracts.builds import BuildRecord, BuildState, FollowUp
from starwake.contracts.events import BUILD_CANCELLED, BUILD_RESCHEDULED, BUILD_STARTED
from starwake.contracts.follow_ups import checked_follow_ups
from starwake.contracts.ids import BuildId, PlayerId, Revision, is_uuid
from starwake.contracts.queued import QueuedOrder
from starwake.contracts.reasons import ErrorCode, Refusal
from starwake.contracts.sites import normal_site
from starwake.contracts.times import LATEST, from_rfc3339, to_rfc3339, truncate
from starwake.game.catalogue import Catalogue, Kind

Completion = Callable[[BuildRecord], Iterable[FollowUp]]
"""What the completion of a kind pushes besides `build.completed`; decided when the build starts."""


_VOWELS = frozenset("AEIOUaeiou")


class Transition(NamedTuple):
    """A build as it is after an order, the event that tells of it, and when that happened."""

    build: BuildRecord
    event: str
    at: datetime


class Outcome(msgspec.Struct, frozen=True):
    """What an accepted order does: the reply's `result`, and the rows' changes."""

    result: Mapping[str, Any]
    transitions: tuple[Transition, ...] = ()
    queued: tuple[QueuedOrder, ...] = ()
    started_from_queue: tuple[QueuedOrder, ...] = ()
    unqueued: tuple[QueuedOrder, ...] = ()


class World(NamedTuple):
    """What all players have in common."""

    catalogue: Catalogue
    completions: Mapping[str, Completion]
    new_id: Callable[[], str]


class Rule(Protocol):
    """An order's rule, and what it declares; see `starwake.game.declare.Order`."""

    @property
    def decide(self) -> Callable[[Any, "Player"], Outcome]:
        """The rule."""
        ...

    @property
    def kind(self) -> str | None:
        """What it builds."""
        ...

    @property
    def stands(self) -> tuple[str, ...]:
        """What it asks about besides."""
        ...

    @property
    def queue(self) -> bool:
        """Whether it looks at what waits."""
        ...


def kinds_asked(order: Rule, args: Any, catalogue: Catalogue) -> tuple[str, ...]:  # noqa: ANN401 - the order's own Struct
    """The kinds about which an order may ask whether they stand."""
    name = order.kind or getattr(args, "kind", None)
    kind = catalogue.get(name) if isinstance(name, str) else None
    return (kind.requires if kind is not None else ()) + order.stands


class Rows(Protocol):
    """What the table says of one player; see `starwake.contracts.batches.PlayerRows`."""

    builds: int
    busy: dict[str, Any]
    by_id: dict[str, BuildRecord]
    standing: set[str]
    queues: dict[str, list[QueuedOrder]]
    sites: set[str] | None
    ids: set[str] | None


class UnreadError(LookupError):
    """A rule asks for a site or a build that nobody has read: it is not in the order's arguments.

    The order is judged again once that is read; a rule that catches this has itself to blame.
    """

    def __init__(self, *, site: str | None = None, build_id: str | None = None) -> None:
        self.site, self.build_id = site, build_id
        what = f"the site {site!r}" if site is not None else f"the build {build_id!r}"
        super().__init__(f"the order touches {what}, which is not in its arguments `site` and `build_id`")


class Player:
    """One player as the table shows them at `now` (the database's clock), and what they may do.

    Attributes:
        id: who.
        now: the moment at which all orders of the batch are judged.
        trace: the trace context of the order that is being judged.
    """

    def __init__(self, player: PlayerId, now: datetime, rows: Rows, world: World) -> None:
        self._world = world
        self._rows = rows
        self._who_and_when = player, now
        self._order: Rule | None = None
        self._args: Any = None
        self.id, self.now = player, now
        self.trace: str | None = None

    def decide(self, order: Rule, args: Any, trace: str | None) -> Outcome:  # noqa: ANN401 - the order's own Struct
        """What the rule of `order` makes of `args`; whatever it does to this player is not seen by the next one.

        Raises:
            Refusal: the rule's; and whatever else it raises.
        """
        self.id, self.now = self._who_and_when
        self.trace = trace
        self._order, self._args = order, args
        try:
            return order.decide(args, self)
        finally:
            self._order = None

    def stands(self, kind: str) -> bool:
        """Whether the player has finished a build of this kind.

        Raises:
            LookupError: the order does not declare that it asks for it, so nobody has looked it up.
        """
        order = self._order
        if order is not None and kind not in kinds_asked(order, self._args, self._world.catalogue):
            raise LookupError(f"the order asks whether {kind!r} stands and does not name it in its stands=[...]")
        return kind in self._rows.standing

    def kind(self, name: str) -> Kind:
        """A kind of the catalogue.

        Raises:
            Refusal: unknown_kind.
        """
        kind = self._world.catalogue.get(name)
        if kind is None:
            raise Refusal(ErrorCode.UNKNOWN_KIND, f"there is no kind of build called {name!r}")
        return kind

    def start(self, kind_name: str, site: str, follow_ups: Iterable[FollowUp] = ()) -> Outcome:
        """Begin a build on a free site; `follow_ups` are pushed after its completion.

        Raises:
            Refusal: unknown_kind, forbidden (a requirement does not stand), site_busy, limit_reached.
        """
        site = normal_site(site)
        kind = self._possible(kind_name, site)
        busy = self._busy_with(site)
        if busy is not None:
            raise Refusal(ErrorCode.SITE_BUSY, f"{site} is already building {self._title(busy.kind)}")
        self._below_limit()
        build = self._new_build(kind, site, self.now, follow_ups)
        return Outcome({"build": build.view()}, (Transition(build, BUILD_STARTED, self.now),))

    def queue(self, kind_name: str, site: str, follow_ups: Iterable[FollowUp] = ()) -> Outcome:
        """Begin a build when the site is free: at once, or at the completion of what is before it there.

        What the kind requires is judged now, not when it begins.

        Raises:
            Refusal: unknown_kind, forbidden, limit_reached.
            LookupError: the order does not declare `queue=True`, so nobody has looked at what waits.
        """
        self._may_queue()
        site = normal_site(site)
        _refuse_unprintable(site)
        busy = self._busy_with(site)
        if busy is None:
            return self.start(kind_name, site, follow_ups)
        kind = self._possible(kind_name, site)
        if busy.free_at is not None:
            # Completed in the table, and the site's queue was empty then: this one follows at that very moment,
            # a fraction of a second ahead.
            build = self._new_build(kind, site, busy.free_at, follow_ups)
            return Outcome({"build": build.view()}, (Transition(build, BUILD_STARTED, busy.free_at),))
        limits = self._world.catalogue.limits
        if len(self._rows.queues.get(site, ())) >= limits.queued_per_site:
            raise Refusal(ErrorCode.LIMIT_REACHED, f"no more than {limits.queued_per_site} orders may wait for {site}")
        if sum(map(len, self._rows.queues.values())) >= limits.queued_per_player:
            raise Refusal(ErrorCode.LIMIT_REACHED, f"no more than {limits.queued_per_player} orders may wait")
        build = self._new_build(kind, site, self.now, follow_ups)
        order = QueuedOrder(
            id=build.id,
            player=self.id,
            site=site,
            kind=kind.name,
            duration_ms=kind.duration // timedelta(milliseconds=1),
            created_at=self.now,
            follow_ups=build.follow_ups,
            trace=self.trace,
        )
        return Outcome({"queued": order.view()}, queued=(order,))

    def unqueue(self, order_id: str) -> Outcome:
        """Withdraw an order that still waits.

        Raises:
            Refusal: not_found (it never was, is another player's, or has begun).
            LookupError: as `queue`.
        """
        self._may_queue()
        for waiting in self._rows.queues.values():
            for order in waiting:
                if order.id == order_id:
                    return Outcome({"queued": order.view()}, unqueued=(order,))
        raise Refusal(ErrorCode.NOT_FOUND, "no such order is waiting")

    def cancel(self, build_id: str) -> Outcome:
        """End a build before its time; the next order that waits for the site begins now.

        Raises:
            Refusal: not_found (never was, or another player's), not_building.
        """
        build = self._building(build_id)
        # What follows a build that was completed ahead of its time begins a moment from now, and ends no earlier.
        at = max(self.now, build.started_at)
        cancelled = msgspec.structs.replace(
            build, state=BuildState.CANCELLED, revision=Revision(build.revision + 1), cancelled_at=at
        )
        transitions = [Transition(cancelled, BUILD_CANCELLED, at)]
        following = tuple(self._rows.queues.get(build.site, ())[:1])
        transitions += [Transition(order.started(at), BUILD_STARTED, at) for order in following]
        return Outcome({"build": cancelled.view()}, tuple(transitions), started_from_queue=following)

    def reschedule(self, build_id: str, due_at: str | None, factor: float | None) -> Outcome:
        """Move a build's end, as far as its kind allows: to a moment, or by a factor on the time that is left.

        Raises:
            Refusal: bad_request, not_found, not_building, forbidden.
        """
        build = self._building(build_id)
        kind = self._world.catalogue.get(build.kind)
        if kind is None or kind.reschedule is None:
            raise Refusal(ErrorCode.FORBIDDEN, f"{self._title(build.kind)} takes the time it takes")
        moved = max(self._moved(build, due_at, factor), build.started_at)
        earliest = _after(build.started_at, build.duration, kind.reschedule.min_factor)
        latest = _after(build.started_at, build.duration, kind.reschedule.max_factor)
        if moved < earliest:
            raise Refusal(ErrorCode.FORBIDDEN, f"it cannot be done before {to_rfc3339(earliest)}")
        if moved > latest:
            raise Refusal(ErrorCode.FORBIDDEN, f"it cannot be put off beyond {to_rfc3339(latest)}")
        rescheduled = msgspec.structs.replace(
            build,
            due_at=moved,
            revision=Revision(build.revision + 1),
            duration_ms=build.duration // timedelta(milliseconds=1),
        )
        return Outcome({"build": rescheduled.view()}, (Transition(rescheduled, BUILD_RESCHEDULED, self.now),))

    def apply(self, outcome: Outcome) -> None:
        """Bring the picture up to what an accepted order did; no rule may."""
        if self._order is not None:
            raise RuntimeError("a rule answers with an Outcome and applies none")
        rows = self._rows
        for build, _, _ in outcome.transitions:
            if build.state is BuildState.CANCELLED:
                rows.busy.pop(build.site, None)
                rows.builds -= 1
                if build.cancelled_at is not None and build.cancelled_at > self.now:
                    rows.busy[build.site] = _Busy(build.kind, build.cancelled_at)
            elif build.revision == 1:
                rows.busy[build.site] = _Busy(build.kind)
                rows.builds += 1
            if build.id in rows.by_id:
                rows.by_id[build.id] = build
        for order in outcome.queued:
            rows.queues.setdefault(order.site, []).append(order)
        for order in (*outcome.unqueued, *outcome.started_from_queue):
            rows.queues[order.site].remove(order)

    def _possible(self, kind_name: str, site: str) -> Kind:
        kind = self.kind(kind_name)
        _refuse_unprintable(site)
        missing = [self._title(name) for name in kind.requires if not self.stands(name)]
        if missing:
            raise Refusal(ErrorCode.FORBIDDEN, f"{_a(kind.title)} needs {' and '.join(missing)} first")
        return kind

    def _may_queue(self) -> None:
        order = self._order
        if order is not None and not order.queue:
            raise LookupError("the order looks at what waits for sites and does not say queue=True")

    def _busy_with(self, site: str) -> Any:  # noqa: ANN401 - as in `Rows`
        sites = self._rows.sites
        if sites is not None and site not in sites:
            raise UnreadError(site=site)
        return self._rows.busy.get(site)

    def _below_limit(self) -> None:
        limit = self._world.catalogue.limits.builds_at_once
        if self._rows.builds >= limit:
            raise Refusal(ErrorCode.LIMIT_REACHED, f"no more than {limit} builds may be under way at once")

    def _new_build(self, kind: Kind, site: str, at: datetime, follow_ups: Iterable[FollowUp]) -> BuildRecord:
        build = BuildRecord(
            id=BuildId(self._world.new_id()),
            player=self.id,
            kind=kind.name,
            site=site,
            state=BuildState.BUILDING,
            revision=Revision(1),
            started_at=at,
            due_at=at + kind.duration,
            trace=self.trace,
        )
        completion = self._world.completions.get(kind.name)
        if not follow_ups and completion is None:
            return build
        told = checked_follow_ups((*follow_ups, *(completion(build) if completion is not None else ())))
        return msgspec.structs.replace(build, follow_ups=told) if told else build

    def _building(self, build_id: str) -> BuildRecord:
        build = self._rows.by_id.get(build_id)
        ids = self._rows.ids
        if build is None and ids is not None and build_id not in ids and is_uuid(build_id):
            raise UnreadError(build_id=build_id)
        if build is None:
            raise Refusal(ErrorCode.NOT_FOUND, "you have no such build")
        if build.state is not BuildState.BUILDING:
            raise Refusal(ErrorCode.NOT_BUILDING, f"it is {build.state.value} already")
        return build

    def _moved(self, build: BuildRecord, due_at: str | None, factor: float | None) -> datetime:
        if (due_at is None) == (factor is None):
            raise Refusal(ErrorCode.BAD_REQUEST, "either due_at or factor is needed, and only one of them")
        if factor is not None:
            left = max(build.due_at - self.now, timedelta())
            return _after(self.now, left, factor)
        try:
            # A moment that has passed means "now": by the time it is read here, "now" has passed as well.
            return max(from_rfc3339(due_at or ""), self.now)
        except ValueError as error:
            raise Refusal(ErrorCode.BAD_REQUEST, f"due_at: {error}") from error

    def _title(self, name: str) -> str:
        kind = self._world.catalogue.get(name)
        return _a(kind.title if kind is not None else name)


def _refuse_unprintable(site: str) -> None:
    if not site.isprintable():
        raise Refusal(ErrorCode.BAD_REQUEST, "a site's name consists of printable characters")


def _after(start: datetime, span: timedelta, share: float) -> datetime:
    """`share` of `span` after `start`, in whole milliseconds, and `LATEST` at most."""
    try:
        return truncate(min(start + span * share, LATEST))
    except OverflowError:
        return LATEST


class _Busy(NamedTuple):
    kind: str
    free_at: datetime | None = None


def _a(title: str) -> str:
    return f"{'an' if title[:1] in _VOWELS else 'a'} {title[:1].lower()}{title[1:]}"
