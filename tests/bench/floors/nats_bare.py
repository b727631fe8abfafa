"""Bare NATS on nats-py and uvloop: a process that answers every request, or only takes every message.

`python -m tests.bench.floors.nats_bare respond|take SUBJECT`
"""

import asyncio
import os
import sys

import nats
import uvloop
from nats.aio.msg import Msg


async def main(role: str, subject: str) -> None:
    """Serve until the process is ended."""
    client = await nats.connect(os.environ["BENCH_NATS_URL"])  # pyright: ignore[reportUnknownMemberType]

    async def respond(message: Msg) -> None:
        await client.publish(message.reply, b'{"result":{}}')

    async def take(_message: Msg) -> None:
        return

    await client.subscribe(subject, cb=respond if role == "respond" else take)  # pyright: ignore[reportUnknownMemberType]
    await client.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1], sys.argv[2]))
