"""PURE: NATS message headers (ADR-4), encoding and lazy decoding."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

_VERSION = b"NATS/1.0"
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_LINE_BREAK = re.compile(r"[\r\n\0]")


def encode_headers(headers: Mapping[str, str]) -> bytes:
    """The header block of a message, from `NATS/1.0` to the empty line.

    Raises:
        ValueError: a name is not a token (RFC 9110, 5.6.2), or a value would end its line.
    """
    lines = ["NATS/1.0"]
    for name, value in headers.items():
        # What is printable has no line breaks, and that is cheaper to see.
        if not _is_name(name) or not (value.isprintable() or _LINE_BREAK.search(value) is None):
            raise ValueError(f"not a header: {name!r}: {value!r}")
        lines.append(f"{name}: {value}")
    lines.append("\r\n")
    return "\r\n".join(lines).encode()


@lru_cache(maxsize=256)
def _is_name(text: str) -> bool:
    return _NAME.match(text) is not None


def status_of(raw: bytes) -> int:
    """The status in the first line of a header block (`NATS/1.0 503`), 0 where there is none."""
    if raw[8:9] != b" ":
        return 0  # nearly always: this is asked of every message with headers
    digits = raw[9:12]
    return int(digits) if digits.isdigit() else 0


def description_of(raw: bytes) -> str:
    """The words after the status in the first line of a header block."""
    return raw[12 : raw.find(b"\r\n")].decode(errors="replace").strip() if status_of(raw) else ""


def find_header(raw: bytes, line_start: bytes) -> bytes | None:
    r"""The value of one header, without decoding the others.

    Args:
        raw: the header block.
        line_start: the header's name as the server spells it with what stands around it, `b"\r\nNats-Sequence: "`.

    Returns:
        The value of the last such header, or None. The last, because the server appends its own headers to those that
        the publisher sent.
    """
    start = raw.rfind(line_start)
    if start < 0:
        return None
    start += len(line_start)
    return raw[start : raw.find(b"\r\n", start)]


class Headers(Mapping[str, str]):
    """A message's headers; names are compared without regard to case, the last of several wins."""

    __slots__ = ("_values",)

    def __init__(self, raw: bytes) -> None:
        values: dict[str, tuple[str, str]] = {}
        for line in raw.split(b"\r\n")[1:]:
            name, colon, value = line.partition(b":")
            if colon:
                spelled = name.strip().decode(errors="replace")
                values[spelled.lower()] = (spelled, value.strip().decode(errors="replace"))
        self._values = values

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (spelled for spelled, _ in self._values.values())

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values
