"""The players' port: uvicorn serves the pages, and each upgrade request leaves it for a `WebSocket` of ours.

The upgrade bypasses ASGI on purpose: a task, two queues and a scope for each connection cost more than all the rest
of an idle one.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import Collection
from http import HTTPStatus
from typing import Any, Final, cast

import httptools
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from libs.runtime.logs import get_logger
from libs.runtime.sparing import SparingLogger
from services.gateway import metrics, upgrade
from services.gateway.auth import Authenticator, Identity, TokenRefused
from services.gateway.keys import KeysUnavailable
from services.gateway.session import Session, Surroundings
from services.gateway.websocket import WebSocket

_MAX_REQUEST_BYTES: Final = 131_072
_TOLD_BYTES: Final = 200

_log = SparingLogger(get_logger("gateway.port"))


class Door:
    """Who may come in, and what becomes of them."""

    def __init__(  # noqa: PLR0913 - the settings of the port
        self,
        surroundings: Surroundings,
        authenticator: Authenticator,
        *,
        origins: Collection[str],
        max_connections: int,
        max_unauthenticated: int,
        request_s: float,
        answer_s: float,
    ) -> None:
        self._surroundings = surroundings
        self._authenticator = authenticator
        self._origins = origins
        self._max_connections = max_connections
        self._max_unauthenticated = max_unauthenticated
        self._looking_up = 0
        self.whole_request_s = request_s
        self.answer_s = answer_s
        self.draining = False

    @property
    def request_s(self) -> float:
        """Seconds that the head of a request may take to arrive."""
        return self._surroundings.limits.authentication_s

    def examine(self, method: bytes, target: bytes, headers: upgrade.HeaderList) -> upgrade.Accepted | upgrade.Refused:
        """Whether this upgrade request may go ahead, its token apart."""
        hub = self._surroundings.hub
        if self.draining:
            return upgrade.come_later("the server is restarting", upgrade.soon())
        if hub.sessions >= self._max_connections:
            return upgrade.come_later("too many connections", upgrade.soon())
        answer = upgrade.examine(method, target, headers, self._origins)
        # Who brings a token is not kept out by those who bring none.
        stranger = isinstance(answer, upgrade.Accepted) and answer.token is None
        if stranger and hub.unauthenticated >= self._max_unauthenticated:
            return upgrade.come_later("too many connections", upgrade.soon())
        resumes = isinstance(answer, upgrade.Accepted) and answer.resume is not None
        after_s = hub.come_later() if resumes else None
        return answer if after_s is None else upgrade.come_later("too many players come back at once", after_s)

    def may_look_up(self) -> bool:
        """Whether one more token may wait for its key."""
        return self._looking_up < self._max_unauthenticated

    def log_refused_origin(self, headers: upgrade.HeaderList) -> None:
        """Say which page was refused, and as which host it found this gateway."""
        _log.warning(
            "upgrade.origin_refused",
            origin=_told(headers, b"origin"),
            host=_told(headers, b"host"),
            hint="have the proxy pass the Host header on, or name the origin in STARWAKE_ALLOWED_ORIGINS",
        )

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
            return upgrade.come_later(str(error), upgrade.soon())

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
        self._surroundings.tasks.spawn(self._look_up(protocol, accepted, token), "upgrade")

    async def _look_up(self, protocol: "PlayersHttp", accepted: upgrade.Accepted, token: str) -> None:
        self._looking_up += 1
        try:
            await protocol.admit(accepted, token)
        finally:
            self._looking_up -= 1


def _told(headers: upgrade.HeaderList, name: bytes) -> str:
    return b", ".join(value for key, value in headers if key == name)[:_TOLD_BYTES].decode("latin-1")


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
        self._asking: asyncio.TimerHandle | None = None
        self._answering: asyncio.TimerHandle | None = None
        self._received = 0
        self._early: bytes | None = None
        self._refusal: upgrade.Refused | None = None
        self._active: RequestResponseCycle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrowing
        super().connection_made(transport)
        # A connection that says nothing is not kept.
        self._asking = self.loop.call_later(self._door.request_s, transport.abort)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._asked()
        self._answered()
        if self._active is not None and not self._active.response_complete:  # uvicorn only sees to the latest one
            self._active.disconnected = True
            self._active.message_event.set()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    @override
    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return  # it is told once what was asked before is answered; nothing more is read
        if self._early is not None:
            self._early += data
            if len(self._early) > _MAX_REQUEST_BYTES:
                self.transport.abort()
            return
        self._unset_keepalive_if_required()
        if self._asking is None:  # also for bytes that begin no request, such as empty lines
            self._asking = self.loop.call_later(self._door.request_s, self.transport.abort)
        self._received += len(data)
        if self._received > _MAX_REQUEST_BYTES:
            self._refuse(upgrade.Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too large"))
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as end:
            offset = end.args[0] if end.args and isinstance(end.args[0], int) else len(data)
            if self._should_upgrade():
                self._upgrade(data[offset:])
            else:
                self._ignore_upgrade(data[offset:])
        except httptools.HttpParserError:
            self._refuse(upgrade.Refused(HTTPStatus.BAD_REQUEST, "not an HTTP request"))

    @override
    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():  # the parser stops behind these headers, whatever is asked for
            self.scope["method"] = self.parser.get_method().decode("ascii")
            return
        self._asked()
        self._asking = self.loop.call_later(self._door.whole_request_s, self.transport.abort)
        self.url = upgrade.origin_form(self.url)
        super().on_headers_complete()

    @override
    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._asked()
        if self._answering is None:
            self._answering = self.loop.call_later(self._door.answer_s, self._answer_overdue)
        super().on_message_complete()

    @override
    def on_response_complete(self) -> None:
        self._received = 0
        self._answered()
        if self.pipeline or self.transport.get_write_buffer_size():
            self._answering = self.loop.call_later(self._door.answer_s, self._answer_overdue)
        super().on_response_complete()
        if self._refusal is not None and not self._pending:
            self._tell(self._refusal)

    @override
    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # closing would wait for a peer that reads no more
        else:
            super().timeout_keep_alive_handler()

    @override
    def _should_upgrade(self) -> bool:
        return upgrade.asks_for_websocket(self.headers)

    @override
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            async def send_while_there(message: Message) -> None:
                if self.transport.is_closing():
                    cycle.disconnected = True
                await send(message)

            with contextlib.suppress(ClientDisconnect):  # who leaves early is no failure of ours
                await app(scope, receive, send_while_there)

        self._active = cycle
        super()._start_asgi_task(cycle, serve)  # pyright: ignore[reportArgumentType] - uvicorn's own types of the same

    @property
    def _pending(self) -> bool:
        """Whether an earlier request of this connection has no whole answer yet."""
        return bool(self.pipeline) or (self._active is not None and not self._active.response_complete)

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read the request once more, without the upgrade to what is not spoken here; `rest` came behind its head."""
        head = upgrade.without_upgrade(str(self.scope["method"]).encode(), self.url, self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self._received -= len(rest)
        self.data_received(head + rest)

    def _upgrade(self, early: bytes) -> None:
        if self._pending:
            # Its answer would land inside the WebSocket's stream.
            self._refuse(upgrade.Refused(HTTPStatus.BAD_REQUEST, "an earlier request has not been answered yet"))
            return
        if self.parser.get_http_version() != "1.1":
            self._refuse(upgrade.Refused(HTTPStatus.BAD_REQUEST, "a WebSocket needs HTTP/1.1"))
            return
        answer = self._door.examine(str(self.scope["method"]).encode(), self.url, self.headers)
        if isinstance(answer, upgrade.Refused):
            if answer.status == HTTPStatus.FORBIDDEN:
                self._door.log_refused_origin(self.headers)
            self._refuse(answer)
            return
        if answer.token is None:
            self._early = early
            self._open(answer, None)
        elif self._door.may_look_up():
            self._early = early
            self._door.spawn(self, answer, answer.token)
        else:
            self._refuse(upgrade.come_later("too many connections", upgrade.soon()))

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
        self._asked()
        self._refusal = refused
        if not self._pending:
            self._tell(refused)

    def _tell(self, refused: upgrade.Refused) -> None:
        if not self.transport.is_closing():
            self.transport.write(refused.response())
            self.transport.close()
            self._answered()
            self._answering = self.loop.call_later(self._door.answer_s, self.transport.abort)

    def _answer_overdue(self) -> None:
        self._answering = None
        if self._pending or self.transport.get_write_buffer_size():
            self.transport.abort()

    def _leave(self) -> None:
        """The connection is uvicorn's no more."""
        self._asked()
        self._answered()
        self.connections.discard(self)
        self.parser: Any = None  # it refers back to this object

    def _asked(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def _answered(self) -> None:
        if self._answering is not None:
            self._answering.cancel()
            self._answering = None
