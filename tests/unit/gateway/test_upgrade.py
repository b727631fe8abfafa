"""The upgrade request: what is accepted, what is refused with which status."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starwake.gateway.effects import Resume
from starwake.gateway.upgrade import Accepted, Refused, Request, examine, read_request, soon

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # the example of RFC 6455, 1.3
ABC = "a.b.c"
USUAL = {
    b"host": b"game.example:8080",
    b"upgrade": b"websocket",
    b"connection": b"Upgrade",
    b"sec-websocket-version": b"13",
    b"sec-websocket-key": KEY,
}


def ask(
    *more: tuple[bytes, bytes], target: bytes = b"/ws", without: bytes = b"", origins: frozenset[str] = frozenset()
) -> Accepted | Refused:
    headers = [(name, value) for name, value in USUAL.items() if name != without]
    return examine(b"GET", target, [*headers, *more], origins)


def accepted(*more: tuple[bytes, bytes], target: bytes = b"/ws") -> Accepted:
    answer = ask(*more, target=target)
    assert isinstance(answer, Accepted), answer
    return answer


def status(answer: Accepted | Refused) -> int:
    assert isinstance(answer, Refused), answer
    assert answer.response().startswith(b"HTTP/1.1 %d " % answer.status)
    return answer.status


def test_the_handshake_is_answered_as_the_rfc_shows() -> None:
    answer = accepted()
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer.response
    assert answer.response.startswith(b"HTTP/1.1 101 ")
    assert answer.response.endswith(b"\r\n\r\n")
    assert b"protocol" not in answer.response.lower().replace(b"switching protocols", b"")
    assert (answer.token, answer.resume) == (None, None)


def test_extensions_are_never_negotiated() -> None:
    answer = accepted((b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"))
    assert b"extensions" not in answer.response.lower()


@pytest.mark.parametrize("offer", [b"starwake.v1", b"mqtt, starwake.v1", b"starwake.v1,starwake.v2"])
def test_the_subprotocol_is_chosen_where_it_is_offered(offer: bytes) -> None:
    assert b"\r\nSec-WebSocket-Protocol: starwake.v1\r\n" in accepted((b"sec-websocket-protocol", offer)).response


@pytest.mark.parametrize("offer", [b"mqtt", b"starwake.v2", b"", b"STARWAKE.V1"])
def test_a_client_that_offers_only_other_subprotocols_is_refused(offer: bytes) -> None:
    assert status(ask((b"sec-websocket-protocol", offer))) == 400


def test_the_subprotocol_may_be_offered_in_several_headers() -> None:
    offers = ((b"sec-websocket-protocol", b"mqtt"), (b"sec-websocket-protocol", b"starwake.v1"))
    assert b"starwake.v1" in accepted(*offers).response


@pytest.mark.parametrize(
    ("without", "more", "expected"),
    [
        (b"sec-websocket-key", (), 400),
        (b"sec-websocket-key", ((b"sec-websocket-key", b"short"),), 400),
        (b"sec-websocket-key", ((b"sec-websocket-key", base64.b64encode(b"x" * 15)),), 400),
        (b"sec-websocket-key", ((b"sec-websocket-key", b"\xff" * 24),), 400),
        (b"", ((b"sec-websocket-key", KEY),), 400),
        (b"sec-websocket-version", (), 426),
        (b"sec-websocket-version", ((b"sec-websocket-version", b"8"),), 426),
        (b"", ((b"sec-websocket-version", b"13"),), 426),
        (b"host", (), 400),
        (b"", ((b"host", b"evil.example"),), 400),
    ],
)
def test_a_handshake_that_is_not_one_is_refused(
    without: bytes, more: tuple[tuple[bytes, bytes], ...], expected: int
) -> None:
    assert status(ask(*more, without=without)) == expected


def test_only_get_and_only_the_right_path_lead_in() -> None:
    assert status(examine(b"POST", b"/ws", list(USUAL.items()), ())) == 405
    for target in (b"/", b"/ws/", b"/wsx", b"/WS", b"//ws", b"/ws/../ws", b"*"):
        assert status(ask(target=target)) == 404


def test_a_token_in_the_query_is_never_looked_at() -> None:
    assert accepted(target=b"/ws?token=secret&access_token=secret").token is None


def test_the_token_is_taken_from_the_authorization_header() -> None:
    assert accepted((b"authorization", b"Bearer a.b.c")).token == ABC
    assert accepted((b"authorization", b"bearer  a.b.c ")).token == ABC


@pytest.mark.parametrize("value", [b"Basic YTpi", b"Bearer", b"Bearer ", b"", b"a.b.c"])
def test_another_authorization_is_refused(value: bytes) -> None:
    assert status(ask((b"authorization", value))) == 401


def test_two_authorizations_are_refused() -> None:
    assert status(ask((b"authorization", b"Bearer a"), (b"authorization", b"Bearer b"))) == 401


def test_the_position_is_taken_from_its_header() -> None:
    position = b'{"epoch":"e","seq":790,"all":120,"at":"2026-11-22T10:00:00.000Z"}'
    assert accepted((b"starwake-resume", position)).resume == Resume("e", 790, 120, "2026-11-22T10:00:00.000Z")


@pytest.mark.parametrize(
    "value", [b"", b"790", b"{", b'{"epoch":"e"}', b'{"epoch":"e","seq":-1}', b"[" * 9000, b"\xff"]
)
def test_a_malformed_position_is_refused(value: bytes) -> None:
    assert status(ask((b"starwake-resume", value))) == 400


@pytest.mark.parametrize(
    "origin",
    [
        b"http://game.example:8080",
        b"https://game.example:8080",
        b"HTTP://GAME.EXAMPLE:8080",
        b"https://allowed.example",
    ],
)
def test_pages_of_the_same_or_an_allowed_origin_may_connect(origin: bytes) -> None:
    answer = ask((b"origin", origin), origins=frozenset({"https://allowed.example"}))
    assert isinstance(answer, Accepted)


def test_the_default_port_need_not_be_written() -> None:
    headers = [*USUAL.items(), (b"origin", b"https://game.example")]
    headers[0] = (b"host", b"game.example")
    assert isinstance(examine(b"GET", b"/ws", headers, ()), Accepted)
    headers[0] = (b"host", b"game.example:443")
    assert isinstance(examine(b"GET", b"/ws", headers, ()), Accepted)


@pytest.mark.parametrize(
    "origin",
    [
        b"null",
        b"",
        b"http://evil.example",
        b"http://game.example",
        b"http://game.example.evil.example:8080",
        b"http://game.example:8080.evil.example",
        b"http://game.example:8080@evil.example",
        b"https://allowed.example.evil.example",
        b"http://allowed.example",
        b"http://[",
        b"http://game.example:port",
        b"file://",
        b"game.example:8080",
    ],
)
def test_pages_of_other_origins_may_not_connect(origin: bytes) -> None:
    assert status(ask((b"origin", origin), origins=frozenset({"https://allowed.example"}))) == 403


def test_two_origins_are_none() -> None:
    same = (b"origin", b"http://game.example:8080")
    assert status(ask(same, (b"origin", b"http://evil.example"))) == 403


def test_all_origins_may_be_allowed() -> None:
    assert isinstance(ask((b"origin", b"http://any.example"), origins=frozenset({"*"})), Accepted)


names = st.sampled_from([*USUAL, b"origin", b"authorization", b"starwake-resume", b"sec-websocket-protocol", b"x"])


@given(st.binary(max_size=10), st.binary(max_size=20), st.lists(st.tuples(names, st.binary(max_size=60)), max_size=12))
def test_no_request_whatever_raises(method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    answer = examine(method, target, headers, frozenset())
    if isinstance(answer, Refused):
        answer.response()


WIRE = b"GET /ws?v=1 HTTP/1.1\r\n" + b"".join(b"%b: %b\r\n" % header for header in USUAL.items()) + b"\r\n"


def test_a_whole_request_is_read_and_what_follows_it_is_kept() -> None:
    assert read_request(WIRE) == Request(b"/ws?v=1", list(USUAL.items()), b"")
    followed = read_request(WIRE + b"\x81\x80GET /ws")
    assert followed is not None
    assert followed.rest == b"\x81\x80GET /ws"


@given(st.integers(0, len(WIRE) - 1))
def test_half_a_request_is_none(length: int) -> None:
    assert read_request(WIRE[:length]) is None


@pytest.mark.parametrize(
    ("this", "instead"),
    [
        (b"GET", b"POST"),
        (b"GET", b"CONNECT"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"upgrade: websocket", b"upgrade: h2c"),
        (b"upgrade: websocket", b"upgrade: websocket\r\nupgrade: h2c"),
        (b"upgrade: websocket", b"x: y"),
        (b"connection: Upgrade", b"connection: keep-alive"),
        (b"host", b"ho st"),
        (b"host", b" host"),
    ],
)
def test_another_request_is_none_of_ours(this: bytes, instead: bytes) -> None:
    assert this in WIRE
    assert read_request(WIRE.replace(this, instead)) is None


@given(st.binary(max_size=200), st.integers(0, len(WIRE)))
def test_no_bytes_whatever_raise(data: bytes, length: int) -> None:
    read_request(WIRE[:length] + data)


def test_who_is_refused_comes_again_within_four_seconds_wherever_chance_puts_them() -> None:
    assert [soon(share) for share in (0.0, 0.25, 1.0)] == [0.0, 1.0, 4.0]
