"""What players missed, read from the stream: one by one while few ask, in one go where many come back at once.

Nothing is read for whoever has gone, as many requests are under way as the server answers in time, and who would
have to wait for long is told so at once.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from starwake.bus.connection import Bus
from starwake.bus.errors import BusError
from starwake.bus.feed import Stretch, read_pushes, read_stretch
from starwake.contracts import subjects
from starwake.contracts.ids import PlayerId
from starwake.gateway import metrics
from starwake.gateway.bodies import checked
from starwake.gateway.feed import Push
from starwake.gateway.pace import Pace
from starwake.gateway.reading import MAX_TOGETHER, expected_wait_s, together_from
from starwake.gateway.tasks import Tasks
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
_HELD_BYTES: Final = 128 << 20
"""Of pushes read for players whose histories are not whole yet; beyond it the later half has to wait for its turn."""
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


class _Asked:
    """One history that somebody waits for."""

    __slots__ = ("bytes", "done", "last", "low", "player", "pushes", "wanted")

    def __init__(
        self,
        player: PlayerId | None,
        low: int,
        last: int,
        wanted: Callable[[], bool],
        done: asyncio.Future[list[Push]],
    ) -> None:
        self.player = player
        self.low = low
        self.last = last
        self.wanted = wanted
        self.done = done
        self.pushes: list[Push] = []
        self.bytes = 0


class Histories:
    """Reads histories for all feeds of a gateway."""

    def __init__(self, bus: Bus, tasks: Tasks, *, patience_s: float) -> None:
        """Nothing is asked for yet.

        Args:
            bus: the connection.
            tasks: the owner of what runs.
            patience_s: who would have to wait for longer is told to come later.
        """
        self._bus = bus
        self._tasks = tasks
        self._patience_s = patience_s
        self._waiting: deque[_Asked] = deque()
        self._alone = 0
        self._together = False
        self._pace = Pace(1, 8, patience_s=_QUICK_S, begin=4)
        self._batch = Pace(256, 4096, patience_s=_BATCH_S, step=256, begin=1024)
        self._sequences, self._seconds = _SEQUENCES, _SECONDS
        self._alone_s = _ALONE_S
        self._left = 0
        self._span = (0, 0)

    def come_later(self) -> float | None:
        """After how many seconds somebody who comes now with much to catch up on should come; None: at once."""
        wait_s = self._wait_s()
        return None if wait_s <= self._patience_s else _spread(wait_s)

    def later(self) -> float:
        """When somebody who could not be served may come again, in seconds: spread over the present wait."""
        return _spread(self._wait_s())

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
        if not patient and (after_s := self.come_later()) is not None:
            raise Crowded(after_s)
        asked = _Asked(player, low, last, wanted, asyncio.get_running_loop().create_future())
        if player is None:
            self._waiting.appendleft(asked)
        else:
            self._waiting.append(asked)
            lowest, highest = self._span
            self._span = (min(lowest or low, low), max(highest, last))
        self._dispatch()
        return await asked.done

    def _wait_s(self) -> float:
        lowest, highest = self._span
        return expected_wait_s(
            left=self._left,
            waiting=len(self._waiting),
            span=highest - lowest,
            per_s=self._sequences / self._seconds,
            alone_s=self._alone_s / self._pace.size,
        )

    # --- whose turn it is ----------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Begin what may begin. Not async on purpose: nobody else changes who waits meanwhile."""
        if not self._together and len(self._waiting) >= _LEAST_MANY:
            self._begin_together()
        bound = min(self._pace.size, _ALONE_MEANWHILE) if self._together else self._pace.size
        while self._waiting and (self._alone < bound or self._waiting[0].player is None):
            asked = self._waiting.popleft()
            if not self._drop_unless_wanted(asked):
                self._alone += 1
                self._tasks.spawn(self._read_alone(asked), "history")
        if not self._waiting:
            self._span = (0, 0)

    def _begin_together(self) -> None:
        waiting = [asked for asked in self._waiting if not self._drop_unless_wanted(asked)]
        everybody = [asked for asked in waiting if asked.player is None]
        players = sorted((asked for asked in waiting if asked.player is not None), key=lambda asked: asked.low)
        group: list[_Asked] = []
        if players:
            end = max(asked.last for asked in players)
            begin = together_from([asked.low for asked in players], end)
            if begin is not None:
                group = [asked for asked in players if asked.low >= begin][-MAX_TOGETHER:]
        chosen = set(map(id, group))
        left = [asked for asked in waiting if id(asked) not in chosen and asked.player is not None]
        self._waiting = deque([*everybody, *left])
        self._span = (min((each.low for each in left), default=0), max((each.last for each in left), default=0))
        if group:
            self._together = True
            self._tasks.spawn(self._read_together(group), "histories")

    @staticmethod
    def _drop_unless_wanted(asked: _Asked) -> bool:
        if not asked.done.done() and asked.wanted():
            return False
        metrics.UNREAD_HISTORIES.inc()
        if not asked.done.done():
            asked.done.set_result([])
        return True

    # --- reading -------------------------------------------------------------------------------------------------

    async def _read_alone(self, asked: _Asked) -> None:
        asked_at = time.monotonic()
        metrics.HISTORIES.labels(how="alone").inc()
        try:
            stored = await read_pushes(self._bus, asked.player, asked.low, timeout_s=_TIMEOUT_S)
        except BusError as error:
            self._pace.failed(asked_at, time.monotonic())
            _fail((asked,), error)
        else:
            now = time.monotonic()
            self._pace.answered(asked_at, now)
            self._alone_s += _WEIGHT * (now - asked_at - self._alone_s)
            if not asked.done.done():
                asked.done.set_result([Push(push.seq, 0, checked(push.seq, push.body)) for push in stored])
        finally:
            self._alone -= 1
            self._dispatch()

    async def _read_together(self, group: list[_Asked]) -> None:
        try:
            group = await self._read_stretches(group)
            metrics.HISTORIES.labels(how="together").inc(len(group))
            for start in range(0, len(group), _HANDED_AT_ONCE):
                for asked in group[start : start + _HANDED_AT_ONCE]:
                    if not asked.done.done():
                        asked.done.set_result(asked.pushes)
                await asyncio.sleep(0)
        except BusError as error:
            _log.warning("histories.not_read", players=len(group), error=str(error))
            _fail(group, error)
        finally:
            self._left = 0
            self._together = False
            self._dispatch()

    async def _read_stretches(self, group: list[_Asked]) -> list[_Asked]:
        """Read for all of the group; those for whom there was room."""
        seq, end = min(asked.low for asked in group), max(asked.last for asked in group)
        wanted = _by_subject(group)
        held = 0
        while seq <= end and wanted:
            self._left = end - seq
            stretch = await self._read_stretch(seq, min(self._batch.size, end - seq + 1), wanted)
            for subject, number, body in stretch.found:
                pushes = wanted[subject]
                for asked in pushes:
                    if number >= asked.low:
                        asked.pushes.append(Push(number, 0, checked(number, body)))
                        asked.bytes += len(body)
                        held += len(body)
            if stretch.ended:
                break
            seq = stretch.last_seq + 1
            group = [asked for asked in group if not self._drop_unless_wanted(asked)]
            if held > _HELD_BYTES:
                group = self._shed(group)
                held = sum(asked.bytes for asked in group)
            wanted = _by_subject(group)
        return group

    async def _read_stretch(self, seq: int, count: int, wanted: dict[str, list[_Asked]]) -> Stretch:
        for left in reversed(range(_TRIES)):
            asked_at = time.monotonic()
            try:
                stretch = await read_stretch(
                    self._bus, seq, count, wanted, max_bytes=_BATCH_BYTES, timeout_s=_TIMEOUT_S
                )
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

    def _shed(self, group: list[_Asked]) -> list[_Asked]:
        """Have half of them wait for the next turn, from the beginning."""
        middle = (len(group) + 1) // 2
        for asked in group[middle:]:
            asked.pushes, asked.bytes = [], 0
            self._waiting.append(asked)
            self._span = (min(self._span[0] or asked.low, asked.low), max(self._span[1], asked.last))
        return group[:middle]


def _by_subject(group: Iterable[_Asked]) -> dict[str, list[_Asked]]:
    wanted: dict[str, list[_Asked]] = {}
    for asked in group:
        wanted.setdefault(subjects.notify(asked.player), []).append(asked)
    return wanted


def _fail(group: Iterable[_Asked], error: BusError) -> None:
    for asked in group:
        if not asked.done.done():
            asked.done.set_exception(error)


def _spread(wait_s: float) -> float:
    return random.uniform(max(0.5, wait_s), 2 * wait_s + 2.0)  # noqa: S311 - no secret
