"""The configurations of deploy/proxies, each in a real proxy before a real gateway."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.contract.gateway.conftest import Gateway
from tests.contract.gateway.raw import RawSocket
from tests.support.proxies import COMMANDS, proxy

pytestmark = pytest.mark.needs("proxies")


@pytest.fixture(params=list(COMMANDS))
async def proxied(request: pytest.FixtureRequest, gateway: Gateway, tmp_path: Path) -> AsyncIterator[int]:
    """The port of a proxy before the gateway."""
    async with proxy(request.param, gateway.process.port, tmp_path) as port:
        yield port


async def test_the_gateways_own_page_plays_through_it(proxied: int, gateway: Gateway) -> None:
    origin = f"http://127.0.0.1:{proxied}"  # what a browser sends whose page came through the proxy
    async with connect(f"ws://127.0.0.1:{proxied}/ws", origin=origin, proxy=None) as socket:  # type: ignore[arg-type]
        await socket.send(json.dumps({"id": "a1", "command": "auth", "args": {"token": gateway.token("ada")}}))
        frame = json.loads(await asyncio.wait_for(socket.recv(), 10))
    assert (frame["type"], frame["player"]) == ("hello", "ada")


async def test_pages_of_other_origins_stay_out(proxied: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{proxied}/ws", origin="https://evil.example", proxy=None):  # type: ignore[arg-type]
            pass
    assert refused.value.response.status_code == 403


async def test_a_proxys_connections_are_still_good_after_six_idle_seconds(proxied: int) -> None:
    async def sign_in() -> int:
        body = b'{"player":"ada"}'
        raw = await RawSocket.open(proxied)
        head = f"POST /dev/token HTTP/1.1\r\nHost: 127.0.0.1:{proxied}\r\nContent-Type: application/json\r\n"
        await raw.send(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        answer = await asyncio.wait_for(raw.reader.read(), 10)
        raw.close()
        return int(answer.split(b" ")[1])

    assert [await sign_in() for _ in range(5)] == [200] * 5
    await asyncio.sleep(6)  # uvicorn's own keep-alive ended after 5 s
    assert await asyncio.gather(*(sign_in() for _ in range(20))) == [200] * 20
