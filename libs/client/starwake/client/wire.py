"""One WebSocket connection: frames in as a callback, frames out without waiting."""

import asyncio
import contextlib
import ssl as tls
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_address
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from starwake.contracts.frames import SUBPROTOCOL
from starwake.contracts.reasons import CloseCode

OPEN_S = 10.0
WRITE_S = 5.0
"""A write that is stuck for so long means a dead line; the server's own measure is the same (4008)."""
CLOSE_S = 2.0
MAX_BYTES = 16 * 1024 * 1024
"""Largest frame taken in: far above a page of 500 builds, far below what would hurt."""


async def open_wire(url: str, headers: Mapping[str, str], ssl: tls.SSLContext | None) -> "Wire":
    """Open a connection.

    Raises:
        OSError: no way to the server.
        TimeoutError: it took longer than 10 s.
        websockets.exceptions.InvalidHandshake: what answers refuses, or is no WebSocket server.
    """
    opening = partial(
        connect,
        url,
        additional_headers=headers,
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        # Measured on the server: deflate costs it 37 kB a connection, and these frames are small.
        compression=None,
        # The protocol's own pings are the life signs, in both directions.
        ping_interval=None,
        open_timeout=OPEN_S,
        close_timeout=CLOSE_S,
        max_size=MAX_BYTES,
        # HTTP_PROXY and the like are for other machines.
        proxy=None if is_loopback(urlsplit(url).hostname or "") else True,
    )
    # For `wss` the library makes a context itself, unless it is handed even None.
    return Wire(await (opening() if ssl is None else opening(ssl=ssl)))


def is_loopback(host: str) -> bool:
    """Whether this is a name or address of this very machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class Wire:
    """An open connection. What is sent while it dies is lost without a word: commands are sent again by their id."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._outgoing: deque[str] = deque()
        self._work = asyncio.Event()
        self._closing: str | None = None

    def send(self, text: str) -> None:
        """Queue a frame. What may wait is bounded by who asks: commands by their number, pongs by the pings."""
        self._outgoing.append(text)
        self._work.set()

    def hang_up(self, reason: str, *, polite: bool) -> None:
        """End the connection; `run` then returns."""
        if polite:
            self._closing = reason
            self._work.set()
        else:
            self._socket.transport.abort()

    async def run(self, received: Callable[[str | bytes], None]) -> tuple[int | None, str]:
        """Serve the connection until it ends; the server's close code and reason, or None and "".

        `received` gets each frame, and must not block.
        """
        writer = asyncio.create_task(self._write(), name="starwake-client-writer")
        try:
            while True:
                received(await self._socket.recv())
        except ConnectionClosed as closed:
            return (None, "") if closed.rcvd is None else (closed.rcvd.code, closed.rcvd.reason)
        finally:
            writer.cancel()
            await asyncio.wait([writer])
            self._socket.transport.abort()

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionClosed):  # the reader learns of it too, and reports it
            while self._closing is None or self._outgoing:
                await self._work.wait()
                self._work.clear()
                await self._flush()
            await self._socket.close(CloseCode.NORMAL, self._closing)

    async def _flush(self) -> None:
        try:
            while self._outgoing:
                async with asyncio.timeout(WRITE_S):
                    await self._socket.send(self._outgoing.popleft())
        except TimeoutError:
            self._socket.transport.abort()
