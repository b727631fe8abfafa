"""The bytes to and from the server, below nats-py's client: its handshake line by line, then straight to the parser.

nats-py's own transport goes through asyncio's StreamReader: each read wakes a task, which copies what came out of a
buffer. Here the event loop calls the parser.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import cast
from urllib.parse import ParseResult

from nats.aio.transport import Transport


class _Connection(asyncio.Protocol):
    """One connection's bytes; a new one for each, so that the end of a former one cannot be taken for its end."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.buffer = bytearray()
        self.consumer: Callable[[bytes], None] | None = None
        self.ended = False
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.consumer is None:
            self.hold(data)
            return
        try:
            self.consumer(data)
        except ValueError:
            self.abort()  # not the protocol: nats-py reconnects

    def hold(self, data: bytes) -> None:
        """Keep `data` for who reads."""
        self.buffer += data
        self._readable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # nats-py makes no difference
        self.ended = True
        self._readable.set()
        self._writable.set()
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    async def more(self) -> bool:
        """Wait for bytes; false once the connection has ended."""
        self._readable.clear()
        if not self.ended:
            await self._readable.wait()
        return not self.ended

    async def drained(self) -> None:
        await self._writable.wait()
        if self.ended:
            raise ConnectionResetError("the connection to NATS was lost")


class WireTransport(Transport):
    """nats-py's transport over TCP and TLS; after `stream_to` the bytes go to a parser instead of `read`."""

    def __init__(self) -> None:
        self._connection: _Connection | None = None

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        """Connect, leaving a former connection behind for good."""
        del buffer_size  # of a reader that is not there
        self.close()  # nats-py forgets the former one where only the flush after a reconnect failed
        loop = asyncio.get_running_loop()
        connecting = loop.create_connection(_Connection, uri.hostname or "", uri.port or 4222)
        _, self._connection = await asyncio.wait_for(connecting, connect_timeout)

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: int
    ) -> None:
        """Go on in TLS on the connection that there is."""
        del buffer_size
        connection = self._open
        hostname = uri if isinstance(uri, str) else uri.hostname
        loop = asyncio.get_running_loop()
        upgrading = loop.start_tls(self.below, connection, ssl_context, server_hostname=hostname)
        connection.transport = await asyncio.wait_for(upgrading, connect_timeout)

    def stream_to(self, consumer: Callable[[bytes], None]) -> None:
        """From now on, and beginning with what nobody has read yet, hand over whatever comes as it comes."""
        connection = self._open
        held = bytes(connection.buffer)
        connection.buffer.clear()
        connection.consumer = consumer
        if held:
            connection.data_received(held)

    def put_back(self, line: bytes) -> None:
        """Have `read` return this: what the parser leaves to nats-py."""
        self._open.hold(line)

    @property
    def below(self) -> asyncio.Transport:
        """The event loop's transport.

        Raises:
            ConnectionError: there is no connection.
        """
        transport = self._open.transport
        if transport is None:
            raise ConnectionResetError("there is no connection to NATS")
        return transport

    @property
    def _open(self) -> _Connection:
        if self._connection is None:
            raise ConnectionResetError("there is no connection to NATS")
        return self._connection

    def write(self, payload: bytes) -> None:
        """Send."""
        if not self.below.is_closing():
            self.below.write(payload)

    def writelines(self, payload: list[bytes]) -> None:
        """Send several."""
        self.write(b"".join(payload))

    async def read(self, buffer_size: int) -> bytes:
        """What has come; empty at the end of the connection."""
        del buffer_size
        connection = self._open
        while not connection.buffer and await connection.more():
            pass
        taken = bytes(connection.buffer)
        connection.buffer.clear()
        return taken

    async def readline(self) -> bytes:
        """The next line, with its end; what there is at the end of the connection."""
        connection = self._open
        while (end := connection.buffer.find(b"\n")) < 0 and await connection.more():
            pass
        end = len(connection.buffer) if end < 0 else end + 1
        line = bytes(connection.buffer[:end])
        del connection.buffer[:end]
        return line

    async def drain(self) -> None:
        """Wait until the socket takes more.

        Raises:
            ConnectionError: the connection has ended.
        """
        await self._open.drained()

    async def wait_closed(self) -> None:
        """Wait until the connection has ended."""
        if self._connection is not None:
            await self._connection.closed

    def close(self) -> None:
        """End the connection at once."""
        # Not the transport's close(): that first flushes, which never ends where the peer is stopped and not gone, and
        # nats-py waits for it before it reconnects. Whoever closes in peace has flushed before.
        if self._connection is not None:
            self._connection.abort()

    def at_eof(self) -> bool:
        """Whether nothing will come any more."""
        return self._connection is None or (self._connection.ended and not self._connection.buffer)

    def __bool__(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride] - nats-py left its type out
        return True  # nats-py asks for the truth of it to know whether one was made
