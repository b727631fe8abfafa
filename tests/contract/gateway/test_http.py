"""HTTP at the players' port as proxies and libraries speak it, and what nobody may make the gateway hold for ever."""

import asyncio
import json

import pytest

from tests.contract.gateway.conftest import Gateway, StartGateway
from tests.contract.gateway.raw import RawSocket, handshake
from tests.support.eventually import eventually

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"


async def read_answer(raw: RawSocket, within_s: float = 10.0) -> tuple[int, dict[str, str], bytes]:
    """One response: status, headers, body."""
    async with asyncio.timeout(within_s):
        head = (await raw.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await raw.reader.readexactly(int(headers.get("content-length", "0")))
    return int(status.split()[1]), headers, body


async def ask(gateway: Gateway, *pieces: bytes) -> tuple[int, dict[str, str], bytes]:
    """The answer to a request that comes in these pieces."""
    raw = await RawSocket.open(gateway.process.port)
    try:
        for piece in pieces:
            await raw.send(piece)
            await asyncio.sleep(0.02 if len(pieces) > 1 else 0)  # so that each is a segment of its own
        return await read_answer(raw)
    finally:
        raw.close()


async def test_an_upgrade_to_something_else_is_ignored(gateway: Gateway) -> None:
    status, _, body = await ask(gateway, b"GET / HTTP/1.1\r\nHost: a\r\n" + H2C + b"\r\n")
    assert (status, b"<html" in body) == (200, True)


@pytest.mark.parametrize("apart", [False, True])
async def test_so_it_is_with_a_body_and_with_what_follows(gateway: Gateway, apart: bool) -> None:  # noqa: FBT001
    body = json.dumps({"player": "ada"}).encode()
    head = b"POST /dev/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    first = head + H2C + b"Content-Length: %d\r\n\r\n" % len(body)
    second = b"GET /docs/asyncapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
    raw = await RawSocket.open(gateway.process.port)
    for piece in [first, body, second] if apart else [first + body + second]:
        await raw.send(piece)
        await asyncio.sleep(0.02)
    status, _, answer = await read_answer(raw)
    assert (status, "token" in json.loads(answer)) == (200, True)
    status, _, answer = await read_answer(raw)
    assert (status, "asyncapi" in json.loads(answer)) == (200, True)
    raw.close()


async def test_head_and_options_are_answered(gateway: Gateway) -> None:
    raw = await RawSocket.open(gateway.process.port)
    await raw.send(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(raw.reader.read(), 10)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")
    raw.close()
    for request in (b"OPTIONS / HTTP/1.0\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"):
        status, headers, _ = await ask(gateway, request)
        assert (status, headers["allow"]) == (204, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("target", [b"http://game.example/", b"http://game.example", b"HTTP://game.example?x=1"])
async def test_a_target_may_name_the_server(gateway: Gateway, target: bytes) -> None:
    assert (await ask(gateway, b"GET " + target + b" HTTP/1.1\r\nHost: game.example\r\n\r\n"))[0] == 200


async def test_so_may_the_target_of_an_upgrade(gateway: Gateway) -> None:
    assert (await ask(gateway, handshake(None, path="http://127.0.0.1/ws")))[0] == 101


@pytest.mark.parametrize("apart", [False, True])
async def test_connection_may_be_said_in_two_lines(gateway: Gateway, apart: bool) -> None:  # noqa: FBT001
    request = handshake(None).replace(
        b"Connection: keep-alive, Upgrade\r\n", b"Connection: Upgrade\r\nConnection: keep-alive\r\n"
    )
    pieces = [request[:40], request[40:]] if apart else [request]
    assert (await ask(gateway, *pieces))[0] == 101


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("line", ["Content-Length: 5", "Transfer-Encoding: chunked"])
async def test_a_handshake_with_a_body_is_refused(gateway: Gateway, line: str, apart: bool) -> None:  # noqa: FBT001
    request = handshake(None, line)
    assert (await ask(gateway, *([request[:40], request[40:]] if apart else [request])))[0] == 400


async def test_an_upgrade_behind_an_unanswered_request_is_refused_after_the_answer(gateway: Gateway) -> None:
    status_first = b"GET /docs/asyncapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
    raw = await RawSocket.open(gateway.process.port)
    await raw.send(status_first + handshake(gateway.token("ada")))
    status, _, body = await read_answer(raw)
    assert (status, "asyncapi" in json.loads(body)) == (200, True)
    assert (await read_answer(raw))[0] == 400
    assert await raw.at_end()
    raw.close()


async def test_a_body_that_never_ends_is_not_waited_for(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(STARWAKE_HTTP_REQUEST_S="0.5")
    raw = await RawSocket.open(gateway.process.port)
    await raw.send(b"POST /dev/token HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
    dripping = asyncio.create_task(drip(raw))
    assert await raw.at_end(10)
    dripping.cancel()
    raw.close()


async def drip(raw: RawSocket) -> None:
    """A byte now and then."""
    while True:
        await raw.send(b" ")
        await asyncio.sleep(0.1)


async def test_an_answer_that_nobody_reads_is_not_kept(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(STARWAKE_HTTP_ANSWER_S="0.5", STARWAKE_SEND_BUFFER_BYTES="4096")
    raw = await RawSocket.open(gateway.process.port)
    raw.writer.transport.pause_reading()  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]
    await raw.send(b"GET /docs/asyncapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 400)

    def reset() -> bool:
        raw.writer.write(b"x")
        return raw.writer.transport.is_closing()

    await eventually(reset, within_s=20)
    assert "Traceback" not in gateway.process.log()


async def test_a_client_that_leaves_early_leaves_no_traceback(gateway: Gateway) -> None:
    for _ in range(50):
        raw = await RawSocket.open(gateway.process.port)
        await raw.send(b"POST /dev/token HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{")
        raw.writer.transport.abort()
        raw = await RawSocket.open(gateway.process.port)
        await raw.send(b"GET /web/starwake.js HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
        raw.writer.transport.abort()
    assert (await ask(gateway, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))[0] == 200
    assert "Traceback" not in gateway.process.log()


async def test_who_brings_a_token_is_not_kept_out_by_those_who_bring_none(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(STARWAKE_MAX_UNAUTHENTICATED="2", STARWAKE_AUTHENTICATION_S="100")
    strangers = [await gateway.open() for _ in range(2)]
    assert (await ask(gateway, handshake(None)))[0] == 503
    player = await gateway.connect("ada")
    assert player.hello["player"] == "ada"
    assert len(strangers) == 2


async def test_an_idle_connection_is_kept_for_the_next_request(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(STARWAKE_KEEP_ALIVE_S="1")
    raw = await RawSocket.open(gateway.process.port)
    for _ in range(2):
        await raw.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await read_answer(raw))[0] == 200
    assert await raw.at_end(10)
    raw.close()


async def test_the_setting_says_for_how_long(start_gateway: StartGateway) -> None:
    short = await start_gateway(STARWAKE_KEEP_ALIVE_S="1")
    long = await start_gateway()
    idle = [await RawSocket.open(gateway.process.port) for gateway in (short, long)]
    for raw in idle:
        await raw.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await read_answer(raw))[0] == 200
    assert await idle[0].at_end(10)
    # The other one was idle for as long, and takes the next request.
    await idle[1].send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await read_answer(idle[1]))[0] == 200
    for raw in idle:
        raw.close()


async def test_a_refused_origin_is_named_in_the_log_a_few_times(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    for _ in range(20):
        assert (await ask(gateway, handshake(None, "Origin: https://other.example")))[0] == 403
    lines = [line for line in gateway.process.log().splitlines() if "upgrade.origin_refused" in line]
    assert 1 <= len(lines) <= 10
    assert "https://other.example" in lines[0]
    assert "127.0.0.1" in lines[0]


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://game.example", "game.example", True),
        ("http://game.example", "gateways:8080", False),
        ("https://page.example", "gateways:8080", True),
        ("null", "game.example", False),
    ],
)
async def test_a_page_may_ask_whether_its_origin_may_connect(
    start_gateway: StartGateway, origin: str, host: str, *, allowed: bool
) -> None:
    gateway = await start_gateway(STARWAKE_ALLOWED_ORIGINS="https://page.example")
    head = f"Host: {host}\r\nOrigin: {origin}\r\n".encode()
    status, headers, body = await ask(gateway, b"POST /ws/origin HTTP/1.1\r\nContent-Length: 0\r\n" + head + b"\r\n")
    assert (status, json.loads(body)) == (200, {"allowed": allowed, "origin": origin, "host": host})
    assert "access-control-allow-origin" not in headers
    upgrade = handshake(None, f"Origin: {origin}").replace(b"Host: 127.0.0.1", b"Host: " + host.encode())
    raw = await RawSocket.open(gateway.process.port)
    await raw.send(upgrade)
    assert (await raw.reader.readline()).startswith(b"HTTP/1.1 101" if allowed else b"HTTP/1.1 403")
    raw.close()


@pytest.mark.parametrize("name", ["", "  ", "\t\n", "\u00a0"])
async def test_a_blank_name_does_not_sign_in(gateway: Gateway, name: str) -> None:
    body = json.dumps({"player": name}).encode()
    head = b"POST /dev/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    assert (await ask(gateway, head % len(body) + body))[0] == 422
