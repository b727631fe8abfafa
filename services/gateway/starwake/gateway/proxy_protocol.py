"""PURE: the PROXY protocol's header, versions 1 and 2: a proxy tells whose connection it passes on.

The specification is HAProxy's `doc/proxy-protocol.txt`.
"""

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_FIRST_WORD: Final = b"PROXY "
_LONGEST_LINE: Final = 107
"""Of version 1, its end included (section 2.1)."""
_HEAD_BYTES: Final = 16
_MOST_BYTES: Final = 4096
"""Of what follows the head of version 2; addresses take 216 at most, the rest is a proxy's additions (TLV)."""
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_ADDRESS_BYTES: Final = {_UNSPECIFIED: 0, _TCP4: 12, _TCP6: 36, _UNIX: 216}
_LINE_WORDS: Final = 6
_MOST_PORT: Final = 65_535


class HeaderError(ValueError):
    """What came first on the connection is no such header; the text says why."""


class Header(NamedTuple):
    """A whole header.

    Attributes:
        source: the client's address; None where the proxy speaks for itself (a health check) or does not know.
        length: the header's bytes; what follows is the client's.
    """

    source: str | None
    length: int


def read_header(data: bytes) -> Header | None:
    """The header that `data` begins with; None where more must come first.

    Raises:
        HeaderError: it begins with something else.
    """
    if data.startswith(_SIGNATURE):
        return _read_binary(data)
    if data.startswith(_FIRST_WORD):
        return _read_line(data)
    if _SIGNATURE.startswith(data) or _FIRST_WORD.startswith(data):
        return None
    raise HeaderError("no PROXY header")


def _read_line(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, _LONGEST_LINE)
    if end < 0:
        if len(data) >= _LONGEST_LINE:
            raise HeaderError("the line does not end")
        return None
    length = end + 2
    words = data[:end].decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return Header(None, length)
    kind = {"TCP4": IPv4Address, "TCP6": IPv6Address}.get(words[1])
    if kind is None or len(words) != _LINE_WORDS:
        raise HeaderError("the line is not PROXY, TCP4 or TCP6, two addresses and two ports")
    try:
        source, _ = kind(words[2]), kind(words[3])
    except ValueError as error:
        raise HeaderError(f"an address is not {words[1]}'s") from error
    if not all(_is_port(word) for word in words[4:]):
        raise HeaderError("a port is none")
    return Header(str(source), length)


def _is_port(word: str) -> bool:
    return word.isascii() and word.isdecimal() and str(int(word[:6])) == word and int(word) <= _MOST_PORT


def _read_binary(data: bytes) -> Header | None:
    if len(data) < _HEAD_BYTES:
        return None
    command, family, size = struct.unpack_from("!BBH", data, len(_SIGNATURE))
    if command not in (_LOCAL, _PROXY):
        raise HeaderError("neither LOCAL nor PROXY of version 2")
    if size > _MOST_BYTES:
        raise HeaderError(f"longer than {_MOST_BYTES} bytes")
    if command == _PROXY and family not in _ADDRESS_BYTES:
        raise HeaderError("an address family that no TCP connection has")
    if command == _PROXY and size < _ADDRESS_BYTES[family]:
        raise HeaderError("shorter than its addresses")
    length = _HEAD_BYTES + size
    if len(data) < length:
        return None
    if command == _PROXY and family == _TCP4:
        return Header(str(IPv4Address(data[_HEAD_BYTES : _HEAD_BYTES + 4])), length)
    if command == _PROXY and family == _TCP6:
        return Header(str(IPv6Address(data[_HEAD_BYTES : _HEAD_BYTES + 16])), length)
    return Header(None, length)
