"""A million pending builds: time until ready, duration of the whole reconcile, memory of each process.

uv run python -m tests.bench.bench_million [--builds 1000000] [--lost]

With --lost the alarms are not there: every one of them has to be set.
"""

import argparse
import asyncio
import time
from datetime import UTC, datetime, timedelta

from tests.bench.scheduler_world import build, show, world

_CHUNK = 50_000
_PATIENCE_S = 900.0


async def main(count: int, *, lost: bool) -> None:
    async with world() as here:
        first = await here.start()
        await first.stop()
        soon = datetime.now(UTC) + timedelta(days=2)
        began = time.monotonic()
        for start in range(0, count, _CHUNK):
            part = range(start, min(start + _CHUNK, count))
            await here.fill(
                [build(f"player-{number % 100_000}", soon + timedelta(milliseconds=number)) for number in part],
                armed=not lost,
            )
        filled_s = time.monotonic() - began
        filled_memory = here.memory_mb()
        began = time.monotonic()
        scheduler = await here.start()
        ready_s = time.monotonic() - began
        before = here.cpu()
        metrics = await scheduler.metrics()
        while not metrics["starwake_scheduler_reconcile_seconds"]:
            if time.monotonic() - began > _PATIENCE_S:
                raise TimeoutError(scheduler.log()[-2000:])
            await asyncio.sleep(1.0)
            metrics = await scheduler.metrics()
        after = here.cpu()
        show(
            {
                "scenario": "million",
                "pending": count,
                "alarms_lost": lost,
                "filled_s": round(filled_s, 1),
                "ready_s": round(ready_s, 2),
                "reconcile_s": round(metrics["starwake_scheduler_reconcile_seconds"], 1),
                "armed": metrics.get('starwake_scheduler_reconcile_changes_total{kind="arm"}', 0),
                "memory_mb_before": filled_memory,
                "memory_mb_after": here.memory_mb(),
                "cpu_s": {name: round(after[name] - before.get(name, 0.0), 1) for name in after},
            }
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--builds", type=int, default=1_000_000)
    parser.add_argument("--lost", action="store_true")
    given = parser.parse_args()
    asyncio.run(main(given.builds, lost=given.lost))
