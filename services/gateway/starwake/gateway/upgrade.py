"""PURE: the request that asks for a WebSocket (RFC 6455, 4.2), accepted or refused before anything is opened."""

import base64
import binascii
import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httptools
import msgspec

from starwake.contracts.frames import SUBPROTOCOL
from starwake.gateway.effects import Resume, decode_resume

PATH: Final = b"/ws"
RESUME_HEADER: Final = b"starwake-resume"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_RETRY_S: Final = (0.0, 4.0)
_KEY_BYTES: Final = 16
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}

_NO_BODY: Final = [b"0"]
_SLASH: Final = ord("/")
_NONE: Final[Sequence[bytes]] = ()

HeaderList = Sequence[tuple[bytes, bytes]]
Headers = Mapping[bytes, Sequence[bytes]]


class Request(NamedTuple):
    """A whole upgrade request, as it came.

    Attributes:
        target: its request target, query included.
        headers: in order, names in lower case.
        rest: what came after it: the first frames of a client that does not wait.
    """

    target: bytes
    headers: HeaderList
    rest: bytes


class _Head:
    """What httptools tells of a request."""

    __slots__ = ("headers", "target")

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))


def read_request(data: bytes) -> Request | None:
    """The GET request for a WebSocket that `data` begins with; None where it is anything else, or not whole."""
    head = _Head()
    parser = httptools.HttpRequestParser(head)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade as end:
        if parser.get_method() != b"GET" or parser.get_http_version() != "1.1" or not asks_for_websocket(head.headers):
            return None
        offset = end.args[0] if end.args and isinstance(end.args[0], int) else len(data)
        return Request(head.target, head.headers, data[offset:])
    except httptools.HttpParserError:
        return None
    return None


def asks_for_websocket(headers: HeaderList) -> bool:
    """Whether the upgrade that these headers ask for is to a WebSocket, and to nothing else."""
    return [value.strip().lower() for name, value in headers if name == b"upgrade"] == [b"websocket"]


class Accepted(msgspec.Struct, frozen=True):
    """The upgrade may go ahead, once the token in it (if any) holds.

    Attributes:
        response: the bytes of the 101.
        token: from `Authorization: Bearer`, None where the first frame shall bring it.
        resume: from `Starwake-Resume`.
    """

    response: bytes
    token: str | None
    resume: Resume | None


class Refused(msgspec.Struct, frozen=True):
    """The upgrade is answered with this status and one sentence."""

    status: HTTPStatus
    reason: str
    headers: tuple[tuple[str, str], ...] = ()

    def response(self) -> bytes:
        """The whole HTTP response, after which the connection is closed."""
        body = self.reason.encode() + b"\n"
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def come_later(reason: str, after_s: float) -> Refused:
    """The answer to a request that cannot be served now, but may be after so many seconds (RFC 9110, 10.2.3)."""
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, reason, (("Retry-After", str(max(1, math.ceil(after_s)))),))


def soon(share: float) -> float:
    """Seconds until whoever was refused may come again.

    Args:
        share: from 0 to 1, at random, so that thousands do not come together once more.
    """
    earliest, latest = _RETRY_S
    return earliest + share * (latest - earliest)


INVALID_TOKEN: Final = (("WWW-Authenticate", 'Bearer error="invalid_token"'),)


def examine(method: bytes, target: bytes, headers: HeaderList, allowed_origins: Collection[str]) -> Accepted | Refused:
    """Whether this request may become a WebSocket.

    Args:
        method: such as `GET`.
        target: the request target, query included; a token in the query is never looked at.
        headers: names in lower case.
        allowed_origins: origins besides the request's own that browsers may come from, such as
            `https://game.example`; `*` allows all.
    """
    named = by_name(headers)
    return (
        _check_target(method, target)
        or _check_handshake(named)
        or _check_origin(named, allowed_origins)
        or _accept(named)
    )


def by_name(headers: HeaderList) -> dict[bytes, list[bytes]]:
    """All values of each header, in order, without the spaces around them; names are in lower case."""
    named: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        named.setdefault(name, []).append(value.strip())
    return named


def origin_may_connect(headers: Headers, allowed: Collection[str]) -> bool:
    """Whether a page of this Origin may connect to this Host; `allowed` as for `examine`."""
    origins = headers.get(b"origin", _NONE)
    if not origins:
        return True  # native clients send none; browsers always do, and their pages cannot leave it out
    origin = origins[0].decode("latin-1").lower()
    hosts = headers.get(b"host", _NONE)
    return len(origins) == 1 and (
        "*" in allowed or origin in allowed or (len(hosts) == 1 and _is_same_origin(origin, hosts[0].decode("latin-1")))
    )


