"""`build.start` requests straight to the command service: how many it answers in a second, committed with fsync on.

uv run python -m tests.bench.bench_orders [--orders 20000] [--in-flight 256] [--copies 1]
"""

import argparse
import asyncio
import json
import time
from collections import Counter

from starwake.bus.connection import Bus
from starwake.bus.errors import BusError
from starwake.bus.provision import provision
from starwake.contracts import subjects
from starwake.contracts.ids import PlayerId
from tests.bench.scheduler_world import in_ms, show, world

_PLAYERS = 2000
_TIMEOUT_S = 30.0


async def main(count: int, in_flight: int, copies: int) -> None:
    async with world() as here:
        await provision(here.bus, 1)
        for _ in range(copies):
            await here.start("command", until_ready=False)
        await until_answering(here.bus)
        frames = iter([_order(number) for number in range(count)])
        seconds: list[float] = []
        outcomes: Counter[str] = Counter()

        async def play() -> None:
            for subject, frame in frames:
                begun = time.perf_counter()
                try:
                    answer = await here.bus.request(subject, frame, timeout_s=_TIMEOUT_S)
                except BusError as error:
                    outcomes[type(error).__name__] += 1
                else:
                    outcomes["accepted" if answer.payload.startswith(b'{"result"') else "refused"] += 1
                    seconds.append(time.perf_counter() - begun)

        before, begun = here.cpu(), time.perf_counter()
        await asyncio.gather(*(play() for _ in range(in_flight)))
        took = time.perf_counter() - begun
        await asyncio.sleep(1)  # what is armed and told after the answers counts too
        after = here.cpu()
        show(
            {
                "scenario": "orders",
                "orders": count,
                "in_flight": in_flight,
                "copies": copies,
                "orders_per_s": round(count / took),
                "answer_ms": in_ms(seconds),
                "outcomes": dict(outcomes),
                "cpu_us_per_order": {name: round((after[name] - before[name]) / count * 1e6) for name in after},
            }
        )


def _order(number: int) -> tuple[str, bytes]:
    args = {"kind": "dock", "site": f"site-{number // _PLAYERS}"}
    frame = {"id": f"order-{number}", "command": "build.start", "args": args}
    return subjects.command(PlayerId(f"player-{number % _PLAYERS}"), "build.start"), json.dumps(frame).encode()


async def until_answering(bus: Bus) -> None:
    """Wait until a command service answers."""
    async with asyncio.timeout(60):
        while True:
            try:
                await bus.request(subjects.command(PlayerId("bench"), "commands"), b"", timeout_s=1)
            except BusError:
                await asyncio.sleep(0.1)
            else:
                return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--copies", type=int, default=1)
    given = parser.parse_args()
    asyncio.run(main(given.orders, given.in_flight, given.copies))
