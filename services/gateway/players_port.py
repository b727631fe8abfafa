"""The players' port: uvicorn serves the pages, and each upgrade request leaves it for a `WebSocket` of ours.

The upgrade bypasses ASGI on purpose: a task, two queues and a scope for each connection cost more than all the rest
of an idle one.
"""

import asyncio
import contextlib
import functools
import socket
import time
from collections.abc import Collection, Generator
from http import HTTPStatus
from typing import Any, Final, cast

import httptools
import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from libs.runtime.errors import StartError
from services.gateway import metrics, upgrade
from services.gateway.auth import Authenticator, Identity, TokenRefused
from services.gateway.keys import KeysUnavailable
from services.gateway.session import Session, Surroundings
from services.gateway.websocket import WebSocket

_MAX_REQUEST_BYTES: Final = 131_072
_USER_TIMEOUT_MS: Final = 30_000
"""TCP gives a peer up that acknowledges nothing for so long (RFC 5482); application pings take longer to tell."""
BACKLOG: Final = 65_535
"""Connections that wait to be accepted; the kernel bounds it further (`net.core.somaxconn`, 4096 by default)."""

_ACCEPTED_AT_ONCE: Final = 16


class Door:
    """Who may come in, and what becomes of them."""

    def __init__(
        self,
        surroundings: Surroundings,
        authenticator: Authenticator,
        *,
        origins: Collection[str],
        max_connections: int,
        max_unauthenticated: int,
    ) -> None:
        self._surroundings = surroundings
        self._authenticator = authenticator
        self._origins = origins
        self._max_connections = max_connections
        self._max_unauthenticated = max_unauthenticated
        self.draining = False

    @property
    def request_s(self) -> float:
        """Seconds that the head of a request may take to arrive."""
        return self._surroundings.limits.authentication_s

    def examine(self, method: bytes, target: bytes, headers: upgrade.HeaderList) -> upgrade.Accepted | upgrade.Refused:
        """Whether this upgrade request may go ahead, its token apart."""
        hub = self._surroundings.hub
        if self.draining:
            return upgrade.Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the server is restarting", _RETRY_SOON)
        if hub.sessions >= self._max_connections or hub.unauthenticated >= self._max_unauthenticated:
            return upgrade.Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections", _RETRY_SOON)
        return upgrade.examine(method, target, headers, self._origins)

    def expect(self, arrival: "Arrival") -> None:
        """Have `arrival` ticked when it has said nothing for too long."""
        self._surroundings.wheel.put(arrival, time.monotonic() + self.request_s)

    def forget(self, arrival: "Arrival") -> None:
        """Undo `expect`."""
        self._surroundings.wheel.remove(arrival)

    async def identify(self, token: str) -> Identity | upgrade.Refused:
        """Whom the token in the upgrade request speaks for."""
        try:
            return await self._authenticator.identify(token)
        except TokenRefused as refusal:
            return upgrade.Refused(HTTPStatus.UNAUTHORIZED, str(refusal), upgrade.INVALID_TOKEN)
        except KeysUnavailable as error:
            return upgrade.Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error), _RETRY_SOON)

    def open_at_once(self, transport: asyncio.Transport, request: upgrade.Request) -> WebSocket | None:
        """Answer this request with a WebSocket, None where it is not to have one or its token's key must be fetched."""
        accepted = self.examine(b"GET", request.target, request.headers)
        if isinstance(accepted, upgrade.Refused):
            return None
        identity: Identity | None = None
        if accepted.token is not None:
            try:
                identity = self._authenticator.identify_at_hand(accepted.token)
            except TokenRefused:
                return None
            if identity is None:
                return None
        return self.open(transport, accepted, identity)

    def open(self, transport: asyncio.Transport, accepted: upgrade.Accepted, identity: Identity | None) -> WebSocket:
        """Answer the handshake and begin the session."""
        surroundings = self._surroundings
        limit = surroundings.limits.max_frame_bytes
        web_socket = WebSocket(transport, accepted.response, max_frame_bytes=limit)
        session = Session(surroundings, web_socket)
        web_socket.attach(session)
        transport.set_protocol(web_socket)
        session.start(identity, accepted.resume)
        return web_socket

    def spawn(self, protocol: "PlayersHttp", accepted: upgrade.Accepted, token: str) -> None:
        """Look at the token in a task of its own; its key may have to be fetched."""
        self._surroundings.tasks.spawn(protocol.admit(accepted, token), "upgrade")


_RETRY_SOON: Final = (("Retry-After", "1"),)


