"""RFC 6455 framing, without sockets; the hypothesis tests compare with the `websockets` library's own frames."""

import struct
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from starwake.gateway import framing
from starwake.gateway.framing import FrameReader, Incoming

MAX = 65_536


def client_frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, reserved: int = 0
) -> bytes:
    """A frame as a client sends it, also a wrong one."""
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    length = len(payload)
    if length < 126:
        head = bytes((first, length | (0x80 if masked else 0)))
    elif length < 1 << 16:
        head = struct.pack("!BBH", first, 126 | (0x80 if masked else 0), length)
    else:
        head = struct.pack("!BBQ", first, 127 | (0x80 if masked else 0), length)
    if not masked:
        return head + payload
    mask = b"\x01\x02\x03\x04"
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def violation_of(*data: bytes, max_bytes: int = MAX) -> int | None:
    reader = FrameReader(max_bytes)
    for each in data:
        reader.feed(each)
    return None if reader.violation is None else reader.violation.code


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536])
def test_a_text_message_of_any_size_is_read(size: int) -> None:
    payload = b"x" * size
    assert FrameReader(MAX).feed(client_frame(framing.TEXT, payload)) == [Incoming(framing.TEXT, payload)]


def test_messages_that_arrive_in_one_piece_are_read_in_order() -> None:
    data = b"".join(client_frame(framing.TEXT, text) for text in (b"a", b"b", b"c"))
    assert [message.payload for message in FrameReader(MAX).feed(data)] == [b"a", b"b", b"c"]


def test_a_message_may_arrive_byte_by_byte() -> None:
    reader = FrameReader(MAX)
    data = client_frame(framing.TEXT, b"y" * 300) + client_frame(framing.PING, b"p")
    got = [message for index in range(len(data)) for message in reader.feed(data[index : index + 1])]
    assert got == [Incoming(framing.TEXT, b"y" * 300), Incoming(framing.PING, b"p")]


def test_control_frames_may_stand_between_fragments() -> None:
    reader = FrameReader(MAX)
    data = (
        client_frame(framing.TEXT, b"hel", fin=False)
        + client_frame(framing.PING, b"1")
        + client_frame(framing.CONTINUATION, b"l", fin=False)
        + client_frame(framing.PONG)
        + client_frame(framing.CONTINUATION, b"o")
    )
    assert reader.feed(data) == [
        Incoming(framing.PING, b"1"),
        Incoming(framing.PONG, b""),
        Incoming(framing.TEXT, b"hello"),
    ]


def test_a_character_may_be_split_between_fragments() -> None:
    star = "★".encode()
    reader = FrameReader(MAX)
    data = client_frame(framing.TEXT, star[:1], fin=False) + client_frame(framing.CONTINUATION, star[1:])
    assert reader.feed(data) == [Incoming(framing.TEXT, star)]


@pytest.mark.parametrize(
    "data",
    [
        client_frame(framing.TEXT, b"x", masked=False),
        client_frame(framing.TEXT, b"x", reserved=4),
        client_frame(framing.TEXT, b"x", reserved=1),
        client_frame(0x3, b"x"),
        client_frame(0xB, b"x"),
        client_frame(framing.PING, b"x" * 126),
        client_frame(framing.PING, b"x", fin=False),
        client_frame(framing.CONTINUATION, b"x"),
        client_frame(framing.TEXT, b"x", fin=False) + client_frame(framing.TEXT, b"y"),
        client_frame(framing.CLOSE, b"\x03"),
        client_frame(framing.CLOSE, struct.pack("!H", 999)),
        client_frame(framing.CLOSE, struct.pack("!H", 1005)),
        client_frame(framing.CLOSE, struct.pack("!H", 1006)),
        client_frame(framing.CLOSE, struct.pack("!H", 1015)),
        client_frame(framing.CLOSE, struct.pack("!H", 2999)),
        client_frame(framing.CLOSE, struct.pack("!H", 5000)),
        struct.pack("!BBH", 0x81, 0x80 | 126, 125) + b"\0" * 129,
        struct.pack("!BBQ", 0x81, 0x80 | 127, 65_535) + b"\0" * 4,
    ],
)
def test_what_the_rfc_forbids_fails_the_connection_with_1002(data: bytes) -> None:
    assert violation_of(data) == 1002


