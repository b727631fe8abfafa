"""Asks one question for many at once, however singly they are asked.

After a gateway died, thousands of players join another within a second; one request for hundreds of them replaces as
many requests for one.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Generic, TypeAlias, TypeVar

from starwake.bus.errors import BusError
from starwake.gateway.pace import Pace
from starwake.gateway.tasks import Tasks

_LEAST: Final = 32
_CHUNK: Final = 512
_QUICK_S: Final = 0.5

Key = TypeVar("Key")
Value = TypeVar("Value")
_Asker: TypeAlias = tuple[Callable[[Value | BusError], None], Callable[[], bool]]


def always() -> bool:
    """Somebody waits for the answer whatever happens."""
    return True


class Questions(Generic[Key, Value]):
    """Collects questions while one request is under way; the next request carries those that still want an answer.

    It carries fewer at a time while the server answers slowly.
    """

    def __init__(self, tasks: Tasks, ask: Callable[[list[Key]], Awaitable[Mapping[Key, Value]]]) -> None:
        """Questions that `ask` knows the answers to, for at most 512 different keys at a time."""
        self._tasks = tasks
        self._ask = ask
        self._waiting: dict[Key, list[_Asker[Value]]] = {}
        self._asking = False
        self._pace = Pace(_LEAST, _CHUNK, patience_s=_QUICK_S, step=_LEAST, begin=_CHUNK)

    def put(self, key: Key, answered: Callable[[Value | BusError], None], wanted: Callable[[], bool] = always) -> None:
        """Have `answered` called with the answer, at least as new as the question, or with why there is none.

        Where `wanted` is false by the time at which it would be asked, whoever wanted to know has gone: it is not
        asked, and `answered` not called.
        """
        self._waiting.setdefault(key, []).append((answered, wanted))
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
                asked = self._take()
                if asked:
                    await self._ask_for(asked)
        finally:
            self._asking = False

    def _take(self) -> dict[Key, list[Callable[[Value | BusError], None]]]:
        """The next questions that somebody still waits for; the others are forgotten."""
        taken: dict[Key, list[Callable[[Value | BusError], None]]] = {}
        for key in list(itertools.islice(self._waiting, _CHUNK)):
            if len(taken) >= self._pace.size:
                break
            askers = [answered for answered, wanted in self._waiting.pop(key) if wanted()]
            if askers:
                taken[key] = askers
        return taken

    async def _ask_for(self, waiting: Mapping[Key, list[Callable[[Value | BusError], None]]]) -> None:
        loop = asyncio.get_running_loop()
        asked_at = time.monotonic()
        try:
            answers = await self._ask(list(waiting))
        except BusError as error:
            self._pace.failed(asked_at, time.monotonic())
            for answered in itertools.chain.from_iterable(waiting.values()):
                loop.call_soon(answered, error)
            return
        self._pace.answered(asked_at, time.monotonic())
        for key, all_answered in waiting.items():
            for answered in all_answered:
                loop.call_soon(answered, answers[key])
