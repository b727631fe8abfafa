"""PURE: the histories that are waited for."""

import asyncio
from collections.abc import Callable, Iterable

from starwake.contracts import subjects
from starwake.contracts.ids import PlayerId
from starwake.gateway.feed import Push
from starwake.gateway.window import OVERHEAD_BYTES


class Asked:
    """One history that somebody waits for; `pushes` is what was read for it and is not in the window any more."""

    __slots__ = ("bytes", "done", "last", "low", "player", "pushes", "subject", "wanted")

    def __init__(
        self,
        player: PlayerId | None,
        low: int,
        last: int,
        wanted: Callable[[], bool],
        done: asyncio.Future[list[Push]],
    ) -> None:
        self.player = player
        self.subject = subjects.notify(player)
        self.low = low
        self.last = last
        self.wanted = wanted
        self.done = done
        self.pushes: list[Push] = []
        self.bytes = 0

    def take(self, push: Push) -> int:
        """Keep a push that leaves the window, where it is wanted; the bytes that it takes here."""
        if push.seq < self.low:
            return 0
        size = len(push.body) + OVERHEAD_BYTES
        self.pushes.append(push)
        self.bytes += size
        return size

    def fail(self, error: Exception) -> None:
        """Nothing can be read."""
        if not self.done.done():
            self.done.set_exception(error)


def span_of(queue: Iterable[Asked]) -> tuple[int, int]:
    """The sequences over which they lie, (0, 0) for none."""
    span = (0, 0)
    for asked in queue:
        span = wider(span, asked)
    return span


def wider(span: tuple[int, int], asked: Asked) -> tuple[int, int]:
    """That stretch with one more on it; everybody's feed waits for nobody, and does not count."""
    return span if asked.player is None else (min(span[0] or asked.low, asked.low), max(span[1], asked.last))
