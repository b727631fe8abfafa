"""Frames: answered by the gateway, answered by a service behind NATS, pushed from outside."""

import asyncio

from tests.bench.contestants import floors, peers
from tests.bench.contestants.base import Running
from tests.bench.contestants.starwake import starwake, starwake_echo
from tests.bench.harness.measure import Cpu, loaded, program, received, spec
from tests.bench.harness.rounds import Figures
from tests.bench.harness.scenario import Entry, Scale, Scenario, where_installed

_PLAYERS = 64
_PUSHED_PLAYERS = 500
_PUSHES_PER_S = 500
_BURST = 6_000
_UNPACED = 1e6
_SETTLE_S = 0.5


async def echo(running: Running, scale: Scale) -> Figures:
    """A closed loop of `time`, one in flight for each player."""
    return await loaded(running, spec(running, "round_trips", _PLAYERS, scale.seconds, command="time"), "answered")


async def command(running: Running, scale: Scale) -> Figures:
    """A closed loop of a command that a service behind NATS answers at once."""
    what = spec(running, "round_trips", _PLAYERS, scale.seconds, command="bench.echo")
    return await loaded(running, what, "answered")


async def push(running: Running, scale: Scale) -> Figures:
    """Pushes at a steady rate to players in turn, from a process beside the servers."""
    players, count = scale.count(_PUSHED_PLAYERS), int(_PUSHES_PER_S * scale.seconds)
    return await received(running, players, count, _PUSHES_PER_S, within_s=scale.seconds + 20)


async def burst(running: Running, scale: Scale) -> Figures:
    """As many pushes as the source and the servers can, 64 of them under way."""
    figures = await received(running, scale.count(_PUSHED_PLAYERS), scale.count(_BURST, 500), _UNPACED)
    return figures | {"per_s": round(figures["received"] / figures["spread_s"], 1)}


async def bare_requests(running: Running, scale: Scale) -> Figures:
    """nats-py requests to nats-py, as many in flight."""
    return await _bare(running, "ask", scale.seconds, _PLAYERS, "answered")


async def bare_pushes(running: Running, scale: Scale) -> Figures:
    """nats-py publishing to nats-py at the same rate."""
    return await _bare(running, "tell", scale.seconds, _PUSHES_PER_S, "received")


async def bare_burst(running: Running, scale: Scale) -> Figures:
    """nats-py publishing to nats-py as fast as it can."""
    return await _bare(running, "tell", scale.count(_BURST, 500) / _UNPACED, _UNPACED, "received")


async def _bare(running: Running, role: str, seconds: float, number: float, per: str) -> Figures:
    """What bare NATS does on nats-py; `number` requests in flight, or messages a second."""
    cpu = Cpu(running)
    env = {"BENCH_NATS_URL": running.addresses["nats"]}
    figures = await program("tests.bench.floors.ask_nats", role, "bare", str(seconds), str(number), env=env)
    await asyncio.sleep(_SETTLE_S)  # the one who takes them may be behind
    return figures | cpu.per(figures[per])


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
        **where_installed("centrifugo", Entry(peers.centrifugo, push)),
    },
    rounds=2,
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
        **where_installed("centrifugo", Entry(peers.centrifugo, burst)),
    },
    rounds=2,
)
