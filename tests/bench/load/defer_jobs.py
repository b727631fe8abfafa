"""Defers procrastinate's jobs at a steady rate: `python -m tests.bench.load.defer_jobs COUNT PER_S DELAY_S`."""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from tests.bench.peers import procrastinate_tasks

_IN_FLIGHT = 16


async def main(count: int, per_s: float, delay_s: float) -> None:
    """Defer each job at its time."""
    app, complete = cast("Any", procrastinate_tasks.app), cast("Any", procrastinate_tasks.complete)
    gate = asyncio.Semaphore(_IN_FLIGHT)
    async with app.open_async(), asyncio.TaskGroup() as deferring:

        async def one() -> None:
            async with gate:
                due = datetime.now(UTC) + timedelta(seconds=delay_s)
                await complete.configure(schedule_at=due).defer_async(due_at=due.timestamp())

        began = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / per_s - time.perf_counter()))
            deferring.create_task(one())
    sys.stdout.write(json.dumps({"deferred": count}) + "\n")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
