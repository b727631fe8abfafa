"""An evening in the game: orders, completions, pushes and people whose train enters a tunnel, all at once."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tests.bench.load.player import Frame, Player, connect, due_of
from tests.bench.load.statistics import summary
from tests.bench.load.steady import connect_all, tell_ready, until

if TYPE_CHECKING:
    from tests.bench.load.client import Spec

_AWAY_S = 1.0


class Evening:
    """What is going on, and what was measured of it, seconds."""

    def __init__(self, spec: "Spec") -> None:
        self.spec = spec
        self.random = random.Random(7)  # noqa: S311 - the same evening each time
        self.players: list[Player] = []
        self.sent: dict[str, float] = {}
        self.due: dict[str, float] = {}
        self.completed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.replies: list[float] = []
        self.late: list[float] = []
        self.pushes: list[float] = []
        self.back: list[float] = []
        self.not_recovered = 0
        self.away: set[str] = set()

    def on_frame(self, player: Player, frame: Frame) -> None:
        """Note what came, and how late."""
        now = time.time()
        if frame.type in {"reply", "error"} and frame.id in self.sent:
            self.replies.append(now - self.sent.pop(frame.id))
            if frame.type == "error":
                self.refused[bytes(frame.error).decode()] += 1
            else:
                build, at = due_of(frame)
                self.due[build] = at
        elif frame.event == "build.completed":
            build, at = due_of(frame)
            self.completed[build] += 1
            # Whoever was in the tunnel gets it when back; that is no lateness of the server's.
            if player.name not in self.away:
                self.late.append(now - at)
        elif frame.event == "bench.tick" and player.name not in self.away:
            self.pushes.append(now - float(json.loads(bytes(frame.data))["sent_s"]))

    async def orders(self) -> None:
        """One order a player and minute, evenly over the evening."""
        per_s = self.spec.players * float(self.spec.options["orders_per_minute"]) / 60
        run, began = f"{time.time_ns():x}", time.perf_counter()
        for number in range(int(per_s * self.spec.seconds)):
            await asyncio.sleep(max(0.0, began + number / per_s - time.perf_counter()))
            player = self.random.choice(self.players)
            if player.name in self.away:
                continue
            args = {"kind": str(self.spec.options["kind"]), "site": f"{run}-{number}"}
            self.sent[f"{run}-{number}"] = time.time()
            player.send(json.dumps({"id": f"{run}-{number}", "command": "build.start", "args": args}).encode())

    async def tunnels(self) -> None:
        """A share of the players loses the connection, is away for a second and resumes."""
        times = int(self.spec.players * float(self.spec.options["reconnecting"]))
        gap = self.spec.seconds / max(1, times)
        async with asyncio.TaskGroup() as trips:
            for index in self.random.sample(range(self.spec.players), times):
                trips.create_task(self._tunnel(index))
                await asyncio.sleep(gap)

    async def _tunnel(self, index: int) -> None:
        old = self.players[index]
        self.away.add(old.name)
        assert old.transport is not None
        old.transport.disconnect()
        await asyncio.sleep(_AWAY_S)
        began = time.perf_counter()
        new = await connect(self.spec.url, old.name, self.spec.secret, self.on_frame, resume=old.position)
        self.players[index] = new
        if not await until(lambda: bool(new.greeted_at), 30):
            raise RuntimeError("a player who came back was not greeted")
        self.back.append(new.greeted_at - began)
        self.not_recovered += new.recovered is not True
        await asyncio.sleep(0.5)  # what it missed arrives
        self.away.discard(old.name)


async def evening(spec: "Spec") -> dict[str, object]:
    """Play; options: `orders_per_minute` (a player's), `kind`, `build_seconds`, `reconnecting` (a share)."""
    game = Evening(spec)
    game.players = await connect_all(spec, game.on_frame)
    tell_ready()
    async with asyncio.TaskGroup() as group:
        group.create_task(game.orders())
        group.create_task(game.tunnels())
    await until(lambda: not game.due.keys() - game.completed.keys(), float(spec.options["build_seconds"]) + 30)
    lost = len(game.due.keys() - game.completed.keys())
    doubled = sum(times > 1 for times in game.completed.values())
    return {
        "orders": len(game.due),
        "unanswered": len(game.sent),
        "refused": sum(game.refused.values()),
        "lost": lost,
        "doubled": doubled,
        "lost_or_doubled": lost + doubled,
        "not_recovered": game.not_recovered,
        "order_ms": summary(game.replies, 1000),
        "lateness_ms": summary(game.late, 1000),
        "push_ms": summary(game.pushes, 1000),
        "back_ms": summary(game.back, 1000),
    }


ACTIONS: dict[str, Callable[["Spec"], Awaitable[dict[str, object]]]] = {"evening": evening}
