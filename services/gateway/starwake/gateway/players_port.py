"""The players' port: uvicorn serves the pages, and each upgrade request leaves it for a `WebSocket` of ours.

The upgrade bypasses ASGI on purpose: a task, two queues and a scope for each connection cost more than all the rest
of an idle one.
"""

import asyncio
import functools
from typing import Any, cast

from typing_extensions import override

from starwake.gateway import upgrade
from starwake.gateway.door import Door
from starwake.gateway.players_http import PlayersHttp


class Arrival(asyncio.Protocol):
    """A connection that has not said what it wants yet.

    Most want a WebSocket, ask for it in one packet, and may have it: they never get to see an HTTP server, which costs
    more than all the rest of their coming. Everything else is left to `PlayersHttp`, what is to be refused too.
    """

    __slots__ = ("_connections", "_door", "_make_http", "_transport", "peer", "slot")

    def __init__(self, door: Door, **uvicorn_arguments: Any) -> None:  # noqa: ANN401 - passed through
        self.slot: int | None = None
        self.peer: str | None = None  # of the PROXY header
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
            web_socket = self._door.open_at_once(self._transport, request, self.peer)
            if web_socket is not None:
                if request.rest:
                    web_socket.data_received(request.rest)
                return
        http = self._make_http()
        http.peer = self.peer
        self._transport.set_protocol(http)
        http.connection_made(self._transport)
        http.data_received(data)

    def tick(self, now: float) -> None:  # noqa: ARG002 - the wheel's signature
        """It said nothing: it is not kept."""
        self._transport.abort()

    def drop(self) -> None:
        """Others need its place."""
        self._transport.abort()

    def shutdown(self) -> None:
        """The server ends (uvicorn calls this)."""
        self._transport.close()

    def _leave(self) -> None:
        self._connections.discard(self)
        self._door.forget(self)
