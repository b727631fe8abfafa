"""RFC 6455 with raw bytes, and what else can arrive on a port that anybody may connect to."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.gateway.conftest import Gateway, StartGateway
from tests.contract.gateway.raw import RawSocket, client_frame, handshake

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0
TIME = b'{"id":"t","command":"time"}'


@pytest.fixture
async def raw(gateway: Gateway, unique_player: Callable[[], str]) -> AsyncIterator[RawSocket]:
    """A live session, byte by byte."""
    socket = await RawSocket.live(gateway.process.port, gateway.token(unique_player()))
    yield socket
    socket.close()


async def test_a_fragmented_message_with_pings_in_between_is_one_message(raw: RawSocket) -> None:
    await raw.send(
        client_frame(TEXT, TIME[:5], fin=False),
        client_frame(PING, b"one"),
        client_frame(CONTINUATION, TIME[5:6], fin=False),
        client_frame(CONTINUATION, b"", fin=False),
        client_frame(PING, b"two"),
        client_frame(CONTINUATION, TIME[6:]),
    )
    assert [await raw.frame() for _ in range(2)] == [(PONG, b"one"), (PONG, b"two")]
    assert (await raw.frame()).json()["type"] == "reply"


@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(125))])
async def test_a_ping_is_answered_with_its_own_payload(raw: RawSocket, payload: bytes) -> None:
    await raw.send(client_frame(PING, payload))
    assert await raw.frame() == (PONG, payload)


async def test_a_pong_nobody_asked_for_is_ignored(raw: RawSocket) -> None:
    await raw.send(client_frame(PONG, b"hi"), client_frame(TEXT, TIME))
    assert (await raw.frame()).json()["type"] == "reply"


async def test_frames_that_arrive_byte_by_byte_are_read(raw: RawSocket) -> None:
    for byte in client_frame(TEXT, TIME):
        await raw.send(bytes((byte,)))
        await asyncio.sleep(0)
    assert (await raw.frame()).json()["type"] == "reply"


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([client_frame(TEXT, TIME, masked=False)], 1002),
        ([client_frame(TEXT, TIME, reserved=4)], 1002),
        ([client_frame(PING, b"", reserved=1)], 1002),
        ([client_frame(3, b"")], 1002),
        ([client_frame(15, b"")], 1002),
        ([client_frame(PING, b"", fin=False)], 1002),
        ([client_frame(PING, b"x" * 126)], 1002),
        ([client_frame(CONTINUATION, b"x")], 1002),
        ([client_frame(TEXT, b"{", fin=False), client_frame(TEXT, b"}")], 1002),
        ([client_frame(TEXT, b"\xff\xfe")], 1007),
        ([client_frame(TEXT, b"\xe2\x98", fin=False), client_frame(CONTINUATION, b"x")], 1007),
        ([client_frame(CLOSE, struct.pack("!H", 1000) + b"\xff")], 1007),
        ([client_frame(CLOSE, b"\x03")], 1002),
        ([client_frame(CLOSE, struct.pack("!H", 1005))], 1002),
        ([client_frame(TEXT, b"x" * 65_537)], 1009),
        ([client_frame(TEXT, b"x" * 40_000, fin=False), client_frame(CONTINUATION, b"x" * 40_000)], 1009),
        ([client_frame(BINARY, b"{}")], 4501),
    ],
)
async def test_a_violation_fails_the_connection_with_its_code(raw: RawSocket, frames: list[bytes], code: int) -> None:
    await raw.send(*frames)
    assert await raw.closing() == code
    await raw.send(client_frame(CLOSE, struct.pack("!H", code)))
    assert await raw.at_end()


@pytest.mark.parametrize(
    "payload", [struct.pack("!H", 1000), struct.pack("!H", 3000) + b"bye", struct.pack("!H", 4999), b""]
)
async def test_a_close_is_answered_with_its_code_and_the_connection_ends(raw: RawSocket, payload: bytes) -> None:
    await raw.send(client_frame(CLOSE, payload))
    assert (await raw.frame()) == (CLOSE, payload[:2])
    assert await raw.at_end()


async def test_nothing_after_a_close_is_carried_out(raw: RawSocket) -> None:
    await raw.send(client_frame(CLOSE, struct.pack("!H", 1000)), client_frame(TEXT, TIME))
    assert (await raw.frame()).opcode == CLOSE
    assert await raw.reader.read() == b""


async def test_a_peer_that_does_not_answer_a_close_is_cut_off(raw: RawSocket) -> None:
    await raw.send(client_frame(BINARY, b""))
    assert await raw.closing() == 4501
    assert await raw.at_end(within_s=5)


async def test_a_peer_that_only_closes_its_own_half_is_let_go(raw: RawSocket) -> None:
    raw.writer.write_eof()
    assert await raw.at_end()


async def test_frames_in_the_same_packet_as_the_handshake_are_read(
    gateway: Gateway, unique_player: Callable[[], str]
) -> None:
    token = gateway.token(unique_player())
    raw = await RawSocket.live(gateway.process.port, token, early=client_frame(TEXT, TIME))
    assert (await raw.frame()).json()["type"] == "reply"
    raw.close()


async def test_a_handshake_may_come_in_pieces(gateway: Gateway) -> None:
    raw = await RawSocket.open(gateway.process.port)
    request = handshake(gateway.token("in-pieces"))
    for start in range(0, len(request), 40):
        await raw.send(request[start : start + 40])
        await asyncio.sleep(0)  # each piece has left by itself: the socket does not wait for more (TCP_NODELAY)
    assert (await raw.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    assert (await raw.frame()).json()["type"] == "hello"
    raw.close()


async def test_a_page_and_then_a_websocket_may_come_over_one_connection(gateway: Gateway) -> None:
    raw = await RawSocket.open(gateway.process.port)
    await raw.send(b"GET /missing HTTP/1.1\r\nHost: here\r\n\r\n")
    head = await raw.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    await raw.reader.readexactly(int(length.partition(b":")[2]))
    await raw.send(handshake(gateway.token("second-thoughts")))
    assert (await raw.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    raw.close()


async def test_a_connection_reset_in_the_middle_of_a_frame_harms_nobody(
    gateway: Gateway, unique_player: Callable[[], str]
) -> None:
    for cut in range(1, 12):
        raw = await RawSocket.live(gateway.process.port, gateway.token(unique_player()))
        await raw.send(client_frame(TEXT, TIME)[:cut])
        raw.writer.transport.abort()
    ada = await gateway.connect(unique_player())
    assert (await ada.ask("time"))["type"] == "reply"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /ws HTTP/1.0\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", b"400"),
        (handshake("nonsense"), b"401"),
        (handshake(None, path="/other"), b"404"),
        (handshake(None, "Origin: https://evil.example"), b"403"),
        (handshake(None, "Sec-WebSocket-Protocol: mqtt"), b"400"),
        (handshake(None, "Starwake-Resume: {"), b"400"),
        (b"POST" + handshake(None)[3:], b"405"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 140_000, b"413"),
    ],
)
async def test_what_is_no_proper_upgrade_is_refused(gateway: Gateway, request_bytes: bytes, status: bytes) -> None:
    raw = await RawSocket.open(gateway.process.port)
    await raw.send(request_bytes)
    line = await asyncio.wait_for(raw.reader.readline(), 5)
    assert line.split(b" ")[1] == status
    assert await raw.at_end()
    raw.close()


async def test_a_connection_that_says_nothing_is_not_kept(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(STARWAKE_AUTHENTICATION_S="0.5")
    silent, slow = await RawSocket.open(gateway.process.port), await RawSocket.open(gateway.process.port)
    await slow.send(b"GET /ws HT")
    for each in (silent, slow):
        assert await each.at_end()
        each.close()


# --- fuzzing -----------------------------------------------------------------------------------------------------

fuzzed_frames = st.builds(
    client_frame,
    st.sampled_from([TEXT, TEXT, TEXT, CONTINUATION, PING, PONG, BINARY, CLOSE, 3, 11]),
    st.one_of(
        st.binary(max_size=200),
        st.sampled_from([TIME, b"{", b"[]", b'{"command":"pong"}', b'{"id":"x","command":"build.start"}', b'{"id":1}']),
        st.text(max_size=50).map(str.encode),
    ),
    fin=st.sampled_from([True, True, True, False]),
    masked=st.sampled_from([True, True, True, True, False]),
    reserved=st.sampled_from([0, 0, 0, 0, 1, 4]),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.lists(fuzzed_frames | st.binary(max_size=40), min_size=1, max_size=12), live=st.booleans())
async def test_no_bytes_whatever_bring_the_gateway_down_or_to_another_players_pushes(
    gateway: Gateway,
    data: list[bytes],
    live: bool,  # noqa: FBT001 - drawn
) -> None:
    if live:
        raw = await RawSocket.live(gateway.process.port, gateway.token("fuzzer"))
    else:
        raw = await RawSocket.open(gateway.process.port)
        raw.writer.write(handshake(None))
        await raw.reader.readuntil(b"\r\n\r\n")
    raw.writer.write(b"".join(data))
    raw.writer.write_eof()
    try:
        while True:
            frame = await raw.frame()
            if frame.opcode == TEXT:
                assert frame.json()["type"] in ("reply", "error", "bye")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the server has ended the connection, as it must after a CLOSE, a violation or our end
    finally:
        raw.close()
    assert await gateway.process.get("/healthz") == 200


async def test_the_gateway_has_not_logged_a_failure_and_holds_no_session_of_the_fuzzer(gateway: Gateway) -> None:
    ada = await gateway.connect("after-the-fuzzer")
    assert (await ada.ask("time"))["type"] == "reply"
    assert "Traceback" not in gateway.process.log()
    assert '"level": "error"' not in "".join(
        line for line in gateway.process.log().splitlines() if "command.answer_malformed" not in line
    )
