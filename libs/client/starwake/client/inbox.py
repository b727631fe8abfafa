"""What came in and waits to be handled, in order.

Bounded: the protocol lets no more pushes in than its capacity, and between two pushes notices fold into the latest
word on the line and at most one `Missed`.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

from starwake.client.errors import SessionError
from starwake.client.values import Missed, Notice, Push
from starwake.contracts.frames import Position


@dataclass(frozen=True, slots=True)
class Entry:
    """Something to handle; afterwards `position` is what to resume from."""

    item: Push | Notice
    position: Position | None


class Inbox:
    """A queue with an end."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._changed = asyncio.Event()
        self._ended = False
        self._error: SessionError | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry) -> None:
        """Add an entry; a notice replaces what it makes stale."""
        if not isinstance(entry.item, Push):
            self._fold(entry.item)
        self._entries.append(entry)
        self._changed.set()

    def _fold(self, notice: Notice) -> None:
        kept: list[Entry] = []
        while self._entries and not isinstance(self._entries[-1].item, Push):
            last = self._entries.pop()
            if isinstance(last.item, Missed) != isinstance(notice, Missed):
                kept.append(last)
        self._entries.extend(reversed(kept))

    def end(self, error: SessionError | None) -> None:
        """Nothing comes any more; `error` is raised to who goes on reading, None ends reading quietly."""
        self._ended = True
        self._error = error
        self._changed.set()

    async def get(self) -> Entry | None:
        """The next entry; None after a quiet end.

        Raises:
            SessionError: the session is over, and all that came before was read.
        """
        while not self._entries:
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._entries.popleft()
