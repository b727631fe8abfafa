"""Players who give orders and keep a diary, and the judgement over what they saw and what the table says."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Self

from libs.client import Missed, Push, Refused, Starwake, Unanswered
from tests.deploy.support.guarded import GuardedStack
from tests.support.players import unique_player
from tests.support.postgres import connect


@dataclass
class Diary:
    """What one player ordered, got confirmed and was told."""

    player: str
    accepted: list[str] = field(default_factory=list[str])
    pushes: list[Push] = field(default_factory=list[Push])
    missed: int = 0

    def completed(self) -> Counter[str]:
        """How often each build was told as completed."""
        return Counter(push.data["build"]["id"] for push in self.pushes if push.event == "build.completed")


class Population:
    """Players who order without pause until they are stopped, each on sites of their own."""

    def __init__(self, stack: GuardedStack, ports: Sequence[int], size: int) -> None:
        self._stack = stack
        self._ports = ports
        self.diaries = [Diary(unique_player()) for _ in range(size)]
        self._stopping = asyncio.Event()
        self._lives: list[asyncio.Task[None]] = []
        self._sockets = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for number, diary in enumerate(self.diaries):
            url = f"ws://127.0.0.1:{self._ports[number % len(self._ports)]}/ws"
            player = await self._sockets.enter_async_context(
                Starwake.connect(url, token=self._stack.token(diary.player), command_timeout_s=60)
            )
            kinds = await player.catalogue()
            kind = min((each for each in kinds if not each.requires), key=lambda each: each.duration_s).kind
            self._lives += [
                asyncio.create_task(self._listen(player, diary)),
                asyncio.create_task(self._order(player, diary, kind)),
            ]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        for life in self._lives:
            life.cancel()
        for life in self._lives:
            with suppress(asyncio.CancelledError):
                await life
        await self._sockets.aclose()

    @property
    def accepted(self) -> int:
        return sum(len(diary.accepted) for diary in self.diaries)

    def settled(self) -> bool:
        """Whether every accepted build was told as completed."""
        return all(set(diary.accepted) <= diary.completed().keys() for diary in self.diaries)

    def stop_ordering(self) -> None:
        self._stopping.set()

    async def _order(self, player: Starwake, diary: Diary, kind: str) -> None:
        site = 0
        while not self._stopping.is_set():
            site += 1
            with suppress(Refused, Unanswered):  # not confirmed: it may have happened or not, and is not asked for
                diary.accepted.append((await player.build_start(kind, f"site-{site}")).id)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 0.2)

    @staticmethod
    async def _listen(player: Starwake, diary: Diary) -> None:
        async for item in player.events(notices=True):
            if isinstance(item, Push):
                diary.pushes.append(item)
            elif isinstance(item, Missed):
                diary.missed += 1


async def judge(stack: GuardedStack, diaries: Sequence[Diary]) -> list[str]:
    """What is wrong with the world; empty where every promise was kept."""
    wrong: list[str] = []
    connection = await connect(stack.database.superuser_url)
    try:
        rows = await connection.fetch(
            "SELECT id::text, player, state, due_at, completed_at FROM build WHERE player = ANY($1)",
            [diary.player for diary in diaries],
        )
    finally:
        await connection.close()
    table = {str(row["id"]): row for row in rows}
    for diary in diaries:
        told = diary.completed()
        wrong += [f"{build} was accepted and is not in the table" for build in diary.accepted if build not in table]
        wrong += [f"{build} was told {times} times" for build, times in told.items() if times != 1]
        wrong += [f"{build} was never told" for build in diary.accepted if build not in told]
        wrong += [f"{diary.player} missed pushes {diary.missed} times"] * bool(diary.missed)
        for push in diary.pushes:
            if push.event == "build.completed":
                row = table.get(push.data["build"]["id"])
                if row is None or row["state"] != "completed" or row["completed_at"] != row["due_at"]:
                    wrong.append(f"{push.data['build']['id']} was told as completed, the table says {row}")
        sequences = [push.seq for push in diary.pushes if push.feed != "all"]
        if sequences != sorted(set(sequences)):
            wrong.append(f"{diary.player} got pushes twice or out of order")
    return wrong
