"""Lateness of completions at a steady rate: from `due_at` to the frame at the player's socket.

uv run python -m tests.bench.bench_lateness [--rate 200] [--seconds 30] [--ahead-ms 100] [--sockets 100]

With --sockets 0 it is measured where a gateway hears it.
"""

import argparse
import asyncio
from datetime import UTC, datetime, timedelta

from tests.bench.scheduler_world import build, in_ms, show, world

_FIRST_DUE_S = 8.0


async def main(rate: int, seconds: int, ahead_ms: int, sockets: int) -> None:
    async with world() as here:
        scheduler = await here.start(STARWAKE_COMMIT_AHEAD_MS=str(ahead_ms))
        players = [f"player-{number}" for number in range(sockets or 1000)]
        if sockets:
            await here.listen_at_sockets(players)
        else:
            await here.listen()
        begin = datetime.now(UTC) + timedelta(seconds=_FIRST_DUE_S)
        builds = [
            build(players[number % len(players)], begin + timedelta(seconds=number / rate))
            for number in range(rate * seconds)
        ]
        await here.fill(builds)
        before = here.cpu()
        await here.until_heard(len(builds), _FIRST_DUE_S + seconds + 30)
        after = here.cpu()
        lateness = [heard - due for due, heard in here.heard]
        metrics = await scheduler.metrics()
        commits = metrics["starwake_scheduler_commit_seconds_count"]
        show(
            {
                "scenario": "lateness",
                "rate_per_s": rate,
                "sockets": sockets,
                "completions": len(lateness),
                "lateness_ms": in_ms(lateness),
                "early": sum(1 for each in lateness if each < 0),
                "commits_over_100_ms": commits - metrics['starwake_scheduler_commit_seconds_bucket{le="0.1"}'],
                "batches": metrics["starwake_scheduler_batch_size_count"],
                "cpu_us_per_completion": {
                    name: round((after[name] - before[name]) / len(lateness) * 1e6) for name in after
                },
            }
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--ahead-ms", type=int, default=100)
    parser.add_argument("--sockets", type=int, default=100)
    given = parser.parse_args()
    asyncio.run(main(given.rate, given.seconds, given.ahead_ms, given.sockets))
