"""Asks one question for many at once, however singly they are asked.

After a gateway died, thousands of players join another within a second; one request for hundreds of them replaces as
many requests for one.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Generic, TypeVar

from libs.bus.errors import BusError
from services.gateway.tasks import Tasks

_CHUNK: Final = 512

Key = TypeVar("Key")
Value = TypeVar("Value")


class Questions(Generic[Key, Value]):
    """Collects questions while one request is under way; the next request carries all of them."""

    def __init__(self, tasks: Tasks, ask: Callable[[list[Key]], Awaitable[Mapping[Key, Value]]]) -> None:
        """Questions that `ask` knows the answers to, for at most 512 different keys at a time."""
        self._tasks = tasks
        self._ask = ask
        self._waiting: dict[Key, list[Callable[[Value | BusError], None]]] = {}
        self._asking = False

    def put(self, key: Key, answered: Callable[[Value | BusError], None]) -> None:
        """Have `answered` called with the answer, at least as new as the question, or with why there is none."""
        self._waiting.setdefault(key, []).append(answered)
        if not self._asking:
            self._asking = True
            self._tasks.spawn(self._ask_all(), "questions")

    async def get(self, key: Key) -> Value:
        """The answer, waited for.

        Raises:
            BusError: there is none.
        """
        future: asyncio.Future[Value | BusError] = asyncio.get_running_loop().create_future()

        def answered(answer: Value | BusError) -> None:
            if not future.done():  # whoever asked may have gone
                future.set_result(answer)

        self.put(key, answered)
        answer = await future
        if isinstance(answer, BusError):
            raise answer
        return answer

    async def _ask_all(self) -> None:
        try:
            while self._waiting:
                keys = list(itertools.islice(self._waiting, _CHUNK))
                await self._ask_for({key: self._waiting.pop(key) for key in keys})
        finally:
            self._asking = False

    async def _ask_for(self, waiting: Mapping[Key, list[Callable[[Value | BusError], None]]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            answers = await self._ask(list(waiting))
        except BusError as error:
            for answered in itertools.chain.from_iterable(waiting.values()):
                loop.call_soon(answered, error)
            return
        for key, all_answered in waiting.items():
            for answered in all_answered:
                loop.call_soon(answered, answers[key])
