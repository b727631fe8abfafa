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

from tests.bench.contestants import peers
from tests.bench.contestants.base import Running
from tests.bench.harness.measure import Cpu, flat, program
from tests.bench.harness.processes import CLIENT_CORE, SERVER_CORE, pinned
from tests.bench.harness.rounds import Figures
from tests.bench.harness.scenario import Entry, Scale, Scenario
from tests.bench.load.statistics import summary
from tests.bench.scenarios.builds import rows_of_celery
from tests.bench.scheduler_world import build, world

_HERD = 10_000
_CELERY_HERD = 2_000
_SCRIPTS = Path(__file__).parent.parent


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
    """Celery tasks with the same ETA; until the last row is completed (2,000: it is a rate, and it is slow)."""
    count = scale.count(_CELERY_HERD, 100)
    due = datetime.now(UTC) + timedelta(seconds=6 + count / 500)
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
    sent = await program("tests.bench.load.send_tasks", str(due.timestamp()), env=env)
    assert sent["sent"] == count
    await asyncio.sleep(max(0.0, due.timestamp() - time.time() - 0.1))
    cpu = Cpu(running)
    async with asyncio.timeout(180):
        while await rows_of_celery(running) - done < count:
            await asyncio.sleep(0.05)
    took = time.time() - due.timestamp()
    return {"builds": float(count), "completed_per_s": round(count / took, 1)} | cpu.per(count)


async def script(name: str, *words: str, within_s: float) -> Figures:
    """Run one of the scheduler's own measurements; the JSON object that it prints.

    Raises:
        RuntimeError: it failed, with the end of what it said.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.bench.{name}", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(within_s):
            output, trouble = await process.communicate()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"{name}: {trouble.decode()[-500:]}")
    text = output.decode()
    return flat(json.loads(text[text.index("{") :]))


HERD = Scenario(
    name="herd",
    title="10,000 builds due in the same moment",
    work="Completions a second, from their `due_at` to the last one on the notification stream (Celery: the last row).",
    entries={"starwake": Entry(nothing, herd), "celery": Entry(peers.celery, celery_herd)},
    rounds=2,
)
