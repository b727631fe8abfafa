"""Bytecode instructions of whole services, sockets and event loop included: for an echo, and for an order's life.

One piece of work after the other, so that nothing is gathered into batches and the figures do not depend on timing;
what a service does while nobody plays is counted first and taken off.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import httpx

from starwake.cli.embedded.ports import LOOPBACK, free_ports
from starwake.cli.services import SERVICES
from tests.bench.contestants.base import SECRET, until
from tests.bench.contestants.starwake import BUILD_SECONDS, CATALOGUE, LIMITS_RAISED
from tests.bench.guards.traced import WRITTEN_EVERY_S
from tests.bench.harness.processes import server
from tests.bench.load.player import Frame, Player, connect
from tests.bench.scheduler_world import world

_ECHOES: Final = 300
_ORDERS: Final = 60
_BETWEEN_S: Final = 0.15
_IDLE_S: Final = 4.0
_READY_S: Final = 60.0
_ANSWER_S: Final = 10.0


class Traced:
    """The three services, each counting."""

    def __init__(self, folder: Path) -> None:
        self.files = {str(name): folder / f"{name}.count" for name in SERVICES}
        self.url = ""
        self._idle = dict.fromkeys(self.files, 0.0)

    async def counts(self) -> dict[str, float]:
        """Instructions of each service so far."""
        await asyncio.sleep(5 * WRITTEN_EVERY_S)
        return {name: float(file.read_text()) for name, file in self.files.items()}

    async def learn_idle(self) -> None:
        """Count what they do while nobody plays, in instructions a second."""
        before, began = await self.counts(), time.monotonic()
        await asyncio.sleep(_IDLE_S)
        after, lasted = await self.counts(), time.monotonic() - began
        self._idle = {name: (after[name] - before[name]) / lasted for name in before}

    async def since(self, before: dict[str, float], began: float, pieces: int) -> dict[str, float]:
        """Instructions for each piece of work since `before` was counted at `began`, without what idleness costs."""
        after, lasted = await self.counts(), time.monotonic() - began
        return {name: (after[name] - before[name] - self._idle[name] * lasted) / pieces for name in before}


@asynccontextmanager
async def traced(folder: Path) -> AsyncGenerator[Traced]:
    """NATS, Postgres and the services, ready."""
    catalogue = folder / "catalogue.toml"
    catalogue.write_text(CATALOGUE)
    running = Traced(folder)
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(world())
        players, *health = free_ports(1 + len(SERVICES))
        env = LIMITS_RAISED | {
            "STARWAKE_NATS_URL": here.nats.url,
            "STARWAKE_DATABASE_URL": here.database_url,
            "STARWAKE_CATALOGUE": str(catalogue),
            "STARWAKE_JWT_SECRET": SECRET,
            "STARWAKE_PORT": str(players),
        }
        # The scheduler first: it makes the streams.
        for name, port in sorted(zip(SERVICES, health, strict=True), reverse=True):
            own = {"STARWAKE_HEALTH_PORT": str(port), "BENCH_COUNT_FILE": str(running.files[name])}
            argv = (sys.executable, "-m", "tests.bench.guards.traced", name)
            await stack.enter_async_context(server(name, argv, env=env | own, core=None, log_folder=folder))
            await until(lambda port=port: _ready(port), _READY_S, name)
        running.url = f"ws://{LOOPBACK}:{players}/ws"
        yield running


async def _ready(port: int) -> bool:
    async with httpx.AsyncClient() as client:
        try:
            return (await client.get(f"http://{LOOPBACK}:{port}/readyz")).is_success
        except httpx.TransportError:
            return False


class Talk:
    """One player's socket: a command, its answer, the next command."""

    def __init__(self) -> None:
        self._answered = asyncio.Event()
        self.refused = 0
        self.completed = 0

    def on_frame(self, _player: Player, frame: Frame) -> None:
        """Note an answer or a completion."""
        if frame.type in {"reply", "error"}:
            self.refused += frame.type == "error"
            self._answered.set()
        self.completed += frame.event == "build.completed"

    async def say(self, player: Player, number: int, command: str, **args: str) -> None:
        """Send a command and wait for its answer."""
        self._answered.clear()
        player.send(json.dumps({"id": f"{command}-{number}", "command": command, "args": args}).encode())
        await asyncio.wait_for(self._answered.wait(), _ANSWER_S)

    async def all_completed(self) -> bool:
        """Whether each order was heard of again."""
        return self.completed >= _ORDERS


async def measure(folder: Path) -> dict[str, float]:
    """Instructions of the gateway for an echo, and of each service for an order from `build.start` to its push."""
    async with traced(folder) as running:
        talk = Talk()
        player = await connect(running.url, "ada", SECRET, talk.on_frame)

        async def greeted() -> bool:
            return bool(player.greeted_at)

        await until(greeted, _ANSWER_S, "hello")
        await talk.say(player, -1, "time")
        await talk.say(player, -1, "build.start", kind="quick", site="warm-up")
        await asyncio.sleep(BUILD_SECONDS + 1)
        talk.completed = 0
        await running.learn_idle()
        before, began = await running.counts(), time.monotonic()
        for number in range(_ECHOES):
            await talk.say(player, number, "time")
        echo = await running.since(before, began, _ECHOES)
        before, began = await running.counts(), time.monotonic()
        for number in range(_ORDERS):
            await asyncio.sleep(max(0.0, began + number * _BETWEEN_S - time.monotonic()))
            await talk.say(player, number, "build.start", kind="quick", site=f"site-{number}")
        await until(talk.all_completed, BUILD_SECONDS + _ANSWER_S, "the last completion")
        order = await running.since(before, began, _ORDERS)
        assert not talk.refused
    return {"gateway_instructions_an_echo": echo["gateway"]} | {
        f"{name}_instructions_an_order": count for name, count in order.items()
    }
