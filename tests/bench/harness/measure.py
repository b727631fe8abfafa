"""What scenarios have in common: the load client and a push source against a contestant, and its CPU meanwhile."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from tests.bench.contestants.base import Running
from tests.bench.harness.processes import CLIENT_CORE, before_exec, end, load
from tests.bench.harness.rounds import Figures

MICROSECONDS = 1e6


class Cpu:
    """CPU that a contestant's parts used since this was made."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._before = {part: running.cpu_seconds(part) for part in running.parts}

    def per(self, count: float) -> Figures:
        """Microseconds for each of `count` pieces of work: of each part, and of all (`cpu_us`)."""
        if not count:
            return {}
        used = {part: self._running.cpu_seconds(part) - before for part, before in self._before.items()}
        figures = {f"cpu_us_{part}": round(seconds / count * MICROSECONDS, 1) for part, seconds in used.items()}
        return {"cpu_us": round(sum(used.values()) / count * MICROSECONDS, 1)} | figures


def flat(figures: Mapping[str, object]) -> Figures:
    """Numbers only, nested ones under their joined names (`latency_ms_p50`)."""
    found: Figures = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            inner = flat(value)  # pyright: ignore[reportUnknownArgumentType] - JSON
            found |= {f"{name}_{key}": number for key, number in inner.items()}
        elif isinstance(value, int | float):
            found[name] = float(value)
    return found


def spec(running: Running, action: str, players: int, seconds: float, **options: float | str) -> dict[str, object]:
    """What the load client is to do with this contestant; players' names are new each time."""
    return {
        "action": action,
        "url": running.url,
        "secret": running.secret,
        "dialect": running.dialect,
        "players": players,
        "prefix": f"p{time.time_ns():x}",
        "seconds": seconds,
        "options": options,
    }


async def loaded(running: Running, what: Mapping[str, object], per: str) -> Figures:
    """Run the load client; its figures, and the CPU for each of its figure `per`."""
    async with load(what) as client:
        await client.ready()
        cpu = Cpu(running)
        figures = flat(await client.figures())
    return figures | cpu.per(figures[per])


async def program(module: str, *words: str, env: Mapping[str, str] | None = None, within_s: float = 120) -> Figures:
    """Run a module on the client's core; the figures of the last line that it prints.

    Raises:
        RuntimeError: it failed.
    """
    async with _running(module, words, env or {}) as process:
        async with asyncio.timeout(within_s):
            output, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{module} failed with status {process.returncode}")
        return flat(json.loads(output.splitlines()[-1]))


@asynccontextmanager
async def _running(
    module: str, words: tuple[str, ...], env: Mapping[str, str]
) -> AsyncGenerator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *words),
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=before_exec(CLIENT_CORE),
    )
    try:
        yield process
    finally:
        await end(process)


async def received(  # noqa: PLR0913 - how many, how fast, how long
    running: Running, players: int, count: int, per_s: float, *, within_s: float = 60, idle_s: float = 0
) -> Figures:
    """Feed `count` pushes to `players` who listen; how late each came, and what connecting took of memory (`held_kb`).

    The load client judges too: `missing` and `doubled`. With `idle_s` the players are silent for so long first; what
    the process that holds them uses then is theirs (`idle_cpu_us_web`, for each and a second), and no push's.
    """
    before = running.resident_bytes("web")
    what = spec(running, "receive", players, within_s, expected=count)
    async with load(what) as client:
        await client.ready()
        held = (running.resident_bytes("web") - before) / players / 1000
        idle = await _idle(running, idle_s) if idle_s else 0.0
        cpu, began = Cpu(running), time.perf_counter()
        source = await pushes(running, str(what["prefix"]), count=count, per_s=per_s, players=players)
        figures = flat(await client.figures())
        used, lasted = cpu.per(figures["received"]), time.perf_counter() - began
    if idle_s and used:
        used["cpu_us_web"] = round(used["cpu_us_web"] - idle * lasted / figures["received"], 1)
        used["idle_cpu_us_web"] = round(idle / players, 2)
    return figures | source | used | {"held_kb": round(held, 2)}


async def _idle(running: Running, seconds: float) -> float:
    """CPU microseconds a second of the process that holds the sockets while nobody says anything."""
    cpu, began = Cpu(running), time.perf_counter()
    await asyncio.sleep(seconds)
    return cpu.per(1)["cpu_us_web"] / (time.perf_counter() - began)


async def pushes(running: Running, prefix: str, *, count: int, per_s: float, players: int) -> Figures:
    """Feed pushes into the contestant, to `players` in turn or (0) to everybody."""
    what = running.source | {"count": count, "per_s": per_s, "players": players, "prefix": prefix}
    return await program("tests.bench.load.source", json.dumps(what))
