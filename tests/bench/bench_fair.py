"""One player's reads and another's orders: how long `build.start` takes while twenty sockets list 600 builds each.

uv run python -m tests.bench.bench_fair [--sockets 20] [--seconds 10]
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from websockets.asyncio.client import ClientConnection, connect

from starwake.bus.provision import provision
from starwake.contracts.builds import BuildRecord, BuildState
from starwake.contracts.ids import BuildId, PlayerId, Revision, new_id
from starwake.contracts.times import truncate
from tests.bench.bench_orders import until_answering
from tests.bench.scheduler_world import in_ms, show, world

_SECRET = "only-for-this-benchmark-on-this-machine"  # noqa: S105 - it opens nothing else
_BUILDS = 600
_EVERY_S = 0.1


async def main(sockets: int, seconds: float) -> None:
    async with world() as here:
        await provision(here.bus, 1)
        command = await here.start("command", until_ready=False)
        await here.start("scheduler")  # gateways wait for the epoch that it begins
        gateway = await here.start("gateway", STARWAKE_PORT="0", STARWAKE_JWT_SECRET=_SECRET)
        await until_answering(here.bus)
        await here.fill([_build(number) for number in range(_BUILDS)], armed=False)
        assert command.exit_code is None
        url = f"ws://127.0.0.1:{gateway.port}/ws"
        orders: Counter[str] = Counter()
        async with AsyncExitStack() as stack:
            quiet = await _orders(await stack.enter_async_context(_socket(url, "calm")), "a", seconds / 2, orders)
            outcomes: Counter[str] = Counter()
            readers = [
                asyncio.create_task(_list(await stack.enter_async_context(_socket(url, "greedy")), outcomes))
                for _ in range(sockets)
            ]
            before = here.cpu()
            busy = await _orders(await stack.enter_async_context(_socket(url, "bob")), "b", seconds, orders)
            after = here.cpu()
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
        show(
            {
                "scenario": "fair",
                "sockets": sockets,
                "lists": dict(outcomes),
                "orders": dict(orders),
                "orders_alone_ms": in_ms(quiet),
                "orders_beside_lists_ms": in_ms(busy),
                "cpu_share": {name: round((after[name] - before[name]) / seconds, 2) for name in after},
            }
        )


@asynccontextmanager
async def _socket(url: str, player: str) -> AsyncGenerator[ClientConnection]:
    claims = {"sub": player, "iat": time.time(), "exp": time.time() + 3600}
    headers = {"Authorization": f"Bearer {jwt.encode(claims, _SECRET, algorithm='HS256')}"}
    async with connect(
        url, additional_headers=headers, compression=None, proxy=None, max_size=None, close_timeout=0.1
    ) as socket:
        await socket.recv()
        yield socket


async def _orders(socket: ClientConnection, prefix: str, seconds: float, outcomes: Counter[str]) -> list[float]:
    """`build.start` ten times a second, one at a time; how long each answer took, in seconds."""
    took: list[float] = []
    begun = time.perf_counter()
    number = 0
    while time.perf_counter() - begun < seconds:
        await asyncio.sleep(max(0.0, begun + number * _EVERY_S - time.perf_counter()))
        sent = time.perf_counter()
        await socket.send(_frame("build.start", f"{prefix}-{number}", kind="dock", site=f"site-{number}"))
        while (answer := json.loads(await socket.recv())).get("id") != f"{prefix}-{number}":
            pass
        took.append(time.perf_counter() - sent)
        outcomes[answer.get("error", {}).get("code", "accepted")] += 1
        number += 1
    return took


async def _list(socket: ClientConnection, outcomes: Counter[str]) -> None:
    """`build.list` ten times a second, whatever is answered."""

    async def hear() -> None:
        async for frame in socket:
            answer = str(frame)
            if answer.startswith('{"type":"reply"'):
                outcomes["accepted"] += 1
            elif answer.startswith('{"type":"error"'):
                outcomes[json.loads(answer)["error"]["code"]] += 1

    async with asyncio.TaskGroup() as group:
        group.create_task(hear())
        number, begun = 0, time.perf_counter()
        while True:
            await socket.send(_frame("build.list", f"list-{number}", limit=500))
            number += 1
            await asyncio.sleep(max(0.0, begun + number * _EVERY_S - time.perf_counter()))


def _frame(command: str, command_id: str, **args: Any) -> str:  # noqa: ANN401 - the arguments, as JSON
    return json.dumps({"id": command_id, "command": command, "args": args})


def _build(number: int) -> BuildRecord:
    now = truncate(datetime.now(UTC))
    return BuildRecord(
        id=BuildId(new_id()),
        player=PlayerId("greedy"),
        kind="dock",
        site=f"site-{number}",
        state=BuildState.BUILDING,
        revision=Revision(1),
        started_at=now - timedelta(seconds=number),
        due_at=now + timedelta(hours=1, seconds=number),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10)
    given = parser.parse_args()
    asyncio.run(main(given.sockets, given.seconds))
