"""PURE: the newest stretch of the stream that was read for many, kept for those who come a moment later."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from starwake.gateway.feed import Push

OVERHEAD_BYTES: Final = 200
"""What a push in memory takes beside its body: the objects that hold it (CPython 3.11 to 3.13), its places in lists."""


class Left(NamedTuple):
    """A push that had to make room, and the feed's subject."""

    subject: str
    push: Push


class Window:
    """All pushes, whosever, from one sequence up to another, by the subjects that they are stored on.

    A stretch without gaps: what is not in it was not in the stream when it was read. It grows at its end only.

    Attributes:
        first: the first sequence that it covers.
        last: the last one; below `first` where it covers nothing.
        held_bytes: what it takes in memory, about.
    """

    __slots__ = ("_feeds", "_order", "first", "held_bytes", "last")

    def __init__(self, first: int = 1) -> None:
        """It covers nothing; what is added first begins at sequence `first`."""
        self.first, self.last = first, first - 1
        self.held_bytes = 0
        self._feeds: dict[str, tuple[str, list[Push]]] = {}
        self._order: deque[tuple[str, list[Push]]] = deque()

    def add(self, found: Iterable[tuple[str, int, bytes]], last: int) -> None:
        """Add what lies behind its end, up to sequence `last`: (subject, sequence, body) of each push, oldest first."""
        feeds, order = self._feeds, self._order
        for subject, seq, body in found:
            feed = feeds.get(subject)
            if feed is None:
                feed = feeds[subject] = (subject, [])
            feed[1].append(Push(seq, 0, body))
            order.append(feed)
            self.held_bytes += len(body) + OVERHEAD_BYTES
        self.last = max(self.last, last)

    def shrink(self, max_bytes: int) -> Iterator[Left]:
        """Drop the oldest pushes, one with each step, while it takes more than `max_bytes`."""
        while self.held_bytes > max_bytes and self._order:
            subject, pushes = self._order.popleft()
            push = pushes.pop(0)
            if not pushes:
                del self._feeds[subject]
            self.held_bytes -= len(push.body) + OVERHEAD_BYTES
            self.first = push.seq + 1
            yield Left(subject, push)

    def covers(self, low: int, last: int) -> bool:
        """Whether everything from sequence `low` up to `last` is in it."""
        return self.first <= low and last <= self.last

    def reaches(self, low: int) -> bool:
        """Whether everything from sequence `low` up to its end is in it: reading on from its end is enough."""
        return self.first <= low and self.last >= self.first

    def pushes(self, subject: str, low: int) -> list[Push]:
        """Those of one feed from sequence `low` on."""
        feed = self._feeds.get(subject)
        return [] if feed is None else [push for push in feed[1] if push.seq >= low]
