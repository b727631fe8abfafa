"""The client's address in the log, told by real proxies, and what becomes of those who may not tell."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.contract.gateway.conftest import Gateway, StartGateway
from tests.contract.gateway.raw import RawSocket, handshake
from tests.support.eventually import eventually
from tests.support.proxies import proxy

CLIENT = "127.0.0.77"
FORWARDED = "http-request set-header X-Forwarded-For %[src]"
SERVER = "server gateway1 127.0.0.1:8080 check"


def lines(gateway: Gateway, event: str) -> list[dict[str, Any]]:
    """The log lines of this name."""
    found = (json.loads(line) for line in gateway.process.log().splitlines() if event in line)
    return [line for line in found if line["event"] == event]


async def address_of_a_refused_session(gateway: Gateway, port: int, *headers: tuple[str, str]) -> str:
    """Connect from CLIENT, show a token that does not hold; the address that the gateway logs."""
    async with connect(
        f"ws://127.0.0.1:{port}/ws", additional_headers=headers, proxy=None, local_addr=(CLIENT, 0)
    ) as socket:
        await socket.send(json.dumps({"id": "a", "command": "auth", "args": {"token": "wrong"}}))
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 10)
    await eventually(lambda: lines(gateway, "session.ended"), within_s=10)
    line = lines(gateway, "session.ended")[-1]
    assert line["code"] == 4500
    return line["address"]


async def test_without_a_proxy_it_is_the_connections_own(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    header = ("X-Forwarded-For", "203.0.113.1")
    assert await address_of_a_refused_session(gateway, gateway.process.port, header) == CLIENT


async def test_x_forwarded_for_is_believed_from_trusted_proxies_alone(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(STARWAKE_TRUSTED_PROXIES="127.0.0.1")
    header = ("X-Forwarded-For", "203.0.113.1")
    assert await address_of_a_refused_session(gateway, gateway.process.port, header) == CLIENT
    other = await start_gateway(STARWAKE_TRUSTED_PROXIES="127.0.0.0/8")
    assert await address_of_a_refused_session(other, other.process.port, header) == "203.0.113.1"
    raw = await RawSocket.open(other.process.port)
    origin = ("Origin: https://other.example", "X-Forwarded-For: 203.0.113.2")
    await raw.send(handshake(None, *origin))
    assert (await raw.reader.readline()).startswith(b"HTTP/1.1 403")
    raw.close()
    await eventually(lambda: lines(other, "upgrade.origin_refused"), within_s=10)
    assert lines(other, "upgrade.origin_refused")[0]["address"] == "203.0.113.2"


@pytest.mark.needs("proxies")
@pytest.mark.parametrize("name", ["nginx.conf", "haproxy.cfg", "Caddyfile"])
async def test_each_proxy_of_deploy_tells_it(start_gateway: StartGateway, tmp_path: Path, name: str) -> None:
    gateway = await start_gateway(STARWAKE_TRUSTED_PROXIES="127.0.0.1")
    async with proxy(name, gateway.process.port, tmp_path) as port:
        # What the client says of itself is not believed.
        header = ("X-Forwarded-For", "203.0.113.1")
        assert await address_of_a_refused_session(gateway, port, header) == CLIENT


@pytest.mark.needs("proxies")
@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2"])
@pytest.mark.parametrize("mode", ["mode http", "mode tcp"])
async def test_haproxy_tells_it_by_the_proxy_protocol(
    start_gateway: StartGateway, tmp_path: Path, version: str, mode: str
) -> None:
    gateway = await start_gateway(STARWAKE_TRUSTED_PROXIES="127.0.0.1", STARWAKE_PROXY_PROTOCOL="true")
    # In TCP mode it knows nothing of HTTP: no header tells the address.
    changes = ((SERVER, f"{SERVER} {version}"), ("mode http", mode), (FORWARDED, ""))
    if mode == "mode tcp":
        changes += (("option httpchk # OPTIONS /", ""), ("timeout http-request 10s", ""))
    async with proxy("haproxy.cfg", gateway.process.port, tmp_path, *changes) as port:
        assert await address_of_a_refused_session(gateway, port) == CLIENT
        async with connect(f"ws://127.0.0.1:{port}/ws", proxy=None) as socket:
            await socket.send(json.dumps({"id": "a", "command": "auth", "args": {"token": gateway.token("ada")}}))
            assert json.loads(await asyncio.wait_for(socket.recv(), 10))["type"] == "hello"
    assert lines(gateway, "proxy_protocol.malformed") == []


V2_LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"


async def test_a_connection_without_the_header_or_with_a_bad_one_is_closed(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(STARWAKE_TRUSTED_PROXIES="127.0.0.1", STARWAKE_PROXY_PROTOCOL="true")
    for first in (
        handshake(gateway.token("ada")),
        b"PROXY TCP4 nowhere 10.0.0.1 1 2\r\n",
        b"\r\n\r\n\x00\r\nQUIT\n\x33\x11\x00\x0c",
    ):
        raw = await RawSocket.open(gateway.process.port)
        await raw.send(first)
        assert await raw.at_end(10)
        raw.close()
    assert len(lines(gateway, "proxy_protocol.malformed")) >= 2
    assert lines(gateway, "proxy_protocol.malformed")[0]["address"] == "127.0.0.1"
    assert gateway.token("ada")[:20] not in gateway.process.log()


async def test_half_a_header_is_not_waited_for_without_end(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(
        STARWAKE_TRUSTED_PROXIES="127.0.0.1", STARWAKE_PROXY_PROTOCOL="true", STARWAKE_AUTHENTICATION_S="0.5"
    )
    raw = await RawSocket.open(gateway.process.port)
    await raw.send(b"PROXY TCP4 ")
    assert await raw.at_end(10)
    raw.close()


async def test_nobody_but_a_trusted_proxy_may_send_the_header(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(STARWAKE_TRUSTED_PROXIES="192.0.2.7", STARWAKE_PROXY_PROTOCOL="true")
    raw = await RawSocket.open(gateway.process.port)
    raw.writer.write(b"PROXY TCP4 203.0.113.1 10.0.0.1 4711 8080\r\n" + handshake(gateway.token("ada")))
    assert await raw.at_end(10)
    raw.close()
    await eventually(lambda: lines(gateway, "proxy_protocol.not_trusted"), within_s=10)


@pytest.mark.parametrize("cut", [0, 20, 60])
async def test_the_header_may_come_in_pieces_and_with_the_request_behind_it(
    start_gateway: StartGateway, cut: int
) -> None:
    gateway = await start_gateway(STARWAKE_TRUSTED_PROXIES="127.0.0.1", STARWAKE_PROXY_PROTOCOL="true")
    for header in (b"PROXY TCP4 203.0.113.1 10.0.0.1 4711 8080\r\n", V2_LOCAL):
        request = header + handshake(gateway.token("ada"))
        raw = await RawSocket.open(gateway.process.port)
        if cut:
            await raw.send(request[:cut])
            await asyncio.sleep(0.05)  # so that it is a segment of its own
        await raw.send(request[cut:])
        assert (await raw.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert (await raw.frame()).json()["type"] == "hello"
        raw.close()


async def test_a_bad_network_is_refused_at_the_start_by_name(start_gateway: StartGateway) -> None:
    with pytest.raises(RuntimeError, match=r"STARWAKE_TRUSTED_PROXIES: '10\.0\.0\.0/99'"):
        await start_gateway(STARWAKE_TRUSTED_PROXIES="10.0.0.0/99")
