"""SIGTERM: unready first, answers out, `bye` and closes spread over the window, exit 0."""

import asyncio
import json
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from starwake.contracts import frames
from tests.contract.gateway.conftest import StartGateway
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from starwake.bus.connection import Message

Names = Callable[[], str]


async def test_a_draining_gateway_says_bye_and_ends_in_order(start_gateway: StartGateway, unique_player: Names) -> None:
    gateway = await start_gateway(STARWAKE_DRAIN_SECONDS="5")
    ada = await gateway.connect(unique_player())
    gateway.process.send(signal.SIGTERM)
    bye = await ada.frame()
    assert (bye["type"], bye["code"], bye["reconnect"]) == ("bye", 4001, True)
    assert 0 < bye["reconnect_after_ms"] <= 20_000
    assert await ada.closed() == 4001
    assert await gateway.process.wait() == 0
    assert "Traceback" not in gateway.process.log()


async def test_commands_in_flight_are_answered_before_the_close_and_nobody_new_comes_in(
    start_gateway: StartGateway, unique_player: Names
) -> None:
    gateway = await start_gateway(STARWAKE_DRAIN_SECONDS="5")
    player = unique_player()
    waiting: list[Message] = []
    await gateway.bus.subscribe(f"cmd.{player}.build.start", waiting.append)
    await gateway.bus.flush()
    ada = await gateway.connect(player)
    await ada.send({"id": "c1", "command": "build.start"})
    await eventually(lambda: waiting)
    gateway.process.send(signal.SIGTERM)

    async def refused() -> bool:
        assert await gateway.process.get("/healthz") == 200
        if await gateway.process.get("/readyz") != 503:
            return False
        with pytest.raises(InvalidStatus) as refusal:
            async with connect(gateway.url, proxy=None):
                pass
        return refusal.value.response.status_code == 503

    await eventually(refused)
    gateway.bus.publish(waiting[0].reply, frames.result_body({"done": True}))
    assert (await ada.frame())["result"] == {"done": True}
    assert (await ada.frame())["type"] == "bye"
    assert await ada.closed() == 4001
    assert await gateway.process.wait() == 0


async def test_closes_are_spread_over_the_drain_window(start_gateway: StartGateway, unique_player: Names) -> None:
    gateway = await start_gateway(STARWAKE_DRAIN_SECONDS="2")
    sockets = [await gateway.connect(unique_player()) for _ in range(300)]
    closed_at: list[float] = []

    async def until_closed(number: int) -> None:
        try:
            while True:
                frame = json.loads(await sockets[number].connection.recv())
                assert frame["type"] in ("bye", "ping")
        except ConnectionClosed:
            assert sockets[number].connection.close_code == 4001
            closed_at.append(time.monotonic())

    closing = asyncio.gather(*(until_closed(number) for number in range(300)))
    gateway.process.send(signal.SIGTERM)
    await closing
    assert await gateway.process.wait() == 0
    span = max(closed_at) - min(closed_at)
    assert span > 1.0
    tenths = [sum(1 for at in closed_at if int((at - min(closed_at)) / (span / 9.999)) == tenth) for tenth in range(10)]
    assert max(tenths) < 100, tenths
