"""A feed as this gateway holds it: one subscription, the sessions that listen, and the catching up of all of them.

Joining, filling a hole and refilling after the bus was lost are one task per feed, never two at once (two produced
duplicates and pushes that went backwards).
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from starwake.bus.errors import BusError
from starwake.bus.feed import LivePush, watch_pushes
from starwake.contracts import frames
from starwake.contracts.ids import PlayerId
from starwake.contracts.reasons import CloseCode
from starwake.contracts.retention import KEPT_PUSHES
from starwake.gateway import metrics
from starwake.gateway.bodies import checked
from starwake.gateway.effects import Resume
from starwake.gateway.feed import Chain, Push, Verdict, is_recent, missed
from starwake.gateway.feed_source import FeedSource
from starwake.gateway.framing import text_frame
from starwake.gateway.histories import Crowded
from starwake.gateway.spans import traced
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger

if TYPE_CHECKING:
    from starwake.bus.subscription import Subscription

_log = RateLimitedLogger(get_logger("gateway.feeds"))

_RETRY_S: Final = 0.05
_ROUNDS: Final = 8
"""Of reading history in vain before it is left to a later try: a replica that lags catches up within a few."""
_PATIENT_ROUNDS: Final = 3
"""In which a position beyond the stream's end is put down to a lagging replica; after them it counts as unknown."""


class Listener(Protocol):
    """A session, as far as a feed knows it."""

    def push(self, frame: bytes) -> None:
        """Send a push, a WebSocket frame already; never blocks."""
        ...

    def end(self, code: CloseCode, reason: str) -> None:
        """Close the session."""
        ...

    def turn_away(self, reason: str, after_s: float) -> None:
        """Close the session before it is live: it is to come back after so many seconds."""
        ...


class Replay(NamedTuple):
    """How a session stands in one feed when it goes live: its position after `frames`, and whether that is whole."""

    position: int
    whole: bool
    pushes: list[Push]


class Joiner(NamedTuple):
    """A session that waits to go live; `admit` is called once, in the moment from which live pushes reach it."""

    listener: Listener
    resume: Resume | None
    admit: Callable[[Replay], None]


