"""Where pushes come from: a process beside the servers, as game code would be.

`python -m tests.bench.load.source SPEC`.

Each contestant is fed the way its own documentation has it for another process that wants to reach players.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, cast

import httpx
import msgspec
import picows
import uvloop
from picows import WSListener, WSMsgType

from starwake.bus.connection import Bus, BusOptions
from starwake.bus.errors import BusError
from starwake.bus.notifications import Notifier
from starwake.bus.publish import JetStreamPublisher
from starwake.contracts.events import Notification, encode_body
from starwake.contracts.ids import PlayerId, new_id

Push = Callable[[str | None], Awaitable[None]]
"""Send one push to a player, or to everybody."""
EVENT: Final = "bench.tick"
_IN_FLIGHT: Final = 64
_ws_connect: Final = cast("Callable[..., Awaitable[tuple[Any, Any]]]", picows.ws_connect)  # pyright: ignore[reportUnknownMemberType]


class SourceSpec(msgspec.Struct):
    """What to send: `count` pushes, `per_s` a second, to `players` players in turn (0: each to everybody)."""

    way: str
    address: str
    count: int
    per_s: float
    players: int
    prefix: str = "bench"
    secret: str = ""


def data() -> dict[str, float]:
    """What each push carries: when it was sent, seconds since 1970."""
    return {"sent_s": time.time()}


def frame() -> dict[str, object]:
    """A push as the peers send it."""
    return {"type": "push", "event": EVENT, "data": data()}


@asynccontextmanager
async def starwake(address: str) -> AsyncGenerator[Push]:
    """Into the stored feed, acknowledged."""
    bus = await Bus.connect(BusOptions(url=address, name="bench-source"))
    notifier = Notifier(JetStreamPublisher(bus, max_in_flight=_IN_FLIGHT))

    async def push(player: str | None) -> None:
        body = encode_body(EVENT, datetime.now(UTC), data())
        [told] = await notifier.publish([Notification(new_id(), PlayerId(player) if player else None, body)])
        if isinstance(told, BusError):
            raise told

    yield push
    await bus.close()


@asynccontextmanager
async def redis(address: str) -> AsyncGenerator[Push]:
    """By Redis pub/sub."""
    from redis.asyncio import Redis  # noqa: PLC0415 - each way needs its own library alone

    client = Redis.from_url(address)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

    async def push(player: str | None) -> None:
        await client.publish(f"player:{player}" if player else "everybody", json.dumps(frame()))  # pyright: ignore[reportUnknownMemberType]

    yield push
    await client.aclose()


@asynccontextmanager
async def socketio(address: str) -> AsyncGenerator[Push]:
    """By python-socketio's write-only manager."""
    import socketio as library  # noqa: PLC0415 - as above

    manager = cast("Any", library.AsyncRedisManager(address, write_only=True))

    async def push(player: str | None) -> None:
        await manager.emit("push", frame(), room=player)

    yield push


@asynccontextmanager
async def channels(address: str) -> AsyncGenerator[Push]:
    """By `group_send` of channels-redis."""
    from channels_redis.core import RedisChannelLayer  # noqa: PLC0415 - as above

    layer = cast("Any", RedisChannelLayer(hosts=[address], capacity=10_000))

    async def push(player: str | None) -> None:
        group = f"player.{player}" if player else "everybody"
        await layer.group_send(group, {"type": "push", "frame": json.dumps(frame())})

    yield push


@asynccontextmanager
async def http(address: str) -> AsyncGenerator[Push]:
    """By a POST to the server itself, to everybody."""
    async with httpx.AsyncClient(timeout=60) as client:

        async def push(_player: str | None) -> None:
            (await client.post(address, content=json.dumps(frame()))).raise_for_status()

        yield push


@asynccontextmanager
async def centrifugo(address: str) -> AsyncGenerator[Push]:
    """By `publish` of its HTTP API."""
    async with httpx.AsyncClient(timeout=60) as client:

        async def push(player: str | None) -> None:
            body = {"channel": f"#{player}" if player else "all", "data": frame()}
            answer = (await client.post(address, json=body)).raise_for_status().json()
            if "error" in answer:
                raise RuntimeError(f"centrifugo: {answer['error']}")

        yield push


@asynccontextmanager
async def socket(address: str) -> AsyncGenerator[Push]:
    """By a socket of the server itself, to everybody."""
    transport, _ = await _ws_connect(WSListener, address)

    async def push(_player: str | None) -> None:
        transport.send(WSMsgType.TEXT, b"!" + json.dumps(frame()).encode())

    yield push
    await asyncio.sleep(0.2)
    transport.disconnect()


WAYS = {
    "starwake": starwake,
    "redis": redis,
    "socketio": socketio,
    "channels": channels,
    "centrifugo": centrifugo,
    "http": http,
    "socket": socket,
}


async def run(spec: SourceSpec) -> dict[str, float]:
    """Send everything at its time; how long it took in seconds, and the CPU share."""
    gate = asyncio.Semaphore(_IN_FLIGHT)
    async with WAYS[spec.way](spec.address) as push:

        async def one(player: str | None) -> None:
            async with gate:
                await push(player)

        began, cpu = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as sending:
            for number in range(spec.count):
                wait = began + number / spec.per_s - time.perf_counter()
                if wait > 0:
                    await asyncio.sleep(wait)
                await gate.acquire()  # not more tasks than may be under way: each notes when it is sent
                gate.release()
                sending.create_task(one(f"{spec.prefix}-{number % spec.players}" if spec.players else None))
        wall = time.perf_counter() - began
    return {"source_s": round(wall, 3), "source_cpu_share": round((time.process_time() - cpu) / wall, 3)}


def main() -> None:
    """Read the spec from the command line, run it, print what it took."""
    spec = msgspec.json.decode(sys.argv[1], type=SourceSpec)
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.write(json.dumps(runner.run(run(spec))) + "\n")


if __name__ == "__main__":
    main()
