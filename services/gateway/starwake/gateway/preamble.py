"""What a proxy says of a connection before the client's first byte (STARWAKE_PROXY_PROTOCOL)."""

import asyncio
import functools
from typing import Any, cast

from typing_extensions import override

from starwake.gateway.door import Door
from starwake.gateway.players_port import Arrival
from starwake.gateway.proxy_protocol import HeaderError, read_header
from starwake.gateway.websocket import peer_of
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger

_log = RateLimitedLogger(get_logger("gateway.port"))


class Preamble(asyncio.Protocol):
    """A connection whose PROXY header has not come yet; becomes an `Arrival`, or is reset."""

    __slots__ = ("_begin", "_connections", "_door", "_held", "_peer", "_transport", "slot")

    def __init__(self, door: Door, **uvicorn_arguments: Any) -> None:  # noqa: ANN401 - passed through
        self.slot: int | None = None
        self._door = door
        self._begin = functools.partial(Arrival, door, **uvicorn_arguments)
        self._connections: set[Any] = uvicorn_arguments["server_state"].connections
        self._held = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._peer = peer_of(self._transport)
        if self._door.trusts(self._peer):
            self._connections.add(self)
            self._door.expect(self)
        else:
            _log.warning(
                "proxy_protocol.not_trusted",
                address=self._peer,
                hint="with STARWAKE_PROXY_PROTOCOL only STARWAKE_TRUSTED_PROXIES may connect",
            )
            self._transport.abort()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    @override
    def data_received(self, data: bytes) -> None:
        self._held += data
        try:
            header = read_header(self._held)
        except HeaderError as error:
            _log.warning("proxy_protocol.malformed", address=self._peer, reason=str(error))
            self._transport.abort()
            return
        if header is None:
            return
        self._leave()
        arrival = self._begin()
        arrival.peer = header.source or self._peer
        self._transport.set_protocol(arrival)
        arrival.connection_made(self._transport)
        if len(self._held) > header.length:
            arrival.data_received(self._held[header.length :])

    def tick(self, now: float) -> None:  # noqa: ARG002 - the wheel's signature
        """The header did not come: the connection is not kept."""
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
