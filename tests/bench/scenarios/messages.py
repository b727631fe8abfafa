"""Frames: answered by the gateway, answered by a service behind NATS, pushed from outside."""

import asyncio

from tests.bench.contestants import floors, peers
from tests.bench.contestants.base import Running
from tests.bench.contestants.starwake import starwake, starwake_echo
from tests.bench.harness.measure import Cpu, flat, loaded, program, pushes, spec
from tests.bench.harness.processes import load
from tests.bench.harness.rounds import Figures
from tests.bench.harness.scenario import Entry, Scale, Scenario

_PLAYERS = 64
_PUSHED_PLAYERS = 500
_PUSHES_PER_S = 500
_BURST = 6_000
_UNPACED = 1e6


async def echo(running: Running, scale: Scale) -> Figures:
    """A closed loop of `time`, one in flight for each player."""
    return await loaded(running, spec(running, "round_trips", _PLAYERS, scale.seconds, command="time"), "answered")


async def command(running: Running, scale: Scale) -> Figures:
    """A closed loop of a command that a service behind NATS answers at once."""
    what = spec(running, "round_trips", _PLAYERS, scale.seconds, command="bench.echo")
    return await loaded(running, what, "answered")


async def bare_requests(running: Running, scale: Scale) -> Figures:
    """nats-py requests to nats-py, as many in flight."""
    cpu = Cpu(running)
    words = ("ask", "bare", str(scale.seconds), str(_PLAYERS))
    env = {"BENCH_NATS_URL": running.addresses["nats"]}
    figures = await program("tests.bench.floors.ask_nats", *words, env=env)
    return figures | cpu.per(figures["answered"])


async def push(running: Running, scale: Scale) -> Figures:
    """Pushes at a steady rate to players in turn, from a process beside the servers."""
    players, count = scale.count(_PUSHED_PLAYERS), int(_PUSHES_PER_S * scale.seconds)
    what = spec(running, "receive", players, scale.seconds + 20, expected=count)
    async with load(what) as client:
        await client.ready()
        cpu = Cpu(running)
        source = await pushes(running, str(what["prefix"]), count=count, per_s=_PUSHES_PER_S, players=players)
        figures = flat(await client.figures())
    return figures | source | cpu.per(figures["received"])


async def burst(running: Running, scale: Scale) -> Figures:
    """As many pushes as the source and the servers can, 64 of them under way."""
    players, count = scale.count(_PUSHED_PLAYERS), scale.count(_BURST, 500)
    what = spec(running, "receive", players, 60, expected=count)
    async with load(what) as client:
        await client.ready()
        cpu = Cpu(running)
        source = await pushes(running, str(what["prefix"]), count=count, per_s=_UNPACED, players=players)
        figures = flat(await client.figures())
    used = cpu.per(figures["received"])
    return figures | source | used | {"per_s": round(figures["received"] / figures["spread_s"], 1)}


async def bare_burst(running: Running, scale: Scale) -> Figures:
    """nats-py publishing to nats-py as fast as it can."""
    cpu, count = Cpu(running), scale.count(_BURST, 500)
    words = ("tell", "bare", str(count / _UNPACED), str(_UNPACED))
    env = {"BENCH_NATS_URL": running.addresses["nats"]}
    figures = await program("tests.bench.floors.ask_nats", *words, env=env)
    await asyncio.sleep(1)  # the one who takes them may be behind
    return figures | cpu.per(figures["received"])


async def bare_pushes(running: Running, scale: Scale) -> Figures:
    """nats-py publishing to nats-py at the same rate."""
    cpu = Cpu(running)
    words = ("tell", "bare", str(scale.seconds), str(_PUSHES_PER_S))
    env = {"BENCH_NATS_URL": running.addresses["nats"]}
    figures = await program("tests.bench.floors.ask_nats", *words, env=env)
    return figures | cpu.per(figures["received"])


ECHO = Scenario(
    name="echo",
    title="A frame answered by the gateway itself",
    work="64 players, each with one command in flight; CPU of the process that holds the sockets, for each answer.",
    entries={
        "floor": Entry(floors.echo, echo),
        "starwake": Entry(starwake, echo),
        "fastapi": Entry(peers.fastapi_echo, echo),
        "node ws": Entry(peers.node_ws, echo),
    },
)
COMMAND = Scenario(
    name="command",
    title="A command's round trip through NATS, without the table",
    work="The same, answered by a service behind NATS that does nothing; the gateway's CPU for each.",
    entries={
        "floor": Entry(floors.nats_responder, bare_requests),
        "starwake": Entry(starwake_echo, command),
        "fastapi + nats-py": Entry(peers.fastapi_nats, command),
    },
)
PUSHES = Scenario(
    name="pushes",
    title="A push to one player",
    work="500 pushes a second to 500 players in turn, from another process; Starwake alone stores them first.",
    entries={
        "floor": Entry(floors.nats_taker, bare_pushes),
        "starwake": Entry(starwake, push),
        "fastapi + redis": Entry(peers.celery, push),
        "python-socketio": Entry(peers.socketio, push),
        "channels": Entry(peers.channels, push),
    },
)
BURST = Scenario(
    name="burst",
    title="Pushes to one player each, as fast as they go",
    work="6,000 pushes to 500 players in turn, 64 under way; Starwake alone stores them first (and acknowledges that).",
    entries={
        "floor": Entry(floors.nats_taker, bare_burst),
        "starwake": Entry(starwake, burst),
        "fastapi + redis": Entry(peers.celery, burst),
        "python-socketio": Entry(peers.socketio, burst),
        "channels": Entry(peers.channels, burst),
    },
    rounds=2,
)
