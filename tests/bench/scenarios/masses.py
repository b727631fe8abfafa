"""Many builds at once: due in the same second, overdue at boot, pending."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from redis.asyncio import Redis

from tests.bench.contestants import peers
from tests.bench.contestants.base import Running, until
from tests.bench.harness.measure import Cpu, flat, program
from tests.bench.harness.processes import CLIENT_CORE, SERVER_CORE, before_exec, pinned
from tests.bench.harness.rounds import Figures
from tests.bench.harness.scenario import Entry, Scale, Scenario
from tests.bench.load.statistics import summary
from tests.bench.scenarios.builds import rows_of_celery
from tests.bench.scheduler_world import build, world

_HERD = 10_000
_BACKLOG = 100_000
_PENDING = 1_000_000


@asynccontextmanager
async def nothing(_folder: Path) -> AsyncGenerator[Running]:
    """For what starts its own servers."""
    yield Running("")


async def herd(_running: Running, scale: Scale) -> Figures:
    """Builds due at the same moment; until the last completion is heard on the notification stream."""
    count = scale.count(_HERD, 200)
    with pinned(SERVER_CORE):
        async with world() as here:
            await here.start()
            with pinned(CLIENT_CORE):
                await here.listen()
                due = datetime.now(UTC) + timedelta(seconds=6 + count / 1500)
                await here.fill([build(f"player-{number % 2000}", due) for number in range(count)])
                before = here.cpu()
                await here.until_heard(count, 120)
                after = here.cpu()
    late = [heard - at for at, heard in here.heard]
    used = sum(after.values()) - sum(before.values())
    return flat(
        {
            "builds": count,
            "completed_per_s": round(count / max(late), 1),
            "early": sum(each < 0 for each in late),
            "doubled": len(late) - count,
            "lateness_ms": summary(late, 1000),
            "cpu_us": round(used / count * 1e6, 1),
        }
    )


async def celery_herd(running: Running, scale: Scale) -> Figures:
    """Celery tasks with the same ETA, taken in by the workers before; until the last row is completed."""
    count = scale.count(_HERD, 200)
    due = datetime.now(UTC) + timedelta(seconds=10 + count / 250)
    done = await rows_of_celery(running)
    builds = [build(f"player-{number % 2000}", due) for number in range(count)]
    async with await psycopg.AsyncConnection.connect(running.addresses["postgres"], autocommit=True) as connection:
        await connection.cursor().executemany(
            "INSERT INTO build VALUES (%s, %s, %s, %s, 'building', %s, %s, NULL)",
            [(each.id, each.player, each.kind, each.site, each.started_at, each.due_at) for each in builds],
        )

    env = {
        "BENCH_DATABASE_URL": running.addresses["postgres"],
        "BENCH_REDIS_URL": running.addresses["redis"],
    }
    workers = running.processes("worker")
    for worker in workers:
        worker.suspend()  # else it has Redis wait for the core, and sending alone takes minutes
    try:
        sent = await program("tests.bench.load.send_tasks", str(due.timestamp()), env=env)
    finally:
        for worker in workers:
            worker.resume()
    assert sent["sent"] == count
    left = due.timestamp() - time.time()
    if left < 0:
        raise RuntimeError(f"the last task was sent {-left:.1f} s after it was due")
    await asyncio.sleep(max(0.0, left - 0.1))
    async with Redis.from_url(running.addresses["redis"]) as redis:  # pyright: ignore[reportUnknownMemberType]
        queued = await redis.llen("celery")
    cpu = Cpu(running)

    async def all_done() -> bool:
        return await rows_of_celery(running) - done >= count

    await until(all_done, 180, "the last completion")
    took = time.time() - due.timestamp()
    figures = {"builds": float(count), "not_taken_in_when_due": float(queued)}
    return figures | {"completed_per_s": round(count / took, 1)} | cpu.per(count)


async def script(name: str, *words: str) -> Figures:
    """Run one of the scheduler's own measurements; the JSON object that it prints.

    Raises:
        RuntimeError: it failed, with the end of what it said.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.bench.{name}", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        preexec_fn=before_exec(None),
    )
    try:
        output, trouble = await process.communicate()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"{name}: {trouble.decode()[-500:]}")
    text = output.decode()
    return flat(json.loads(text[text.index("{") :]))


async def backlog(_running: Running, scale: Scale) -> Figures:
    """An outage's backlog at boot, with new orders all the while."""
    count = scale.count(_BACKLOG, 500)
    return await script("bench_backlog", "--builds", str(count))


async def million(_running: Running, scale: Scale) -> Figures:
    """A table and a stream full of builds that are not due for long."""
    count = scale.count(_PENDING, 1000)
    return await script("bench_million", "--builds", str(count))


HERD = Scenario(
    name="herd",
    title="10,000 builds due in the same moment",
    work="Completions a second, from their `due_at` to the last one on the notification stream (Celery: the last row).",
    entries={"starwake": Entry(nothing, herd), "celery": Entry(peers.celery, celery_herd)},
    rounds=2,
)
BACKLOG = Scenario(
    name="backlog",
    title="100,000 builds overdue at boot",
    work="One player owns half of them; from the scheduler's start to the last push, 50 new orders a second "
    "meanwhile; all of it shares all cores.",
    entries={"starwake": Entry(nothing, backlog)},
    rounds=1,
)
MILLION = Scenario(
    name="million",
    title="1,000,000 builds pending",
    work="Until a restarted scheduler is ready, until it has compared table and alarms, and NATS's resident memory;"
    " all of it shares all cores.",
    entries={"starwake": Entry(nothing, million)},
    rounds=1,
    by_name=True,
    round_s=900,
)
