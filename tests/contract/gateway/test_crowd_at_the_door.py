"""Thousands who ask for nothing, or do not read: they keep nobody out, and the process keeps descriptors for itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from starwake.bus.connection import Bus
from tests.contract.gateway.conftest import Gateway, StartGateway, prepare_streams, settings
from tests.contract.gateway.raw import RawSocket, client_frame, handshake
from tests.support.eventually import eventually
from tests.support.nats import NatsAddress
from tests.support.service_process import ServiceProcess

DESCRIPTORS = 256
SLOW_BODY = b"POST /dev/token HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{"
UNREAD = b"GET /docs/asyncapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 100


def lines(gateway: Gateway, event: str) -> list[str]:
    return [line for line in gateway.process.log().splitlines() if f'"{event}"' in line]


async def page(port: int) -> int:
    """The status of the page; 0 where the connection is closed instead."""
    raw = await RawSocket.open(port)
    try:
        await raw.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = await asyncio.wait_for(raw.reader.read(), 10)
        return int(answer.split(b" ")[1]) if answer else 0
    except ConnectionError:
        return 0
    finally:
        raw.close()


async def live(gateway: Gateway, player: str) -> RawSocket | None:
    """A player with a token who is live, None where the connection is closed instead."""
    raw = await RawSocket.open(gateway.process.port)
    try:
        await raw.send(handshake(gateway.token(player)))
        assert (await raw.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert (await raw.frame()).json()["type"] == "hello"
    except (ConnectionError, asyncio.IncompleteReadError):
        raw.close()
        return None
    return raw


@pytest.fixture
async def few_descriptors(bus: Bus, nats_server: NatsAddress, server_directory: Path) -> AsyncIterator[Gateway]:
    """A gateway that may have few descriptors open."""
    await prepare_streams(bus)
    process = ServiceProcess("gateway", settings(nats_server.url), server_directory, descriptors=DESCRIPTORS)
    async with AsyncExitStack() as sockets:
        await process.start()
        try:
            await eventually(lambda: "players" in process.ports or process._read_ports(), within_s=20)  # pyright: ignore[reportPrivateUsage]
            yield Gateway(process, bus, sockets)
        finally:
            await process.stop()


async def test_too_few_descriptors_for_the_settings_are_told_at_the_start(few_descriptors: Gateway) -> None:
    (line,) = lines(few_descriptors, "descriptors.too_few")
    told = json.loads(line)
    assert (told["level"], told["limit"], told["needed"]) == ("warning", DESCRIPTORS, 20_000 + 6_000 + 256)


async def test_with_its_descriptors_full_the_gateway_says_so_and_its_health_port_answers(
    few_descriptors: Gateway,
) -> None:
    gateway = few_descriptors
    players: list[RawSocket] = []
    refused = 0
    try:
        for number in range(DESCRIPTORS + 50):
            raw = await live(gateway, f"player-{number}")
            if raw is not None:
                players.append(raw)
            else:
                refused += 1
                assert await gateway.process.get("/healthz") == 200
            if refused == 20:
                break
        assert refused == 20
        assert len(players) > DESCRIPTORS // 4
        assert [await gateway.process.get(path) for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
        assert 1 <= len(lines(gateway, "descriptors.exhausted")) <= 10
        for raw in players[:5]:
            raw.close()

        async def somebody_gets_in() -> bool:
            raw = await live(gateway, "late")
            if raw is not None:
                raw.close()
            return raw is not None

        await eventually(somebody_gets_in, within_s=10)
    finally:
        for raw in players:
            raw.close()


@pytest.mark.parametrize("said", [b"", b"GET / HT", SLOW_BODY, UNREAD], ids=["nothing", "a head", "a body", "unread"])
async def test_those_who_ask_for_nothing_keep_nobody_out(few_descriptors: Gateway, said: bytes) -> None:
    gateway = few_descriptors
    crowd = [await RawSocket.open(gateway.process.port) for _ in range(2 * DESCRIPTORS)]
    try:
        for raw in crowd:
            raw.writer.transport.pause_reading()  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]
            raw.writer.write(said)
        assert await page(gateway.process.port) == 200
        player = await live(gateway, "ada")
        assert player is not None
        player.close()
        assert await gateway.process.get("/healthz") == 200
    finally:
        for raw in crowd:
            raw.writer.transport.abort()


@pytest.mark.parametrize("said", [b"", SLOW_BODY], ids=["nothing", "a body"])
async def test_the_bound_on_those_who_have_shown_nothing_drops_the_oldest(
    start_gateway: StartGateway, said: bytes
) -> None:
    gateway = await start_gateway(STARWAKE_MAX_UNAUTHENTICATED="5")
    crowd: list[RawSocket] = []
    for _ in range(6):
        raw = await RawSocket.open(gateway.process.port)
        await raw.send(said)
        crowd.append(raw)
        assert await page(gateway.process.port) == 200
    assert await crowd[0].at_end(10)
    assert not await crowd[-1].at_end(0.2)
    for raw in crowd:
        raw.close()


async def test_who_is_silent_on_a_websocket_makes_room_for_who_brings_its_token_in_the_first_frame(
    start_gateway: StartGateway,
) -> None:
    gateway = await start_gateway(STARWAKE_MAX_UNAUTHENTICATED="3", STARWAKE_AUTHENTICATION_S="20")
    silent = [await gateway.open() for _ in range(3)]

    async def signs_in() -> bool:
        raw = await RawSocket.open(gateway.process.port)
        try:
            await raw.send(handshake(None))
            if not (await raw.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 "):
                return False
            first = {"id": "a", "command": "auth", "args": {"token": gateway.token("ada")}}
            await raw.send(client_frame(1, json.dumps(first).encode()))
            return (await raw.frame()).json()["type"] == "hello"
        finally:
            raw.close()

    await eventually(signs_in, within_s=15)
    assert await silent[0].closed(1) == 4010  # come again; its time for authentication is not over