@pytest.mark.parametrize("text", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", "★".encode()[:2], b"ok\xf5"])
def test_text_that_is_not_utf8_fails_the_connection_with_1007(text: bytes) -> None:
    assert violation_of(client_frame(framing.TEXT, text)) == 1007


def test_a_close_reason_that_is_not_utf8_fails_the_connection_with_1007() -> None:
    assert violation_of(client_frame(framing.CLOSE, struct.pack("!H", 1000) + b"\xff")) == 1007


def test_a_frame_that_is_too_big_is_refused_by_its_header_alone() -> None:
    reader = FrameReader(1000)
    assert reader.feed(client_frame(framing.TEXT, b"x" * 1001)[:8]) == []
    assert reader.violation is not None
    assert reader.violation.code == 1009


def test_a_length_of_more_than_63_bits_is_refused() -> None:
    assert violation_of(struct.pack("!BBQ", 0x81, 0x80 | 127, 1 << 63)) == 1009


def test_fragments_that_add_up_to_too_much_are_refused() -> None:
    part = client_frame(framing.TEXT, b"x" * 600, fin=False)
    assert violation_of(part, client_frame(framing.CONTINUATION, b"x" * 600), max_bytes=1000) == 1009


def test_fragments_without_end_or_contents_are_refused() -> None:
    empty = client_frame(framing.CONTINUATION, fin=False) * framing.MAX_FRAGMENTS
    assert violation_of(client_frame(framing.TEXT, fin=False) + empty) == 1009


def test_messages_before_a_violation_still_count() -> None:
    reader = FrameReader(MAX)
    data = client_frame(framing.TEXT, b"fine") + client_frame(framing.TEXT, b"x", masked=False)
    assert reader.feed(data) == [Incoming(framing.TEXT, b"fine")]
    assert reader.violation is not None


def test_nothing_is_read_after_a_close() -> None:
    reader = FrameReader(MAX)
    data = client_frame(framing.CLOSE, struct.pack("!H", 1000)) + client_frame(framing.TEXT, b"late")
    assert [message.opcode for message in reader.feed(data)] == [framing.CLOSE]
    assert reader.feed(client_frame(framing.TEXT, b"later")) == []


@given(
    st.lists(st.tuples(st.sampled_from([Opcode.TEXT, Opcode.PING, Opcode.BINARY]), st.text(max_size=30)), max_size=8)
)
def test_what_another_library_sends_is_read_as_it_was_meant(messages: list[tuple[Opcode, str]]) -> None:
    data = b"".join(Frame(opcode, text.encode()).serialize(mask=True) for opcode, text in messages)
    assert FrameReader(MAX).feed(data) == [Incoming(int(opcode), text.encode()) for opcode, text in messages]


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=20))
def test_arbitrary_bytes_never_raise_and_are_read_alike_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    whole, pieces = FrameReader(256), FrameReader(256)
    expected = whole.feed(data)
    got: list[Incoming] = []
    position = 0
    for cut in [*cuts, len(data)]:
        got += pieces.feed(data[position : position + cut])
        position += cut
    assert got == expected
    assert pieces.violation == whole.violation


@given(st.text(max_size=70_000))
def test_what_is_sent_another_library_reads(text: str) -> None:
    frame = parsed(framing.text_frame(text.encode()))
    assert (frame.opcode, frame.data, frame.fin) == (Opcode.TEXT, text.encode(), True)


def test_a_close_reason_is_cut_between_characters() -> None:
    frame = parsed(framing.close_frame(4001, "é" * 100))
    assert frame.opcode is Opcode.CLOSE
    assert len(frame.data) <= 125
    assert bytes(frame.data[2:]).decode() == "é" * 61


def parsed(data: bytes) -> Frame:
    """The one frame in `data`, as the `websockets` library reads it."""
    stream = StreamReader()
    stream.feed_data(data)
    parsing = Frame.parse(stream.read_exact, mask=False)
    try:
        while True:
            next(parsing)
    except StopIteration as done:
        return cast("Frame", done.value)
