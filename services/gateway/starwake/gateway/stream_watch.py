"""Watches over the notification stream: which life of it this is (epoch), and whether any feed lags behind it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from starwake.bus.connection import Bus
from starwake.bus.errors import BusError
from starwake.bus.feed import last_seqs, read_feed
from starwake.gateway import metrics
from starwake.gateway.feeds import Feed
from starwake.gateway.tasks import Tasks
from starwake.runtime.logs import get_logger

_log = get_logger("gateway.stream")

_PATROL_S: Final = 1.0
_AUDIT_S: Final = 30.0
"""Between two looks at the last sequences of all feeds: a push that got lost on a quiet feed shows only there."""
_RETRY_S: Final = 0.25
_GIVE_UP_S: Final = 30.0
"""How long a feed may fail to catch up on a working bus before its listeners are told to come back (4010)."""
_CHUNK: Final = 1024


class Found(NamedTuple):
    """Who is told: `ready` once sessions can join, `lost` when the stream is not the one that it was."""

    ready: Callable[[], None]
    lost: Callable[[], None]


class StreamWatch:
    """Keeps all feeds of a hub in step with the stream.

    Attributes:
        epoch: of the stream; None until it was found.
    """

    def __init__(self, bus: Bus, tasks: Tasks) -> None:
        self.epoch: str | None = None
        self._bus = bus
        self._tasks = tasks
        self._checking = False
        self._again = False
        self._suspended = False
        self._stalled: dict[Feed, float] = {}
        self._joined_lately: set[Feed] = set()

    def start(self, feeds: Callable[[], Sequence[Feed]], everybody: Feed, found: Found) -> None:
        """Begin; `feeds` lists all of them at any moment, `everybody` is the one that every session needs."""
        self._feeds = feeds
        self._everybody = everybody
        self._found = found
        self._bus.on_connection_change(self._on_connection_change)
        self.suspect()
        self._tasks.spawn(self._patrol(), "patrol")

    def suspect(self) -> None:
        """The stream may be another one: look. Never two at once."""
        if self._checking:
            self._again = True
            return
        self._checking = True
        self._tasks.spawn(self._check(), "check-stream")

    def stalled(self, feed: Feed) -> None:
        """A feed could not catch up; it is asked again every second."""
        self._stalled.setdefault(feed, time.monotonic())

    def joined(self, feed: Feed) -> None:
        """A session joined this feed; in a cluster a new subscription's interest spreads a moment later."""
        self._joined_lately.add(feed)

    def forget(self, feed: Feed) -> None:
        """Nobody listens to this feed any more."""
        self._stalled.pop(feed, None)
        self._joined_lately.discard(feed)

    def _on_connection_change(self, connected: bool) -> None:  # noqa: FBT001 - the bus's signature
        if connected:
            # Live pushes wait until it is sure that they come from the same stream.
            self._suspended = True
            for feed in (self._everybody, *self._feeds()):
                feed.suspend()
            self.suspect()

    async def _check(self) -> None:
        try:
            while True:
                self._again = False
                await self._find_epoch()
                await self._catch_everybody_up()
                if self._suspended:
                    self._suspended = False
                    for feed in self._feeds():
                        feed.catch_up()
                self._found.ready()
                if not self._again:
                    return
                await asyncio.sleep(_PATROL_S)
        finally:
            self._checking = False

    async def _find_epoch(self) -> None:
        while True:
            try:
                epoch = (await read_feed(self._bus)).epoch
            except BusError as error:
                _log.debug("stream.not_found", error=str(error))
                epoch = None
            if epoch is not None:
                break
            await asyncio.sleep(_RETRY_S)
        if self.epoch is not None and epoch != self.epoch:
            _log.warning("epoch.changed", was=self.epoch, now=epoch)
            self.epoch = epoch
            self._found.lost()
            self._everybody.reset()
        self.epoch = epoch

    async def _catch_everybody_up(self) -> None:
        while not self._everybody.ready:
            if not self._everybody.running:
                self._everybody.catch_up()
            await asyncio.sleep(_RETRY_S / 10)

    async def _patrol(self) -> None:
        audited_at = time.monotonic()
        while True:
            await asyncio.sleep(_PATROL_S)
            if not self._bus.connected or self._checking:
                continue
            self._retry_stalled()
            lately, self._joined_lately = list(self._joined_lately), set()
            if time.monotonic() - audited_at >= _AUDIT_S:
                audited_at = time.monotonic()
                self.suspect()
                lately = [self._everybody, *self._feeds()]
            await self._look_at(lately)

    def _retry_stalled(self) -> None:
        now = time.monotonic()
        for feed, since in list(self._stalled.items()):
            if feed.ready:
                del self._stalled[feed]
            elif now - since > _GIVE_UP_S:
                del self._stalled[feed]
                feed.end_listeners("the feed has a hole that cannot be filled")
            elif not feed.running:
                feed.catch_up()
        metrics.STALLED_FEEDS.set(len(self._stalled))

    async def _look_at(self, feeds: Sequence[Feed]) -> None:
        for start in range(0, len(feeds), _CHUNK):
            chunk = feeds[start : start + _CHUNK]
            try:
                found = await last_seqs(self._bus, [feed.player for feed in chunk])
            except BusError as error:
                _log.warning("audit.failed", error=str(error))
                return
            for feed in chunk:
                if not feed.idle:
                    feed.check(found[feed.player])