class Feed:
    """One feed: a player's, or everybody's (`player` None).

    Attributes:
        player: whose.
        listeners: the sessions that are live, in the order of their coming.
        recent: the last pushes, where they are held in memory.
        running: whether a catching up is under way.
    """

    __slots__ = (
        "_again",
        "_chain",
        "_closed",
        "_joiners",
        "_source",
        "_subscription",
        "listeners",
        "player",
        "recent",
        "running",
    )

    def __init__(self, source: FeedSource, player: PlayerId | None, *, keep_recent: bool = False) -> None:
        """A feed without listeners.

        Args:
            source: what all feeds share.
            player: whose.
            keep_recent: hold the last pushes in memory, for a feed that very many resume at once.
        """
        self._source = source
        self.player = player
        self._chain = Chain()
        self._joiners: list[Joiner] = []
        self.running = False
        self._again = False
        self._closed = False
        self._subscription: Subscription | None = None
        self.listeners: dict[Listener, None] = {}
        self.recent: list[Push] | None = [] if keep_recent else None

    @property
    def position(self) -> int:
        """The sequence that was handed out last."""
        return self._chain.last or 0

    @property
    def ready(self) -> bool:
        """Whether nothing is missing."""
        return not self._chain.catching_up

    @property
    def idle(self) -> bool:
        """Whether nobody needs it."""
        return not self.listeners and not self._joiners and self.recent is None

    def join(self, joiner: Joiner) -> None:
        """Have a session go live as soon as what it missed is at hand: at once beside others that are live."""
        resume = joiner.resume
        if self.ready and self.listeners and (resume is None or resume.seq == self.position):
            self.listeners[joiner.listener] = None
            joiner.admit(Replay(self.position, True, []))
            return
        self._joiners.append(joiner)
        self.catch_up()

    def leave(self, listener: Listener) -> None:
        """A session is gone; harmless when it never came."""
        self.listeners.pop(listener, None)
        if self._joiners:
            self._joiners = [joiner for joiner in self._joiners if joiner.listener is not listener]

    def end_listeners(self, why: str) -> None:
        """What the listeners have missed cannot be told whole here: they are to come back and resume."""
        for listener in tuple(self.listeners):
            listener.end(CloseCode.FEED_INTERRUPTED, why)

    def close(self) -> None:
        """Nobody listens any more; a catching up that is under way ends without effect."""
        self._closed = True
        if self._subscription is not None:
            self._subscription.unsubscribe()
            self._subscription = None

    def reset(self) -> None:
        """The stream is another one: forget what was handed out."""
        self._chain = Chain()
        if self.recent is not None:
            self.recent = []

    def suspend(self) -> None:
        """Hold live pushes until the next catching up: the stream may not be the one that it was."""
        self._chain.catching_up = True

    def catch_up(self) -> None:
        """Make sure that nothing is missing; while that goes on already, it is done once more afterwards."""
        if self.running:
            self._again = True
            return
        self.running = True
        self._again = False
        self._begin_round()
        # Most players have missed nothing, and then the answer is all that is needed: no task for each of a storm.
        self._source.positions.put(self.player, self._on_position, self._is_wanted)

    def _is_wanted(self) -> bool:
        """Whether anybody waits for what is asked on behalf of this feed."""
        return not self._closed

    def check(self, stored_last: int) -> None:
        """The stream's last sequence in this feed was read: catch up where it is ahead."""
        if stored_last > self.position or self._chain.catching_up:
            self.catch_up()

    def replay_recent(self, resume: Resume | None) -> Replay:
        """How a session that resumes stands in a feed whose last pushes are held in memory; at once."""
        if resume is None or resume.all is None:
            return Replay(self.position, True, [])
        return self._replay(resume.all, resume.at, self.recent or [])

    def _on_position(self, stored_last: int | BusError) -> None:
        unfinished = False
        try:
            if isinstance(stored_last, BusError):
                self._stall(str(stored_last))
            elif not self._closed:
                lowest = self._lowest_needed(stored_last)
                history = None if lowest is None else self._source.histories.at_hand(self.player, lowest, stored_last)
                if lowest is not None and history is None:
                    unfinished = True
                    self._source.tasks.spawn(self._catch_up(stored_last), "catch-up")
                elif not self._settle(stored_last, lowest, history, patient=True) or self._again:
                    unfinished = True
                    self._source.tasks.spawn(self._catch_up(None), "catch-up")
        finally:
            self.running = unfinished

    async def _catch_up(self, stored_last: int | None) -> None:
        """Round after round until nothing is missing; `stored_last` where the first one has begun already."""
        failures = 0
        try:
            while failures < _ROUNDS and not self._closed:
                self._again = False
                if stored_last is None:
                    self._begin_round()
                    stored_last = await self._source.positions.get(self.player)
                    if self._closed:
                        return
                whole = await self._finish_round(stored_last, patient=failures < _PATIENT_ROUNDS)
                stored_last = None
                if whole and not self._again:
                    return
                if not whole:
                    failures += 1
                    await asyncio.sleep(_RETRY_S)
            why = "its history cannot be read whole"
        except Crowded as crowded:
            self.running = False
            self._turn_away(crowded)
            return
        except BusError as error:
            why = str(error)
        finally:
            self.running = False
        self._stall(why)

    def _stall(self, why: str) -> None:
        if self._closed:
            return
        _log.warning("feed.not_caught_up", player=self.player, reason=why)
        self._source.on_stalled(self)

    def _turn_away(self, crowded: Crowded) -> None:
        """Nobody is live here: those who need a history come back later, the others need none."""
        for joiner in [joiner for joiner in self._joiners if joiner.resume is not None]:
            joiner.listener.turn_away(str(crowded), crowded.after_s)
        if not self._closed and self._joiners:
            self.catch_up()

    def _begin_round(self) -> None:
        self._chain.catching_up = True
        if self._subscription is None:
            # Before anything is read, on the same connection: what is stored after the reading comes live.
            tracing, on_push = self._source.tracing, self._on_push
            if tracing.enabled:
                on_push = traced(tracing, self.player, self.listeners, on_push)
            self._subscription = watch_pushes(self._source.bus, self.player, on_push, traced=tracing.enabled)
        if not self.listeners and self.recent is None:
            self._chain.last = None

    async def _finish_round(self, stored_last: int, *, patient: bool) -> bool:
        """Read what is needed, join it with what came live; whether nothing is missing."""
        lowest = self._lowest_needed(stored_last)
        history: list[Push] | None = None
        if lowest is not None:
            waits = bool(self.listeners) or self.player is None
            history = await self._source.histories.get(
                self.player, lowest, stored_last, wanted=self._is_wanted, patient=waits
            )
        return self._closed or self._settle(stored_last, lowest, history, patient=patient)

    def _lowest_needed(self, stored_last: int) -> int | None:
        """The position from which history has to be read; None where nobody has missed anything."""
        if self.recent is not None and not self.recent and stored_last:
            return 1
        needed = [self._chain.last] if self._chain.last is not None and self._chain.last < stored_last else []
        needed += [
            joiner.resume.seq
            for joiner in self._joiners
            if joiner.resume is not None and joiner.resume.seq < stored_last
        ]
        return min(needed, default=None)

    def _settle(self, stored_last: int, lowest: int | None, history: list[Push] | None, *, patient: bool) -> bool:
        """Not async on purpose: hand-out, admission and going live are one moment."""
        settled = self._chain.settle(stored_last, history)
        last = self._chain.last
        if last is not None and settled.end > last and not self._hand_out(last, settled.pushes, settled.end):
            self.end_listeners("more was missed than the feed keeps")
        self._remember(settled.pushes)
        self._chain.move(settled.end)
        if not settled.whole:
            return False
        later = self._admit(lowest, settled.pushes, patient=patient)
        if not later:
            self._chain.go_live()
        return not later

    def _hand_out(self, last: int, pushes: Iterable[Push], end: int) -> bool:
        """Send what the listeners have missed; False where more was missed than is kept."""
        new = missed(last, known_recent=True, pushes=pushes, end=end)
        if new is None:
            return False
        for push in new:
            self._send(Push(push.seq, last, push.body))
            last = push.seq
        return True

    def _admit(self, lowest: int | None, pushes: list[Push], *, patient: bool) -> bool:
        """Let the joiners go live; whether some have to wait for another round."""
        later: list[Joiner] = []
        joiners, self._joiners = self._joiners, []
        for joiner in joiners:
            resume = joiner.resume
            if resume is not None and self._must_wait(resume.seq, lowest, patient=patient):
                later.append(joiner)
                continue
            self.listeners[joiner.listener] = None
            here = Replay(self.position, True, [])
            joiner.admit(here if resume is None else self._replay(resume.seq, resume.at, pushes))
        self._joiners += later
        return bool(later)

    def _must_wait(self, seq: int, lowest: int | None, *, patient: bool) -> bool:
        if seq > self.position > 0:
            return patient  # most likely a replica that lags behind the one this client was served from
        came_while_reading = lowest is None or seq < lowest
        return seq < self.position and came_while_reading

    def _replay(self, seq: int, at: str | None, pushes: list[Push]) -> Replay:
        recent = is_recent(seq, at, datetime.now(UTC))
        found = missed(seq, known_recent=recent, pushes=pushes, end=self.position)
        if found is None:
            return Replay(self.position, False, [])
        return Replay(max(seq, self.position), True, found)

    def _on_push(self, live: LivePush) -> None:
        push = Push(live.seq, live.prev, checked(live.seq, live.body))
        match self._chain.offer(push):
            case Verdict.DELIVER:
                self._send(push)
                if self.recent is not None:
                    self._remember((push,))
            case Verdict.HELD:
                pass
            case Verdict.HOLE:
                metrics.HOLES.inc()
                self.catch_up()
            case Verdict.REPEATED:
                self._source.on_regress()

    def _send(self, push: Push) -> None:
        """Encoded once, sent to all; no socket is waited for."""
        join = frames.push_all_frame if self.player is None else frames.push_frame
        frame = text_frame(join(push.seq, push.prev, push.body))
        # A session may leave in the middle, where its outbox is full.
        for listener in tuple(self.listeners):
            listener.push(frame)
        metrics.pushed(push.body, len(self.listeners))

    def _remember(self, pushes: Iterable[Push]) -> None:
        if self.recent is not None:
            newest = self.recent[-1].seq if self.recent else 0
            self.recent += [push for push in pushes if push.seq > newest]
            del self.recent[:-KEPT_PUSHES]