class Arrival(asyncio.Protocol):
    """A connection that has not said what it wants yet.

    Most want a WebSocket, ask for it in one packet, and may have it: they never get to see an HTTP server, which costs
    more than all the rest of their coming. Everything else is left to `PlayersHttp`, what is to be refused too.
    """

    __slots__ = ("_connections", "_door", "_make_http", "_transport", "slot")

    def __init__(self, door: Door, **uvicorn_arguments: Any) -> None:  # noqa: ANN401 - passed through
        self.slot: int | None = None
        self._door = door
        self._make_http = functools.partial(PlayersHttp, door, **uvicorn_arguments)
        self._connections: set[Any] = uvicorn_arguments["server_state"].connections

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        self._door.expect(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    @override
    def data_received(self, data: bytes) -> None:
        self._leave()
        request = upgrade.read_request(data)
        if request is not None:
            web_socket = self._door.open_at_once(self._transport, request)
            if web_socket is not None:
                if request.rest:
                    web_socket.data_received(request.rest)
                return
        http = self._make_http()
        self._transport.set_protocol(http)
        http.connection_made(self._transport)
        http.data_received(data)

    def tick(self, now: float) -> None:  # noqa: ARG002 - the wheel's signature
        """It said nothing: it is not kept."""
        self._transport.abort()

    def shutdown(self) -> None:
        """The server ends (uvicorn calls this)."""
        self._transport.close()

    def _leave(self) -> None:
        self._connections.discard(self)
        self._door.forget(self)


class PlayersHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol with bounds on what a request may take, and with the way out to a WebSocket."""

    def __init__(self, door: Door, **uvicorn_arguments: Any) -> None:  # noqa: ANN401 - passed through
        super().__init__(**uvicorn_arguments)
        self._door = door
        self._slow: asyncio.TimerHandle | None = None
        self._received = 0
        self._early: bytes | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrowing
        super().connection_made(transport)
        # A connection that says nothing is not kept.
        self._slow = self.loop.call_later(self._door.request_s, transport.abort)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._on_time()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early += data
            if len(self._early) > _MAX_REQUEST_BYTES:
                self.transport.abort()
            return
        self._unset_keepalive_if_required()
        self._received += len(data)
        if self._received > _MAX_REQUEST_BYTES:
            self._refuse(upgrade.Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too large"))
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as end:
            if self._should_upgrade():
                offset = end.args[0] if end.args and isinstance(end.args[0], int) else len(data)
                self._upgrade(data[offset:])
            else:
                self._refuse(upgrade.Refused(HTTPStatus.BAD_REQUEST, "no such upgrade"))
        except httptools.HttpParserError:
            self._refuse(upgrade.Refused(HTTPStatus.BAD_REQUEST, "not an HTTP request"))

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._slow is None:  # not the first request of this connection
            self._slow = self.loop.call_later(self._door.request_s, self.transport.abort)

    @override
    def on_headers_complete(self) -> None:
        self._on_time()
        super().on_headers_complete()

    @override
    def on_response_complete(self) -> None:
        self._received = 0
        super().on_response_complete()

    @override
    def _should_upgrade_to_ws(self) -> bool:
        return True

    def _upgrade(self, early: bytes) -> None:
        if self.parser.get_http_version() != "1.1":
            self._refuse(upgrade.Refused(HTTPStatus.BAD_REQUEST, "a WebSocket needs HTTP/1.1"))
            return
        answer = self._door.examine(str(self.scope["method"]).encode(), self.url, self.headers)
        if isinstance(answer, upgrade.Refused):
            self._refuse(answer)
            return
        self._early = early
        if answer.token is None:
            self._open(answer, None)
        else:
            self._door.spawn(self, answer, answer.token)

    async def admit(self, accepted: upgrade.Accepted, token: str) -> None:
        """Open the WebSocket if the token holds, else refuse before the upgrade."""
        identity = await self._door.identify(token)
        if self.transport.is_closing():
            return
        if isinstance(identity, upgrade.Refused):
            self._refuse(identity)
        else:
            self._open(accepted, identity)

    def _open(self, accepted: upgrade.Accepted, identity: Identity | None) -> None:
        self._leave()
        web_socket = self._door.open(self.transport, accepted, identity)
        if self._early:
            web_socket.data_received(self._early)

    def _refuse(self, refused: upgrade.Refused) -> None:
        metrics.REFUSED_UPGRADES.labels(status=str(refused.status.value)).inc()
        self._on_time()
        if not self.transport.is_closing():
            self.transport.write(refused.response())
            self.transport.close()

    def _leave(self) -> None:
        """The connection is uvicorn's no more."""
        self._on_time()
        self.connections.discard(self)
        self.parser: Any = None  # it refers back to this object

    def _on_time(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None


class PlayersServer(uvicorn.Server):
    """uvicorn without its signal handling: on SIGTERM it would close every socket before they are drained."""

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def listen(host: str, port: int, *, send_buffer_bytes: int) -> socket.socket:
    """The players' port; its options pass on to every accepted socket.

    Raises:
        StartError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # The kernel doubles it; without a bound it grows to megabytes for a peer that does not read.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes // 2)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise StartError(f"STARWAKE_PORT: {host}:{port} cannot be used: {error.strerror or error}") from error
    listening.setblocking(False)
    return listening


def several_times(listening: socket.socket) -> list[socket.socket]:
    """The same socket under several descriptors, so that the event loop accepts as many connections in one turn.

    Of each descriptor libuv accepts one connection a turn (its pull request 3696), and while thousands connect a turn
    takes long: the backlog would overflow. Who is dropped there tries again one second later, then three (RFC 6298).
    """
    return [listening, *(listening.dup() for _ in range(_ACCEPTED_AT_ONCE - 1))]
