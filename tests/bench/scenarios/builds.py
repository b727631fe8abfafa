"""Builds: ordered, committed, completed on time."""

import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg

from tests.bench.contestants import floors, peers
from tests.bench.contestants.base import Running, until
from tests.bench.contestants.starwake import BUILD_SECONDS, starwake
from tests.bench.harness.measure import Cpu, flat, loaded, program, pushes, spec
from tests.bench.harness.processes import load
from tests.bench.harness.rounds import Figures
from tests.bench.harness.scenario import Entry, Scale, Scenario
from tests.bench.load.statistics import summary

_ORDERING_PLAYERS = 256
_EVENING_PLAYERS = 5_000
_EVENING_S = 30.0
_TICKS_PER_S = 100


async def orders(running: Running, scale: Scale) -> Figures:
    """A closed loop of `build.start`: answered when it is committed."""
    options: dict[str, float | str] = {"command": "build.start", "kind": "long"}
    what = spec(running, "round_trips", scale.count(_ORDERING_PLAYERS), scale.seconds, **options)
    return await loaded(running, what, "answered")


def _bare(rows: int, connections: int) -> Entry:
    async def insert(running: Running, scale: Scale) -> Figures:
        cpu = Cpu(running)
        env = {"BENCH_DATABASE_URL": running.addresses["postgres"]}
        words = (str(rows), str(scale.seconds), str(connections))
        figures = await program("tests.bench.floors.insert_rows", *words, env=env)
        return figures | cpu.per(figures["answered"])

    return Entry(floors.postgres, insert)


def _completions(per_s: float) -> Callable[[Running, Scale], Awaitable[Figures]]:
    async def measure(running: Running, scale: Scale) -> Figures:
        options: dict[str, float | str] = {"per_s": per_s, "kind": "quick", "build_seconds": BUILD_SECONDS}
        what = spec(running, "completions", scale.count(1000), scale.seconds + 2, **options)
        return await loaded(running, what, "orders")

    return measure


def _lines(log: Path) -> list[bytes]:
    return log.read_bytes().splitlines() if log.exists() else []


def _procrastinate(per_s: float) -> Entry:
    async def measure(running: Running, scale: Scale) -> Figures:
        """Jobs deferred at a steady rate; the worker notes how late each ran."""
        log = Path(running.addresses["completions"])
        before = len(_lines(log))
        count = int(per_s * (scale.seconds + 2))
        cpu = Cpu(running)
        env = {"BENCH_DATABASE_URL": running.addresses["postgres"]}
        await program("tests.bench.load.defer_jobs", str(count), str(per_s), str(BUILD_SECONDS), env=env)

        async def all_done() -> bool:
            return len(_lines(log)) - before >= count

        await until(all_done, BUILD_SECONDS + 60, "the last job")
        late = [float(json.loads(line)["late_s"]) for line in _lines(log)[before:]]
        return flat({"orders": count, "doubled": len(late) - count, "lateness_ms": summary(late, 1000)}) | cpu.per(
            count
        )

    return Entry(peers.procrastinate, measure)


def lateness(per_s: int, rivals: dict[str, Entry], rounds: int = 2) -> Scenario:
    """Orders at a steady rate, each due a few seconds later."""
    return Scenario(
        name=f"lateness-{per_s}",
        title=f"Lateness at {per_s} completions a second",
        work=(
            f"{per_s} orders a second, each due {BUILD_SECONDS:g} s later; from `due_at` to the push on the player's "
            "socket (procrastinate: to its task, there is no socket). Orders and completions share the machine."
        ),
        entries={"starwake": Entry(starwake, _completions(per_s)), **rivals},
        rounds=rounds,
    )


async def evening(running: Running, scale: Scale) -> Figures:
    """5,000 players, an order a player and minute, pushes, 5 % of the players reconnecting."""
    seconds = _EVENING_S if scale.share == 1 else scale.seconds
    options: dict[str, float | str] = {"orders_per_minute": 1, "kind": "quick", "build_seconds": BUILD_SECONDS}
    players = scale.count(_EVENING_PLAYERS, 50)
    what = spec(running, "evening", players, seconds, reconnecting=0.05, **options)
    async with load(what) as client:
        await client.ready()
        cpu, began = Cpu(running), time.perf_counter()
        ticks = int(_TICKS_PER_S * seconds)
        source = await pushes(running, str(what["prefix"]), count=ticks, per_s=_TICKS_PER_S, players=players)
        figures = flat(await client.figures())
        busy = cpu.per(1)["cpu_us"] / 1e6 / (time.perf_counter() - began)
    return figures | source | {"players": players, "pushes_sent": ticks, "server_cpu_share": round(busy, 3)}


async def rows_of_celery(running: Running) -> int:
    """How many builds the seed design has completed."""
    async with await psycopg.AsyncConnection.connect(running.addresses["postgres"], autocommit=True) as connection:
        cursor = await connection.execute("SELECT count(*) FROM build WHERE state = 'completed'")
        row = await cursor.fetchone()
    return int(row[0]) if row else 0


ORDERS = Scenario(
    name="orders",
    title="build.start, frame in to reply, committed",
    work="256 players, each with one order in flight, fsync on; orders a second, and CPU of all servers for each.",
    entries={
        "floor": _bare(64, 1),
        "floor: one row a statement": _bare(1, 16),
        "starwake": Entry(starwake, orders),
        "celery": Entry(peers.celery, orders),
    },
)
LATENESS = [
    lateness(50, {"celery": Entry(peers.celery, _completions(50)), "procrastinate": _procrastinate(50)}),
    lateness(200, {"celery": Entry(peers.celery, _completions(200))}),
    lateness(1000, {}),
]
EVENING = Scenario(
    name="evening",
    title="An evening in the game",
    work="5,000 players, one order a player and minute, 100 pushes a second, 5 % of the players reconnect and resume.",
    entries={"starwake": Entry(starwake, evening)},
    rounds=1,
)
