"""uvicorn's HTTP with bounds on what a request may take, and with the way out of it to a WebSocket."""

import asyncio
import contextlib
from http import HTTPStatus
from typing import Any, Final

import httptools
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from starwake.gateway import chance, metrics, upgrade
from starwake.gateway.auth import Identity
from starwake.gateway.door import Door
from starwake.gateway.websocket import peer_of

_MAX_REQUEST_BYTES: Final = 131_072


class PlayersHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol with bounds on what a request may take, and with the way out to a WebSocket."""

    def __init__(self, door: Door, **uvicorn_arguments: Any) -> None:  # noqa: ANN401 - passed through
        super().__init__(**uvicorn_arguments)
        self.peer: str | None = None  # of the PROXY header
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
        self._door.wait(self)
        # A connection that says nothing is not kept.
        self._asking = self.loop.call_later(self._door.request_s, transport.abort)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._door.leave(self)
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
        elif not self.transport.is_closing():
            self._door.wait(self)
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
                self._door.log_refused_origin(self.headers, self._address() or peer_of(self.transport))
            self._refuse(answer)
            return
        if answer.token is None:
            self._early = early
            self._open(answer, None)
        elif self._door.may_look_up():
            self._early = early
            self._door.spawn(self, answer, answer.token)
        else:
            self._refuse(upgrade.come_later("too many connections", chance.soon()))

    def drop(self) -> None:
        """Others need its place."""
        self.transport.abort()

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
        web_socket = self._door.open(self.transport, accepted, identity, self._address())
        if self._early:
            web_socket.data_received(self._early)

    def _address(self) -> str | None:
        return self._door.address(self.transport, self.peer, self.headers)

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
        self._door.leave(self)
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
