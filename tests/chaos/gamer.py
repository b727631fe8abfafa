"""A player at random: starts, cancels, reschedules, queues, with several clients that drop and come back."""

import asyncio
from random import Random
from typing import Any

from tests.chaos.client import Client

KINDS = ("beacon", "beacon", "solar_array", "dock", "survey")
SITES = ("luna-1", "luna-2", "mars-1", "ceres-1")
_ORDERS = ("start", "start", "start", "queue", "cancel", "cancel", "reschedule", "reschedule", "drop", "drop")


class Gamer:
    """One player; every client of theirs should see the same."""

    def __init__(self, player: str, clients: list[Client], dice: Random) -> None:
        self.player = player
        self.clients = clients
        self._dice = dice
        self._builds: list[str] = []

    async def play(self, seconds: float, pause_s: tuple[float, float]) -> None:
        """Give orders for so long; each order is answered before this returns."""
        end = asyncio.get_running_loop().time() + seconds
        under_way: set[asyncio.Task[None]] = set()
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(self._dice.uniform(*pause_s))
            task = asyncio.create_task(self._order())
            under_way.add(task)
            while len(under_way) > 3:
                _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        if under_way:
            await asyncio.gather(*under_way)

    async def _order(self) -> None:
        client = self._dice.choice(self.clients)
        order = self._dice.choice(_ORDERS)
        if order == "drop":
            client.drop()
        elif order in {"start", "queue"}:
            wish: dict[str, Any] = {"kind": self._dice.choice(KINDS), "site": self._dice.choice(SITES)}
            self._remember(await client.command(f"build.{order}", wish))
        elif self._builds:
            build = self._dice.choice(self._builds[-6:])
            args: dict[str, Any] = {"build_id": build}
            if order == "reschedule":
                args["factor"] = self._dice.choice([0.2, 0.5, 0.9, 1.2])
            await client.command(f"build.{order}", args)

    def _remember(self, result: dict[str, Any] | None) -> None:
        if result is not None and "build" in result:
            self._builds.append(result["build"]["id"])
