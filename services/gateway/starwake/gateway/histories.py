"""What players missed, read from the stream: one by one while few ask, in one go where many come back at once.

What was read in one go stays at hand for a while, everybody's: whoever comes a moment later is served from memory, and
only what was stored since is read for them. Nothing is read for whoever has gone, as many requests are under way as the
server answers in time, and who would have to wait for long is told so at once.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from starwake.bus.connection import Bus
from starwake.bus.errors import BusError
from starwake.bus.feed import Stretch, read_pushes, read_stretch
from starwake.contracts import subjects
from starwake.contracts.ids import PlayerId
from starwake.gateway import metrics
from starwake.gateway.asked import Asked, span_of, wider
from starwake.gateway.bodies import checked
from starwake.gateway.feed import Push
from starwake.gateway.pace import Pace
from starwake.gateway.reading import expected_wait_s, is_near, pays, together_from
from starwake.gateway.tasks import Tasks
from starwake.gateway.window import Window
from starwake.runtime.logs import get_logger

_log = get_logger("gateway.histories")

_TIMEOUT_S: Final = 3.0
_TRIES: Final = 3
_QUICK_S: Final = 0.25
_LEAST_MANY: Final = 16
"""Who wait before it is looked at whether reading in one go pays."""
_ALONE_MEANWHILE: Final = 2
"""Requests for one player each while the stream is read for many: they keep the server from it."""
_BATCH_S: Final = 1.0
_BATCH_BYTES: Final = 2 << 20
MAX_BYTES: Final = 128 << 20
"""Of what was read for many, in a gateway."""
_WINDOW_KEPT_S: Final = 10.0
"""How long the window stays after the last one whom it has served, or after those told to come later should be back."""
_LATE: Final = 1.5
"""By how much clients stretch what they are told, at most."""
_HANDED_AT_ONCE: Final = 32
"""Histories that are handed out in one turn of the event loop: each becomes frames and a write."""
_SEQUENCES: Final = 400_000.0
_SECONDS: Final = 8.0
"""What reading many takes as long as nothing else is known."""
_ALONE_S: Final = 0.01
_WEIGHT: Final = 0.1


class Crowded(Exception):  # noqa: N818 - nothing went wrong
    """Too many come back at once.

    Attributes:
        after_s: when to come again, seconds; spread, so that they do not come together.
    """

    def __init__(self, after_s: float) -> None:
        super().__init__("too many players come back at once")
        self.after_s = after_s


class Histories:
    """Reads histories for all feeds of a gateway."""

    def __init__(self, bus: Bus, tasks: Tasks, *, patience_s: float, max_bytes: int = MAX_BYTES) -> None:
        """Nothing is asked for yet.

        Args:
            bus: the connection.
            tasks: the owner of what runs.
            patience_s: who would have to wait for longer is told to come later.
            max_bytes: of what was read for many, the objects that hold it included: the window, and what has left it
                and somebody waits for still. Beyond it half of those who wait have to wait for the next turn.
        """
        self._max_bytes = max_bytes
        self._bus = bus
        self._tasks = tasks
        self._patience_s = patience_s
        self._waiting: deque[Asked] = deque()
        self._apart: deque[Asked] = deque()
        self._alone = 0
        self._from: int | None = None
        self._window = Window()
        self._kept_until = 0.0
        self._dropping: asyncio.TimerHandle | None = None
        self._pace = Pace(1, 8, patience_s=_QUICK_S, begin=4)
        self._batch = Pace(256, 4096, patience_s=_BATCH_S, step=256, begin=2048)
        self._sequences, self._seconds = _SEQUENCES, _SECONDS
        self._alone_s = _ALONE_S
        self._left = 0
        self._span = (0, 0)
        bus.on_connection_change(lambda _: self.forget())

    def come_later(self) -> float | None:
        """After how many seconds somebody who comes now with much to catch up on should come; None: at once."""
        wait_s = self._wait_s()
        return None if wait_s <= self._patience_s else self._later(wait_s)

    def later(self) -> float:
        """When somebody who could not be served may come again, in seconds: spread over the present wait."""
        return self._later(self._wait_s())

    def _later(self, wait_s: float) -> float:
        after_s = random.uniform(max(0.5, wait_s), 2 * wait_s + 2.0)  # noqa: S311 - no secret
        if self._from is not None:
            self._keep(_LATE * after_s + _WINDOW_KEPT_S)  # what is being read then serves them, too
        return after_s

    def forget(self) -> None:
        """The stream may be another one: what was read of it serves nobody who comes from now on."""
        self._window = Window()

    def at_hand(self, player: PlayerId | None, low: int, last: int) -> list[Push] | None:
        """What `get` gives, where it is in memory."""
        window, low = self._window, max(low, 1)
        if not window.covers(low, last):
            return None
        self._keep(_WINDOW_KEPT_S)
        metrics.HISTORIES.labels(how="together").inc()
        return _checked(window.pushes(subjects.notify(player), low))

    async def get(
        self, player: PlayerId | None, low: int, last: int, *, wanted: Callable[[], bool], patient: bool
    ) -> list[Push]:
        """The pushes of one feed from `low` on to `last` at least; empty where nobody wants them any more.

        Args:
            player: whose feed; everybody's (None) goes before all others.
            low: where to begin, inclusive.
            last: the feed's last sequence, or an earlier one.
            wanted: asked before each piece of work; once false, none is done.
            patient: wait however long it takes.

        Raises:
            BusError: they cannot be read.
            Crowded: it would take too long.
        """
        if (pushes := self.at_hand(player, low, last)) is not None:
            return pushes
        if not patient and (after_s := self.come_later()) is not None:
            raise Crowded(after_s)
        asked = Asked(player, max(low, 1), last, wanted, asyncio.get_running_loop().create_future())
        self._put(asked)
        return await asked.done

    def _wait_s(self) -> float:
        lowest, highest = self._span
        return expected_wait_s(
            left=self._left,
            waiting=len(self._waiting if self._from is None else self._apart),
            span=highest - lowest,
            per_s=self._sequences / self._seconds,
            alone_s=self._alone_s / self._pace.size,
        )

    # --- whose turn it is ----------------------------------------------------------------------------------------

    def _put(self, asked: Asked) -> None:
        """Have it wait: for the end of the reading under way, which brings it, or for its own turn."""
        begin = self._from
        if begin is not None and asked.low >= begin and not is_near(asked.low, asked.last):
            self._waiting.append(asked)
            return
        queue = self._waiting if begin is None else self._apart
        if asked.player is None:
            queue.appendleft(asked)
        else:
            queue.append(asked)
            self._span = wider(self._span, asked)
        self._dispatch()

    def _dispatch(self) -> None:
        """Begin what may begin. Not async on purpose: nobody else changes who waits meanwhile."""
        if self._from is None:
            self._begin_together()
        together = self._from is not None
        queue = self._apart if together else self._waiting
        bound = min(self._pace.size, _ALONE_MEANWHILE) if together else self._pace.size
        while queue and (self._alone < bound or queue[0].player is None):
            asked = queue.popleft()
            if not self._drop_unless_wanted(asked):
                self._alone += 1
                self._tasks.spawn(self._read_alone(asked), "history")
        if not queue:
            self._span = (0, 0)

    def _begin_together(self) -> None:
        """Begin to read the stream as it lies, where that pays."""
        if len(self._waiting) < _LEAST_MANY and self._window.last < self._window.first:
            return
        waiting = [asked for asked in self._waiting if not self._drop_unless_wanted(asked)]
        self._waiting = deque(waiting)
        players = sorted((asked for asked in waiting if asked.player is not None), key=lambda asked: asked.low)
        group, begin = self._group(players)
        if not group:
            return
        chosen = set(map(id, group))
        left = [asked for asked in waiting if id(asked) not in chosen]
        self._from = begin
        self._waiting = deque(asked for asked in left if asked.player is not None and asked.low >= begin)
        self._apart = deque(asked for asked in left if asked.player is None or asked.low < begin)
        self._span = span_of(self._apart)
        self._tasks.spawn(self._read_together(group, self._window), "histories")

    def _group(self, players: list[Asked]) -> tuple[list[Asked], int]:
        """For whom the stream is read next, and from where its window will reach; `players` by their low ends."""
        window = self._window
        reached = [asked for asked in players if window.reaches(asked.low)]
        if reached and pays([asked.low for asked in reached], window.last + 1, max(asked.last for asked in reached)):
            return reached, window.first
        if len(players) >= _LEAST_MANY:
            begin = together_from([asked.low for asked in players], max(asked.last for asked in players))
            if begin is not None:
                self._window = Window(begin)
                return [asked for asked in players if asked.low >= begin], begin
        return [], 0

    @staticmethod
    def _drop_unless_wanted(asked: Asked) -> bool:
        if not asked.done.done() and asked.wanted():
            return False
        metrics.UNREAD_HISTORIES.inc()
        if not asked.done.done():
            asked.done.set_result([])
        return True

    # --- reading -------------------------------------------------------------------------------------------------

    async def _read_alone(self, asked: Asked) -> None:
        asked_at = time.monotonic()
        metrics.HISTORIES.labels(how="alone").inc()
        try:
            stored = await read_pushes(self._bus, asked.player, asked.low, timeout_s=_TIMEOUT_S)
        except BusError as error:
            self._pace.failed(asked_at, time.monotonic())
            asked.fail(error)
        else:
            now = time.monotonic()
            self._pace.answered(asked_at, now)
            self._alone_s += _WEIGHT * (now - asked_at - self._alone_s)
            if not asked.done.done():
                asked.done.set_result(_checked([Push(push.seq, 0, push.body) for push in stored]))
        finally:
            self._alone -= 1
            self._dispatch()

    async def _read_together(self, group: list[Asked], window: Window) -> None:
        try:
            group = await self._read_stretches(group, window)
            self._left = 0
            self._join_queues()
            group += self._take_served(window)
            for start in range(0, len(group), _HANDED_AT_ONCE):
                for asked in group[start : start + _HANDED_AT_ONCE]:
                    self._hand_out(asked, window)
                await asyncio.sleep(0)
        except BusError as error:
            _log.warning("histories.not_read", players=len(group), error=str(error))
            for asked in group:
                asked.fail(error)
        finally:
            self._left = 0
            self._from = None
            self._join_queues()
            self._span = span_of(self._waiting)
            self._dispatch()

    def _join_queues(self) -> None:
        self._waiting.extendleft(reversed(self._apart))
        self._apart.clear()
        self._span = (0, 0)

    async def _read_stretches(self, group: list[Asked], window: Window) -> list[Asked]:
        """Lengthen the window as far as the group needs; those of it for whom there was room."""
        end = max(asked.last for asked in group)
        while window.last < end and any(asked.wanted() for asked in group):
            seq = window.last + 1
            self._left = end - window.last
            stretch = await self._read_stretch(seq, min(self._batch.size, end - window.last))
            window.add(stretch.found, stretch.last_seq)
            if window.held_bytes + sum(asked.bytes for asked in group) > self._max_bytes:
                group = self._make_room(group, window)
            if stretch.ended:
                break
        self._keep(_WINDOW_KEPT_S)
        return group

    async def _read_stretch(self, seq: int, count: int) -> Stretch:
        for left in reversed(range(_TRIES)):
            asked_at = time.monotonic()
            try:
                stretch = await read_stretch(self._bus, seq, count, max_bytes=_BATCH_BYTES, timeout_s=_TIMEOUT_S)
            except BusError:
                self._batch.failed(asked_at, time.monotonic())
                count = min(count, self._batch.size)
                if not left or not self._bus.connected:
                    raise
            else:
                now = time.monotonic()
                self._batch.answered(asked_at, now)
                self._sequences += max(stretch.last_seq - seq + 1, 1) - _WEIGHT * self._sequences
                self._seconds += now - asked_at - _WEIGHT * self._seconds
                return stretch
        raise AssertionError

    def _make_room(self, group: list[Asked], window: Window) -> list[Asked]:
        """Have the window's oldest go, to those who wait for them; where that is no help, half have to wait again."""
        group = [asked for asked in group if not self._drop_unless_wanted(asked)]
        most = self._max_bytes
        by_subject: dict[str, list[Asked]] = {}
        for asked in group:
            by_subject.setdefault(asked.subject, []).append(asked)
        held = sum(asked.bytes for asked in group)
        while window.held_bytes > (bound := max(most - held, most // 4)):
            for left in window.shrink(bound):
                held += sum(asked.take(left.push) for asked in by_subject.get(left.subject, ()))
        if window.held_bytes + held <= most:
            return group
        middle = (len(group) + 1) // 2
        for asked in group[middle:]:
            asked.pushes, asked.bytes = [], 0
            self._apart.append(asked)
            self._span = wider(self._span, asked)
        return group[:middle]

    def _take_served(self, window: Window) -> list[Asked]:
        """Those who came meanwhile, and whose histories the window holds now."""
        if window is not self._window:
            return []  # since then the stream may have become another one
        served = [asked for asked in self._waiting if window.covers(asked.low, asked.last)]
        self._waiting = deque(asked for asked in self._waiting if not window.covers(asked.low, asked.last))
        return served

    def _hand_out(self, asked: Asked, window: Window) -> None:
        if self._drop_unless_wanted(asked):
            return
        metrics.HISTORIES.labels(how="together").inc()
        asked.done.set_result(_checked(asked.pushes + window.pushes(asked.subject, asked.low)))

    def _keep(self, for_s: float) -> None:
        """Keep the window for so many seconds more at least."""
        loop = asyncio.get_running_loop()
        self._kept_until = max(self._kept_until, loop.time() + for_s)
        if self._dropping is None:
            self._dropping = loop.call_at(self._kept_until, self._drop_window)

    def _drop_window(self) -> None:
        self._dropping = None
        loop = asyncio.get_running_loop()
        if self._from is None and loop.time() >= self._kept_until:
            self.forget()
        else:
            self._dropping = loop.call_at(max(self._kept_until, loop.time() + 1.0), self._drop_window)


def _checked(pushes: list[Push]) -> list[Push]:
    """The pushes, with what stands in for those that no client could read."""
    return [push if (body := checked(push.seq, push.body)) is push.body else Push(push.seq, 0, body) for push in pushes]
