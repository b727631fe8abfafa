"""Reading what was pushed, and keeping account of how far it was handled."""

from typing import TYPE_CHECKING, Self

from starwake.client.errors import PushesMissed
from starwake.client.line import Line
from starwake.client.values import Missed, Notice, Push
from starwake.contracts.frames import Position

if TYPE_CHECKING:
    from starwake.client.inbox import Entry


class Events:
    """The pushes, as an asynchronous iterator. Leaving a loop early loses nothing: another goes on after it."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._in_hand: Entry | None = None
        self._handled = line.protocol.position

    @property
    def position(self) -> Position | None:
        """How far pushes were handled."""
        # With nothing left to handle the protocol knows more: pings move the position's time on.
        return self._handled if self._in_hand or len(self._line.inbox) else self._line.protocol.position

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Push:
        while True:
            item = await self.next_item()
            if isinstance(item, Push):
                return item
            if isinstance(item, Missed):
                raise PushesMissed(item.reason)

    async def next_item(self) -> Push | Notice:
        """The next push or notice; asking for it says that the one before was handled.

        Raises:
            StopAsyncIteration: this side has closed the session.
            SessionError: the session is over for good.
        """
        if self._in_hand is not None:
            self._handled = self._in_hand.position
            self._in_hand = None
        entry = await self._line.inbox.get()
        if entry is None:
            raise StopAsyncIteration
        self._in_hand = entry
        if isinstance(entry.item, Push):
            self._line.consumed()
        return entry.item


class EventsWithNotices:
    """The pushes, with what happens to the line among them."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Push | Notice:
        return await self._events.next_item()
