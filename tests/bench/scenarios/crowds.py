"""Many connections: what an idle one holds, one frame to all, everybody at once."""

import asyncio
from contextlib import suppress

from tests.bench.contestants import floors, peers
from tests.bench.contestants.base import Running
from tests.bench.contestants.starwake import starwake
from tests.bench.harness.measure import Cpu, flat, pushes, spec
from tests.bench.harness.processes import load
from tests.bench.harness.rounds import Figures
from tests.bench.harness.scenario import Entry, Scale, Scenario, where_installed

_CROWD = 10_000
_STORM = 5_000
_BROADCASTS = 3
_ALL_HEARD_S = 20.0


async def crowd(running: Running, scale: Scale) -> Figures:
    """Connect the crowd, weigh the process that holds it, broadcast to it."""
    players = scale.count(_CROWD, 100)
    before = running.resident_bytes("web")
    what = spec(running, "crowd", players, 0, broadcasts=_BROADCASTS)
    async with load(what) as client:
        await client.ready()
        await asyncio.sleep(1)
        idle = running.resident_bytes("web") - before
        cpu = Cpu(running)
        for _ in range(_BROADCASTS):
            await pushes(running, str(what["prefix"]), count=1, per_s=1, players=0)
            with suppress(TimeoutError):  # `missing` tells
                await client.line(_ALL_HEARD_S)
        used = cpu.per(players * _BROADCASTS)
        figures = flat(await client.figures())
    return figures | used | {"connections": players, "idle_kb": round(idle / players / 1000, 2)}


async def storm(running: Running, scale: Scale) -> Figures:
    """Everybody connects at once."""
    players = scale.count(_STORM, 100)
    what = spec(running, "storm", players, 0)
    cpu = Cpu(running)
    async with load(what) as client:
        await client.ready()
        used = cpu.per(players)  # before they leave, which costs too
        figures = flat(await client.figures())
    return figures | used | {"connections": players}


CROWD = Scenario(
    name="crowd",
    title="10,000 idle connections, and one frame to all of them",
    work=(
        "Unique memory of the process that holds the sockets, after less before, for each connection (`idle_kb`); "
        "three broadcasts, one after the other, each from its sending to the last socket (`to_all_s`)."
    ),
    entries={
        "floor": Entry(floors.echo, crowd),
        "starwake": Entry(starwake, crowd),
        "fastapi": Entry(peers.fastapi_echo, crowd),
        "node ws": Entry(peers.node_ws, crowd),
        "python-socketio": Entry(peers.socketio, crowd),
        **where_installed("centrifugo", Entry(peers.centrifugo, crowd)),
    },
    rounds=1,
    fresh=True,
)
STORM = Scenario(
    name="storm",
    title="5,000 players connect at once",
    work="From the first SYN to the last `hello`, tokens checked (node's and the floor's are not).",
    entries={
        "floor": Entry(floors.echo, storm),
        "starwake": Entry(starwake, storm),
        "fastapi": Entry(peers.fastapi_echo, storm),
        "node ws": Entry(peers.node_ws, storm),
        **where_installed("centrifugo", Entry(peers.centrifugo, storm)),
    },
    rounds=2,
)
