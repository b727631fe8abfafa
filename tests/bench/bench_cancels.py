"""Many alarms set and taken back: whether the server's memory and its store shrink again, and how soon.

uv run python -m tests.bench.bench_cancels [--alarms 100000] [--patience 420]

The store shrinks at once. The memory does when Go's runtime collects, every two minutes where nothing happens, and
then gives back to the system what it does not need, over some minutes more.
"""

import argparse
import asyncio
import time
from datetime import UTC, datetime, timedelta

import psutil

from starwake.bus.alarms import Alarms
from starwake.bus.jetstream import stream_info
from starwake.bus.publish import JetStreamPublisher
from starwake.bus.streams import TIMERS
from starwake.contracts.alarms import build_alarm
from tests.bench.scheduler_world import World, build, show, world

_AT_ONCE = 5_000
_SMALL_AGAIN = 0.5
"""Of what the alarms took, when the memory counts as given back."""


async def main(count: int, patience_s: float) -> None:
    async with world() as here:
        scheduler = await here.start()
        await scheduler.stop()
        alarms = Alarms(here.bus, JetStreamPublisher(here.bus, max_in_flight=1024))
        due = datetime.now(UTC) + timedelta(days=7)
        armed = [build_alarm(build(f"player-{number % 1000}", due)) for number in range(count)]
        sizes = {"empty": await _sizes(here)}
        began = time.monotonic()
        for start in range(0, count, _AT_ONCE):
            await alarms.arm(armed[start : start + _AT_ONCE])
        arm_s = time.monotonic() - began
        sizes["armed"] = await _sizes(here)
        began = time.monotonic()
        for start in range(0, count, _AT_ONCE):
            await alarms.disarm([alarm.key for alarm in armed[start : start + _AT_ONCE]])
        disarm_s = time.monotonic() - began
        messages = count
        while messages:
            await asyncio.sleep(0.5)
            info = await stream_info(here.bus, TIMERS)
            messages = 0 if info is None else int(info["state"]["messages"])
        gone_s = time.monotonic() - began
        sizes["cancelled"] = await _sizes(here)
        halved_s = await _until_memory_shrinks(here, sizes["empty"], sizes["armed"], began, patience_s)
        sizes["later"] = await _sizes(here)
        await here.nats.stop()
        began = time.monotonic()
        await here.nats.start()
        sizes["restarted"] = await _sizes(here)
        show(
            {
                "scenario": "cancels",
                "alarms": count,
                "arm_per_s": round(count / arm_s),
                "disarm_per_s": round(count / disarm_s),
                "gone_after_s": round(gone_s, 1),
                "memory_halved_after_s": halved_s,
                "restart_s": round(time.monotonic() - began, 1),
                "sizes": sizes,
            }
        )


async def _until_memory_shrinks(
    here: World, empty: dict[str, float], armed: dict[str, float], began: float, patience_s: float
) -> float | None:
    """Wait until half of what the alarms took is given back; after how many seconds, None where it is not."""
    small = empty["memory_mb"] + (armed["memory_mb"] - empty["memory_mb"]) * _SMALL_AGAIN
    while time.monotonic() < began + patience_s:
        if psutil.Process(here.nats.pid).memory_info().rss / 1e6 < small:
            return round(time.monotonic() - began)
        await asyncio.sleep(5)
    return None


async def _sizes(here: World) -> dict[str, float]:
    await asyncio.sleep(2)
    store = here.nats._server.directory / "jetstream"  # pyright: ignore[reportPrivateUsage]
    files = await asyncio.to_thread(
        lambda: [(each.name, each.stat().st_size) for each in store.rglob("*") if each.is_file()]
    )
    return {
        "memory_mb": round(psutil.Process(here.nats.pid).memory_info().rss / 1e6, 1),
        "store_mb": round(sum(size for _, size in files) / 1e6, 1),
        "sched_db_mb": round(sum(size for name, size in files if name == "sched.db") / 1e6, 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alarms", type=int, default=100_000)
    parser.add_argument("--patience", type=float, default=420.0)
    given = parser.parse_args()
    asyncio.run(main(given.alarms, given.patience))
