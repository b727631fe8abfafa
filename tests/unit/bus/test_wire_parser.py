"""The parser, fed with what a server sends, cut at every place."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starwake.bus.message import Message
from starwake.bus.wire_parser import WireParser, WireSubscription


class Ear:
    """Takes messages and control lines, as the client does."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str, bytes, bytes]] = []
        self.lines: list[bytes] = []
        self.parser = WireParser({1: WireSubscription(1, ">", "", self)}, self.lines.append)

    def deliver(self, message: Message) -> None:
        self.messages.append((message.subject, message.reply, message.payload, message.raw_headers))


HEADERS = b"NATS/1.0\r\nA: b\r\n\r\n"
STREAM = (
    b'INFO {"server_id":"x"}\r\nPING\r\nMSG a.b 1 5\r\nhello\r\nMSG a.b 1 reply.to 0\r\n\r\nMSG gone 7 2\r\nxx\r\n'
    b"HMSG a.c 1 18 20\r\n" + HEADERS + b"\r\n\r\nHMSG a.c 1 r 18 23\r\n" + HEADERS + b"MSG x\r\nPONG\r\n"
)
MESSAGES = [
    ("a.b", "", b"hello", b""),
    ("a.b", "reply.to", b"", b""),
    ("a.c", "", b"\r\n", HEADERS),
    ("a.c", "r", b"MSG x", HEADERS),
]
LINES = [b'INFO {"server_id":"x"}', b"PING", b"PONG"]


def feed(ear: Ear, pieces: list[bytes]) -> None:
    for piece in pieces:
        ear.parser.take(piece)


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_messages_are_whole_wherever_the_reads_were_cut(cuts: list[int]) -> None:
    ear = Ear()
    edges = [0, *sorted(cuts), len(STREAM)]
    feed(ear, [STREAM[start:end] for start, end in itertools.pairwise(edges)])
    assert ear.messages == MESSAGES
    assert ear.lines == LINES


def test_messages_are_whole_where_every_byte_comes_alone() -> None:
    ear = Ear()
    feed(ear, [STREAM[at : at + 1] for at in range(len(STREAM))])
    assert ear.messages == MESSAGES
    assert ear.lines == LINES


def test_a_large_message_in_many_reads_is_delivered_once() -> None:
    ear = Ear()
    payload = b"x" * 1_000_000
    whole = b"MSG big 1 %d\r\n%b\r\nPING\r\n" % (len(payload), payload)
    feed(ear, [whole[at : at + 32_768] for at in range(0, len(whole), 32_768)])
    assert [message[2] for message in ear.messages] == [payload]
    assert ear.lines == [b"PING"]


@pytest.mark.parametrize("line", [b"MSG a\r\n", b"MSG a 1 x\r\n", b"HMSG a 1 5\r\n", b"MSG a b 3\r\nabc\r\n"])
def test_what_is_no_message_ends_the_connection(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a message|invalid literal"):
        Ear().parser.take(line)


def test_bytes_that_are_no_text_in_a_subject_are_passed_on_and_end_nothing() -> None:
    ear = Ear()
    ear.parser.take(b"MSG a.\xff 1 \xfe 2\r\nhi\r\nPING\r\n")
    ((subject, reply, *_),) = ear.messages
    assert subject.encode(errors="surrogateescape") == b"a.\xff"
    assert reply.encode(errors="surrogateescape") == b"\xfe"
    assert ear.lines == [b"PING"]


def test_nothing_after_a_reset_is_taken_from_the_connection_before() -> None:
    ear = Ear()
    ear.parser.take(b"MSG a.b 1 500\r\nhalf")
    ear.parser.reset()
    ear.parser.take(b"MSG a.b 1 5\r\nhello\r\n")
    assert [message[2] for message in ear.messages] == [b"hello"]
