"""A network that fails on demand: a TCP relay between one client and the gateway."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from enum import Enum
from urllib.parse import urlsplit

CHUNK = 65_536
CONNECT_S = 5.0


class Mode(Enum):
    """What the network does."""

    UP = "up"
    DOWN = "down"
    """Every connection breaks, and new ones too."""
    HOLD = "hold"
    """What the server says on the present connections is lost; they stay open."""
    DROP = "drop"
    """Every connection breaks; new ones work."""


class Relay:
    """Passes bytes on between a client and the server.

    Attributes:
        connections: how many the client has made so far.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path
        self.connections = 0
        self._up = True
        self._held: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._to_client: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The socket's address by way of this relay."""
        assert self._server is not None
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{self._path}"

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Relay"]:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        try:
            yield self
        finally:
            self._server.close()
            self._break()

    def set(self, mode: Mode) -> None:
        """Change what the network does."""
        self._up = mode is not Mode.DOWN
        if mode is Mode.HOLD:
            self._held |= self._to_client
        elif mode in (Mode.DROP, Mode.DOWN):
            self._break()

    def _break(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        upstream: asyncio.StreamWriter | None = None
        try:
            if not self._up:
                return
            async with asyncio.timeout(CONNECT_S):
                back, upstream = await asyncio.open_connection(self._host, self._port)
            self._open |= {writer, upstream}
            self._to_client.add(writer)
            copies = {asyncio.create_task(self._copy(reader, upstream)), asyncio.create_task(self._copy(back, writer))}
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            for copy in copies:
                copy.cancel()
            await asyncio.wait(copies)
        except OSError:
            return  # the gateway is not there: the client sees its connection break
        finally:
            for end in (writer, upstream):
                if end is not None:
                    end.transport.abort()
                    for group in (self._open, self._to_client, self._held):
                        group.discard(end)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if writer not in self._held:
                    writer.write(data)
                    await writer.drain()
