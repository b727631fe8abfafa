"""Asks the stream for the last sequences of many feeds at once, however singly they are asked for.

After a gateway died, thousands of players join another within a second; one request for up to 1,024 of them replaces
as many requests for one.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from libs.bus.connection import Bus
from libs.bus.errors import BusError
from libs.bus.feed import last_seqs
from libs.contracts.ids import PlayerId
from services.gateway.tasks import Tasks

_CHUNK: Final = 512
_TIMEOUT_S: Final = 3.0


class Positions:
    """Collects questions while one request is under way; the next request carries all of them."""

    def __init__(self, bus: Bus, tasks: Tasks) -> None:
        self._bus = bus
        self._tasks = tasks
        self._waiting: dict[PlayerId | None, asyncio.Future[int]] = {}
        self._asking = False

    async def last(self, player: PlayerId | None) -> int:
        """The last sequence in `player`'s feed (None: everybody's), 0 where it is empty.

        The answer is at least as new as the question.

        Raises:
            BusError: the stream does not answer.
        """
        future = self._waiting.get(player)
        if future is None:
            future = self._waiting[player] = asyncio.get_running_loop().create_future()
        if not self._asking:
            self._asking = True
            self._tasks.spawn(self._ask_all(), "positions")
        return await asyncio.shield(future)

    async def _ask_all(self) -> None:
        try:
            while self._waiting:
                players = list(self._waiting)[:_CHUNK]
                await self._ask([(player, self._waiting.pop(player)) for player in players])
        finally:
            self._asking = False

    async def _ask(self, questions: Sequence[tuple[PlayerId | None, asyncio.Future[int]]]) -> None:
        try:
            found = await last_seqs(self._bus, [player for player, _ in questions], timeout_s=_TIMEOUT_S)
        except BusError as error:
            for _, future in questions:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # whoever asked may have gone; an error that nobody fetches is no news
            return
        for player, future in questions:
            if not future.done():
                future.set_result(found[player])
