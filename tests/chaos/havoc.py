"""What is done to the servers: drawn from a seed, then carried out."""

import asyncio
import random
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.chaos.world import World

Deed = Literal["kill", "hold down", "freeze", "stop", "kill backend"]

_WEIGHTS = {"nats": 3, "postgres": 3, "gateway": 2, "command": 2, "scheduler": 3}
_DEEDS: Sequence[Deed] = ("kill", "kill", "kill", "hold down", "hold down", "freeze", "freeze", "stop")


def seeded(seed: int) -> random.Random:
    """Dice that fall the same way each time."""
    return random.Random(seed)  # noqa: S311 - to be played again is what it is for


@dataclass(frozen=True)
class Strike:
    """After a pause of `pause_s` seconds, something is done to some parts, undone `lasts_s` seconds later."""

    pause_s: float
    deed: Deed
    parts: tuple[str, ...]
    lasts_s: float


def strikes(dice: random.Random, parts: Sequence[str], pause_s: tuple[float, float]) -> Iterator[Strike]:
    """PURE: an endless row of strikes; at times several parts at once, a whole service even."""
    by_service: dict[str, list[str]] = {}
    for part in parts:
        by_service.setdefault(part.partition("-")[0], []).append(part)
    services = list(by_service)
    weights = [_WEIGHTS[service] for service in services]
    while True:
        (service,) = dice.choices(services, weights)
        deed = dice.choice(_DEEDS)
        chosen = by_service[service] if dice.random() < 0.2 else [dice.choice(by_service[service])]
        if service == "postgres" and dice.random() < 0.3:
            deed = "kill backend"
        if dice.random() < 0.15:
            chosen = [*chosen, dice.choice([part for part in parts if part not in chosen])]
        lasts_s = dice.uniform(0.3, 6.0) if deed in ("freeze", "hold down") else 0.0
        yield Strike(dice.uniform(*pause_s), deed, tuple(chosen), lasts_s)


async def wreak(world: World, dice: random.Random, for_s: float, pause_s: tuple[float, float]) -> int:
    """Strike again and again for so many seconds; how often. What was held down or frozen is let go at the end."""
    count = 0
    undoing: set[asyncio.Task[None]] = set()
    try:
        async with asyncio.timeout(for_s):
            for strike in strikes(dice, world.parts, pause_s):
                await asyncio.sleep(strike.pause_s)
                _do(world, strike, dice)
                count += 1
                if strike.lasts_s:
                    task = asyncio.create_task(_undo(world, strike))
                    undoing.add(task)
                    task.add_done_callback(undoing.discard)
    except TimeoutError:
        return count
    finally:
        for task in list(undoing):
            task.cancel()
        await asyncio.gather(*undoing, return_exceptions=True)
        world.release()
    return count


def _do(world: World, strike: Strike, dice: random.Random) -> None:
    for part in strike.parts:
        match strike.deed:
            case "kill":
                world.kill(part)
            case "hold down":
                world.hold_down(part)
            case "freeze":
                world.freeze(part)
            case "stop":
                world.kill(part, signal.SIGINT if part == "postgres" else signal.SIGTERM)
            case "kill backend":
                world.kill_child(part, dice)


async def _undo(world: World, strike: Strike) -> None:
    await asyncio.sleep(strike.lasts_s)
    world.release(*strike.parts)
