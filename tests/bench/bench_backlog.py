"""An outage's backlog at boot: how fast it is worked off, and whether new orders stay fast and on time meanwhile.

uv run python -m tests.bench.bench_backlog [--builds 100000] [--orders-per-s 50]

One player owns half of the backlog, a few thousand others the rest.
"""

import argparse
import asyncio
import json
import time
from datetime import UTC, datetime, timedelta

from starwake.contracts.ids import new_id
from tests.bench.scheduler_world import World, build, in_ms, show, world

_TIME_SCALE = "120"
_SHORTEST = "beacon"


async def main(count: int, orders_per_s: int) -> None:
    async with world() as here:
        first = await here.start()
        await first.stop()
        began_at = datetime.now(UTC) - timedelta(hours=1)
        await here.fill(
            [
                build("whale" if number % 2 else f"player-{number % 5000}", began_at + timedelta(milliseconds=number))
                for number in range(count)
            ]
        )
        await here.start("command", STARWAKE_TIME_SCALE=_TIME_SCALE)
        await here.listen()
        began = time.monotonic()
        before = here.cpu()
        scheduler = await here.start(until_ready=False)
        ordering = asyncio.create_task(_order(here, orders_per_s))
        overdue = count
        while overdue:
            await asyncio.sleep(0.25)
            overdue = await here.sql(
                "SELECT count(*) FROM build WHERE state = 'building' AND due_at < now() - interval '10 minutes'"
            )
        completed_s = time.monotonic() - began
        untold = count
        while untold:
            await asyncio.sleep(0.25)
            untold = await here.sql("SELECT count(*) FROM outbox WHERE player NOT LIKE 'new-%'")
        told_s = time.monotonic() - began
        after = here.cpu()
        ordering.cancel()
        latencies = (await asyncio.gather(ordering, return_exceptions=True))[0]
        assert not isinstance(latencies, BaseException), latencies
        await asyncio.sleep(3)
        fresh = [heard - due for due, heard in here.heard if due > began_at.timestamp() + 1800]
        show(
            {
                "scenario": "backlog",
                "overdue": count,
                "boot_to_completed_s": round(completed_s, 1),
                "boot_to_told_s": round(told_s, 1),
                "build_start_ms": in_ms(latencies),
                "new_builds_lateness_ms": in_ms(fresh),
                "new_builds": len(fresh),
                "memory_mb": here.memory_mb(),
                "ready": await scheduler.is_ready(),
                "cpu_us_per_completion": {
                    name: round((used - before.get(name, 0.0)) / count * 1e6) for name, used in after.items()
                },
            }
        )


async def _order(here: World, per_s: int) -> list[float]:
    """Start short builds at a steady rate until cancelled; how long each answer took."""
    latencies: list[float] = []
    under_way: set[asyncio.Task[None]] = set()

    async def start(number: int) -> None:
        frame = {
            "id": new_id(),
            "command": "build.start",
            "args": {"kind": _SHORTEST, "site": f"luna-{number}"},
        }
        began = time.monotonic()
        answer = await here.bus.request(f"cmd.new-{number % 500}.build.start", json.dumps(frame).encode(), timeout_s=10)
        latencies.append(time.monotonic() - began)
        assert b'"result"' in answer.payload, answer.payload

    number = 0
    began = time.monotonic()
    try:
        while True:
            number += 1
            await asyncio.sleep(max(0.0, began + number / per_s - time.monotonic()))
            task = asyncio.create_task(start(number))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
    except asyncio.CancelledError:
        await asyncio.gather(*under_way)
    return latencies


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--builds", type=int, default=100_000)
    parser.add_argument("--orders-per-s", type=int, default=50)
    given = parser.parse_args()
    asyncio.run(main(given.builds, given.orders_per_s))
