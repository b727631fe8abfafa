"""What puts load on bare NATS, a process on the client's core; prints its figures as one JSON line.

`python -m tests.bench.floors.ask_nats ask|tell SUBJECT SECONDS IN_FLIGHT_OR_PER_S`
"""

import asyncio
import json
import os
import sys
import time

import nats
import uvloop
from nats.aio.client import Client

from tests.bench.load.statistics import summary


async def ask(client: Client, subject: str, seconds: float, in_flight: int) -> dict[str, object]:
    """Requests, `in_flight` at a time."""
    took: list[float] = []
    ends = time.perf_counter() + seconds

    async def loop() -> None:
        while (began := time.perf_counter()) < ends:
            await client.request(subject, b"{}", timeout=5)
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(loop() for _ in range(in_flight)))
    return {"answered": len(took), "per_s": round(len(took) / seconds, 1), "latency_ms": summary(took, 1000)}


async def tell(client: Client, subject: str, seconds: float, per_s: float) -> dict[str, object]:
    """Messages at a steady rate."""
    began, count = time.perf_counter(), int(seconds * per_s)
    for number in range(count):
        wait = began + number / per_s - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        await client.publish(subject, b'{"event":"bench.tick","data":{"sent_s":1700000000.123456}}')
    await client.flush()
    return {"received": count}


async def main(role: str, subject: str, seconds: float, number: float) -> None:
    """Connect, do it, say what it gave."""
    client = await nats.connect(os.environ["BENCH_NATS_URL"])  # pyright: ignore[reportUnknownMemberType]
    figures = await (
        ask(client, subject, seconds, int(number)) if role == "ask" else tell(client, subject, seconds, number)
    )
    await client.close()
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
