import pytest
from hypothesis import given
from hypothesis import strategies as st

from starwake.bus.headers import Headers, description_of, encode_headers, find_header, status_of
from starwake.bus.message import Message

REPUBLISHED = (
    b"NATS/1.0\r\nNats-Msg-Id: b.1\r\nNats-Stream: NOTIFICATIONS\r\nNats-Subject: notify.player.ada\r\n"
    b"Nats-Sequence: 812\r\nNats-Time-Stamp: 2026-11-22T10:00:00.123456789Z\r\nNats-Last-Sequence: 790\r\n\r\n"
)


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True),
        st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), max_size=40),
        max_size=6,
    ).filter(lambda headers: len({name.lower() for name in headers}) == len(headers))
)
def test_what_is_encoded_is_decoded_again(headers: dict[str, str]) -> None:
    assert dict(Headers(encode_headers(headers))) == headers


@pytest.mark.parametrize("headers", [{"a": "b\r\nInjected: 1"}, {"a b": "c"}, {"": "c"}, {"a:": "c"}, {"a": "\0"}])
def test_a_header_that_could_end_its_line_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="not a header"):
        encode_headers(headers)


def test_headers_are_found_without_regard_to_case() -> None:
    headers = Headers(REPUBLISHED)
    assert headers["nats-sequence"] == headers["NATS-SEQUENCE"] == "812"
    assert "nats-msg-id" in headers
    assert "nats-msg" not in headers


def test_one_header_is_found_without_decoding_the_others() -> None:
    assert find_header(REPUBLISHED, b"\r\nNats-Sequence: ") == b"812"
    assert find_header(REPUBLISHED, b"\r\nNats-Last-Sequence: ") == b"790"
    assert find_header(REPUBLISHED, b"\r\nNats-Num-Pending: ") is None


def test_the_servers_header_wins_over_the_publishers() -> None:
    forged = REPUBLISHED.replace(b"Nats-Msg-Id: b.1", b"Nats-Sequence: 1")
    assert find_header(forged, b"\r\nNats-Sequence: ") == b"812"
    assert Headers(forged)["Nats-Sequence"] == "812"


@pytest.mark.parametrize(
    ("raw", "status", "words"),
    [
        (b"NATS/1.0 503\r\n\r\n", 503, ""),
        (b"NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\n\r\n", 204, "EOB"),
        (b"NATS/1.0 409 Consumer Deleted\r\n\r\n", 409, "Consumer Deleted"),
        (REPUBLISHED, 0, ""),
    ],
)
def test_the_status_line_is_read(raw: bytes, status: int, words: str) -> None:
    assert status_of(raw) == status
    assert description_of(raw) == words


def test_a_message_without_headers_has_none() -> None:
    message = Message("a", "", b"")
    assert not message.headers
    assert message.status == 0
