"""Builds that all come due within one second: how fast their completions reach the notification stream.

uv run python -m tests.bench.bench_herd [--builds 10000] [--schedulers 1]
"""

import argparse
import asyncio
from datetime import UTC, datetime, timedelta

from tests.bench.scheduler_world import build, in_ms, show, world


async def main(count: int, schedulers: int) -> None:
    async with world() as here:
        for _ in range(schedulers):
            await here.start()
        await here.listen()
        due = datetime.now(UTC) + timedelta(seconds=8 + count / 1000)
        await here.fill([build(f"player-{number % 2000}", due) for number in range(count)])
        before = here.cpu()
        await here.until_heard(count, 120)
        after = here.cpu()
        lateness = [heard - due for due, heard in here.heard]
        show(
            {
                "scenario": "herd",
                "builds": count,
                "schedulers": schedulers,
                "completions_per_s": round(count / max(lateness)),
                "lateness_ms": in_ms(lateness),
                "early": sum(1 for each in lateness if each < 0),
                "cpu_us_per_completion": {name: round((after[name] - before[name]) / count * 1e6) for name in after},
            }
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--builds", type=int, default=10_000)
    parser.add_argument("--schedulers", type=int, default=1)
    given = parser.parse_args()
    asyncio.run(main(given.builds, given.schedulers))
