"""A player who does everything that a player can do, at random, and does not mind what becomes of the line."""

import asyncio
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from starwake.bus.errors import BusError
from starwake.contracts import subjects
from starwake.contracts.times import from_rfc3339, to_rfc3339
from tests.chaos.clients import Client
from tests.chaos.history import Answer
from tests.chaos.reading import bus_of
from tests.chaos.world import World

_SITES = ("luna-1", "luna-2", "mars-1")
_KINDS = ("spark", "beacon", "dock", "survey", "yard")
_MOST_BUILDS = 35
"""Of one player: the feed keeps 257 pushes, and the oracle wants to see them all."""
_AT_ONCE = 6


class Game:
    """One player's part in a run."""

    def __init__(self, client: Client, dice: random.Random) -> None:
        self._client = client
        self._dice = dice
        self._builds: dict[str, datetime] = {}
        self._queued: list[str] = []
        self._made = 0
        self._under_way: set[asyncio.Task[None]] = set()

    async def play(self, for_s: float) -> None:
        """Give orders for so many seconds; what is not answered by then is waited for in `finish`."""
        deadline = asyncio.get_running_loop().time() + for_s
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(self._dice.uniform(0.05, 0.9))
            if self._dice.random() < 0.06:
                self._client.hang_up()
            elif len(self._under_way) < _AT_ONCE:
                task = asyncio.create_task(self._move())
                self._under_way.add(task)
                task.add_done_callback(self._ended)

    async def finish(self, within_s: float) -> None:
        """Wait until every order is answered for good.

        Raises:
            TimeoutError: one is not.
        """
        async with asyncio.timeout(within_s):
            while self._under_way:
                await asyncio.gather(*self._under_way)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.result()

    async def _move(self) -> None:
        dice, client = self._dice, self._client
        draw = dice.random()
        if draw < 0.4 or not self._builds:
            await self._start("build.start")
        elif draw < 0.58:
            await self._start("build.queue")
        elif draw < 0.75:
            await self._cancel()
        elif draw < 0.90:
            await self._reschedule()
        elif draw < 0.94 and self._queued:
            await client.order("build.unqueue", build_id=self._queued.pop(dice.randrange(len(self._queued))))
        else:
            await client.repeat(dice.choice(client.orders))

    async def _start(self, command: str) -> None:
        if self._made >= _MOST_BUILDS:
            return
        self._made += 1
        answer = await self._client.order(command, kind=self._dice.choice(_KINDS), site=self._dice.choice(_SITES))
        self._note(answer)
        if not answer.accepted:
            self._made -= 1
        elif "queued" in answer.body["result"]:
            self._queued.append(answer.body["result"]["queued"]["id"])

    async def _cancel(self) -> None:
        build = self._dice.choice(list(self._builds))
        if self._dice.random() < 0.6:
            await self._until_nearly_due(build)
        await self._client.order("build.cancel", build_id=build)
        self._builds.pop(build, None)

    async def _reschedule(self) -> None:
        build = self._dice.choice(list(self._builds))
        if self._dice.random() < 0.4:
            await self._until_nearly_due(build)
        if self._dice.random() < 0.7:
            args: dict[str, Any] = {"factor": self._dice.choice([0.0, 0.2, 0.5, 1.5, 2.0])}
        else:
            args = {"due_at": to_rfc3339(datetime.now(UTC) + timedelta(seconds=self._dice.uniform(0.0, 5.0)))}
        self._note(await self._client.order("build.reschedule", build_id=build, **args))

    async def _until_nearly_due(self, build: str) -> None:
        """Where cancel and completion race: they meet at the row within a quarter of a second around due."""
        left = (self._builds[build] - datetime.now(UTC)).total_seconds()
        if 0 < left < 8:
            await asyncio.sleep(max(0.0, left - self._dice.uniform(-0.05, 0.25)))

    def _note(self, answer: Answer) -> None:
        if answer.accepted and (build := answer.body["result"].get("build")) is not None:
            self._builds[build["id"]] = from_rfc3339(build["due_at"])


async def announce(world: World, dice: random.Random, players: Sequence[str], for_s: float) -> int:
    """Announce things to one or to all, now or soon, for so many seconds; how many. Asked until answered."""
    count = 0
    deadline = asyncio.get_running_loop().time() + for_s
    while asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(dice.uniform(1.0, 5.0))
        at = datetime.now(UTC) + timedelta(seconds=dice.uniform(-1.0, 4.0))
        announcement = {
            "event": "stars.discovered",
            "player": dice.choice([None, *players]),
            "at": to_rfc3339(at),
            "payload": {"number": count},
            "id": f"announcement-{dice.getrandbits(64):x}",
        }
        await _ask_until_answered(world, json.dumps(announcement).encode())
        count += 1
    return count


async def _ask_until_answered(world: World, body: bytes) -> None:
    """The operators' command line would do the same: the announcement's id makes it safe to repeat."""
    async with asyncio.timeout(180):
        while True:
            try:
                async with bus_of(world) as bus:
                    answer = await bus.request(subjects.ops("announce"), body, timeout_s=5)
            except BusError:
                await asyncio.sleep(0.3)
                continue
            if b'"error"' not in answer.payload[:10] or b"unavailable" not in answer.payload:
                assert answer.payload.startswith(b'{"result"'), answer.payload
                return
            await asyncio.sleep(0.3)
