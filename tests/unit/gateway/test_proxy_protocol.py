"""The PROXY protocol's header, whole, in pieces and wrong."""

import contextlib
import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starwake.gateway.proxy_protocol import Header, HeaderError, read_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
REST = b"GET /ws HTTP/1.1\r\n"


def binary(command: int, family: int, payload: bytes, *, size: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(payload) if size is None else size) + payload


def addresses(source: str, destination: str) -> bytes:
    return ip_address(source).packed + ip_address(destination).packed + struct.pack("!HH", 4711, 8080)


TLV = b"\x03\x00\x04abcd"
WHOLE = {
    b"PROXY TCP4 203.0.113.1 10.0.0.1 4711 8080\r\n": "203.0.113.1",
    b"PROXY TCP6 2001:db8::1 fd00::1 0 65535\r\n": "2001:db8::1",
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n": None,
    binary(0x21, 0x11, addresses("203.0.113.1", "10.0.0.1")): "203.0.113.1",
    binary(0x21, 0x11, addresses("203.0.113.1", "10.0.0.1") + TLV): "203.0.113.1",
    binary(0x21, 0x21, addresses("2001:db8::1", "fd00::1")): "2001:db8::1",
    binary(0x21, 0x31, b"/run/client".ljust(108, b"\0") + bytes(108)): None,
    binary(0x21, 0x00, b""): None,
    binary(0x20, 0x00, b""): None,
    binary(0x20, 0x11, addresses("203.0.113.1", "10.0.0.1")): None,
}


@pytest.mark.parametrize(("header", "source"), WHOLE.items())
def test_a_header_is_read_and_what_follows_is_the_clients(header: bytes, source: str | None) -> None:
    assert read_header(header + REST) == Header(source, len(header))
    assert read_header(header) == Header(source, len(header))


@pytest.mark.parametrize("header", WHOLE)
def test_half_a_header_is_waited_for(header: bytes) -> None:
    assert [read_header(header[:end]) for end in range(len(header))] == [None] * len(header)


@pytest.mark.parametrize(
    "data",
    [
        REST,
        b"PROXX",
        b"proxy TCP4 203.0.113.1 10.0.0.1 4711 8080\r\n",
        b"PROXY TCP4 203.0.113.1 10.0.0.1 4711\r\n",
        b"PROXY TCP4 203.0.113.1 10.0.0.1 4711 8080 1\r\n",
        b"PROXY TCP4  203.0.113.1 10.0.0.1 4711 8080\r\n",
        b"PROXY TCP4 2001:db8::1 fd00::1 4711 8080\r\n",
        b"PROXY TCP6 203.0.113.1 10.0.0.1 4711 8080\r\n",
        b"PROXY TCP4 203.0.113.256 10.0.0.1 4711 8080\r\n",
        b"PROXY TCP4 203.0.113.1 10.0.0.1 4711 65536\r\n",
        b"PROXY TCP4 203.0.113.1 10.0.0.1 04711 8080\r\n",
        b"PROXY TCP4 203.0.113.1 10.0.0.1 -1 8080\r\n",
        b"PROXY UDP4 203.0.113.1 10.0.0.1 4711 8080\r\n",
        b"PROXY \r\n",
        b"PROXY UNKNOWN " + b"x" * 94,
        SIGNATURE + b"\x11\x11\x00\x0c",
        SIGNATURE + b"\x22\x11\x00\x0c",
        binary(0x21, 0x12, addresses("203.0.113.1", "10.0.0.1")),
        binary(0x21, 0x11, b"short"),
        binary(0x21, 0x21, addresses("203.0.113.1", "10.0.0.1")),
        binary(0x21, 0x11, b"", size=4097),
    ],
)
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(HeaderError):
        read_header(data)


@given(st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21"]), st.binary(max_size=300))
def test_anything_is_read_refused_or_waited_for_and_never_for_more_than_its_bound(start: bytes, data: bytes) -> None:
    with contextlib.suppress(HeaderError):
        header = read_header(start + data)
        assert header is None or header.length <= len(start + data)
        if header is None and not (start + data).startswith(SIGNATURE[:12]):
            assert len(start + data) < 107
