"""The configurations of deploy/proxies, each in a real proxy before a real gateway."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.contract.gateway.conftest import Gateway
from tests.contract.gateway.raw import RawSocket
from tests.support.eventually import eventually
from tests.support.stack import players_port

pytestmark = pytest.mark.needs("proxies")

_CONFIGURATIONS: Final = Path(__file__).parents[3] / "deploy" / "proxies"
_COMMANDS: Final = {
    "nginx.conf": ("nginx", "-g", "daemon off; error_log stderr warn;", "-c"),
    "haproxy.cfg": ("haproxy", "-db", "-f"),
    "Caddyfile": ("caddy", "run", "--adapter", "caddyfile", "--config"),
}


@pytest.fixture(params=list(_COMMANDS))
async def proxy(request: pytest.FixtureRequest, gateway: Gateway, tmp_path: Path) -> AsyncIterator[int]:
    """The port of a proxy before the gateway."""
    port = players_port()
    text = (_CONFIGURATIONS / request.param).read_text()
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{port}").replace(
        "127.0.0.1:8080", f"127.0.0.1:{gateway.process.port}"
    )
    configuration = tmp_path / request.param
    configuration.write_text(text.replace("/tmp/nginx-starwake.pid", str(tmp_path / "nginx.pid")))  # noqa: S108 - the file's own
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *_COMMANDS[request.param], str(configuration), stdout=log, stderr=log, env=environment
        )
    try:

        async def serves() -> bool:
            assert process.returncode is None, (tmp_path / "log").read_text()
            return await _page(port) == 200

        await eventually(serves, within_s=30)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(20):
            await process.wait()


async def _page(port: int) -> int:
    """The status of the page; 0 where nobody listens."""
    try:
        raw = await RawSocket.open(port)
    except OSError:
        return 0
    try:
        await raw.send(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(raw.reader.read(), 10)
        return int(answer.split(b" ")[1]) if answer else 0
    finally:
        raw.close()


async def test_the_gateways_own_page_plays_through_it(proxy: int, gateway: Gateway) -> None:
    origin = f"http://127.0.0.1:{proxy}"  # what a browser sends whose page came through the proxy
    async with connect(f"ws://127.0.0.1:{proxy}/ws", origin=origin, proxy=None) as socket:  # type: ignore[arg-type]
        await socket.send(json.dumps({"id": "a1", "command": "auth", "args": {"token": gateway.token("ada")}}))
        frame = json.loads(await asyncio.wait_for(socket.recv(), 10))
    assert (frame["type"], frame["player"]) == ("hello", "ada")


async def test_pages_of_other_origins_stay_out(proxy: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{proxy}/ws", origin="https://evil.example", proxy=None):  # type: ignore[arg-type]
            pass
    assert refused.value.response.status_code == 403


async def test_a_proxys_connections_are_still_good_after_six_idle_seconds(proxy: int) -> None:
    async def sign_in() -> int:
        body = b'{"player":"ada"}'
        raw = await RawSocket.open(proxy)
        head = f"POST /dev/token HTTP/1.1\r\nHost: 127.0.0.1:{proxy}\r\nContent-Type: application/json\r\n"
        await raw.send(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        answer = await asyncio.wait_for(raw.reader.read(), 10)
        raw.close()
        return int(answer.split(b" ")[1])

    assert [await sign_in() for _ in range(5)] == [200] * 5
    await asyncio.sleep(6)  # uvicorn's own keep-alive ended after 5 s
    assert await asyncio.gather(*(sign_in() for _ in range(20))) == [200] * 20