def origin_form(target: bytes) -> bytes:
    """The path and query of a request target that may name the server too (`http://game.example/ws`; RFC 9112, 3.2.2).

    What is in neither form stays as it is, save `*`, which stands for the server as a whole and becomes its root.
    """
    if target == b"*":
        return b"/"
    scheme, found, rest = target.partition(b"://")
    if not found or scheme.lower() not in (b"http", b"https", b"ws", b"wss"):
        return target
    for at, byte in enumerate(rest):
        if byte in b"/?":
            return rest[at:] if byte == _SLASH else b"/" + rest[at:]
    return b"/"


def without_upgrade(method: bytes, target: bytes, headers: HeaderList) -> bytes:
    """The head of this request as it would be if no upgrade were asked for (RFC 9110, 7.8: a server may ignore it)."""
    lines = [b"%b %b HTTP/1.1" % (method, target)]
    for name, value in headers:
        if name == b"upgrade":
            continue
        if name == b"connection":
            kept = [word.strip() for word in value.split(b",") if word.strip().lower() != b"upgrade"]
            value = b", ".join(kept)  # noqa: PLW2901 - the header without that word
        lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _check_target(method: bytes, target: bytes) -> Refused | None:
    if origin_form(target).partition(b"?")[0] != PATH:
        return Refused(HTTPStatus.NOT_FOUND, "the WebSocket is at /ws")
    if method != b"GET":
        return Refused(HTTPStatus.METHOD_NOT_ALLOWED, "a WebSocket is asked for with GET", (("Allow", "GET"),))
    return None


def _check_handshake(headers: Headers) -> Refused | None:
    if headers.get(b"sec-websocket-version", _NONE) != [b"13"]:
        only = (("Sec-WebSocket-Version", "13"),)
        return Refused(HTTPStatus.UPGRADE_REQUIRED, "only WebSocket version 13 is spoken here", only)
    keys = headers.get(b"sec-websocket-key", _NONE)
    if len(keys) != 1 or not _is_key(keys[0]):
        return Refused(HTTPStatus.BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64")
    # What followed would be read as frames: there are no handshakes with a body (RFC 6455, 4.1).
    if b"transfer-encoding" in headers or headers.get(b"content-length", _NO_BODY) != _NO_BODY:
        return Refused(HTTPStatus.BAD_REQUEST, "a request for a WebSocket has no body")
    if len(headers.get(b"host", _NONE)) != 1:
        return Refused(HTTPStatus.BAD_REQUEST, "exactly one Host header is needed")
    return None


def _check_origin(headers: Headers, allowed: Collection[str]) -> Refused | None:
    if origin_may_connect(headers, allowed):
        return None
    return Refused(HTTPStatus.FORBIDDEN, "pages from this origin may not connect")


def _accept(headers: Headers) -> Accepted | Refused:
    offered = [
        part.strip()
        for value in headers.get(b"sec-websocket-protocol", _NONE)
        for part in value.decode("latin-1").split(",")
    ]
    if offered and SUBPROTOCOL not in offered:
        return Refused(HTTPStatus.BAD_REQUEST, f"the subprotocol spoken here is {SUBPROTOCOL}")
    token = _bearer_token(headers)
    if isinstance(token, Refused):
        return token
    resume = _resume(headers)
    if isinstance(resume, Refused):
        return resume
    key = headers[b"sec-websocket-key"][0]
    return Accepted(_switching(key, subprotocol=bool(offered)), token, resume)


def _bearer_token(headers: Headers) -> str | Refused | None:
    values = headers.get(b"authorization", _NONE)
    if not values:
        return None
    scheme, _, token = values[0].decode("latin-1").partition(" ")
    if len(values) != 1 or scheme.lower() != "bearer" or not token.strip():
        return Refused(
            HTTPStatus.UNAUTHORIZED, "Authorization takes one Bearer token", (("WWW-Authenticate", "Bearer"),)
        )
    return token.strip()


def _resume(headers: Headers) -> Resume | Refused | None:
    values = headers.get(RESUME_HEADER, _NONE)
    if not values:
        return None
    try:
        return decode_resume(values[-1])
    except (msgspec.DecodeError, RecursionError):
        return Refused(HTTPStatus.BAD_REQUEST, "Starwake-Resume is not a position")


def _switching(key: bytes, *, subprotocol: bool) -> bytes:
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    chosen = b"Sec-WebSocket-Protocol: " + SUBPROTOCOL.encode() + b"\r\n" if subprotocol else b""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (accept, chosen)
    )


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except binascii.Error:
        return False


def _is_same_origin(origin: str, host: str) -> bool:
    """Whether a page of `origin` came from this very host.

    Scheme apart: behind a proxy that ends TLS the request arrives as plain HTTP.
    """
    try:
        page = urlsplit(origin)
        here = urlsplit(f"{page.scheme}://{host.lower()}")
        default = _DEFAULT_PORTS.get(page.scheme)
        return bool(page.hostname) and (page.hostname, page.port or default) == (here.hostname, here.port or default)
    except ValueError:  # a port that is no number, a bracket without its pair
        return False
