"""Clients that a library would not let one write: raw bytes, peers that stall, thousands at once."""

import asyncio
import base64
import json
import os
import socket
import struct
from typing import Any, NamedTuple

from typing_extensions import override


class Frame(NamedTuple):
    """A frame from the server."""

    opcode: int
    payload: bytes

    @property
    def close_code(self) -> int:
        """Of a CLOSE; 1005 without one."""
        return int.from_bytes(self.payload[:2], "big") if self.payload else 1005

    def json(self) -> dict[str, Any]:
        """Of a text frame."""
        return json.loads(self.payload)


def client_frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, reserved: int = 0
) -> bytes:
    """A frame as a client sends it, also a wrong one."""
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    mask_bit = 0x80 if masked else 0
    length = len(payload)
    if length < 126:
        head = bytes((first, length | mask_bit))
    elif length < 1 << 16:
        head = struct.pack("!BBH", first, 126 | mask_bit, length)
    else:
        head = struct.pack("!BBQ", first, 127 | mask_bit, length)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    repeated = mask * (length // 4 + 1)
    masked_payload = (int.from_bytes(payload, "big") ^ int.from_bytes(repeated[:length], "big")).to_bytes(length, "big")
    return head + mask + masked_payload


def handshake(token: str | None, *lines: str, path: str = "/ws") -> bytes:
    """An upgrade request."""
    head = [
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: keep-alive, Upgrade",  # as Firefox sends it
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        *([] if token is None else [f"Authorization: Bearer {token}"]),
        *lines,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n"


class RawSocket:
    """A TCP connection to the players' port, with the server's frames read one by one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> "RawSocket":
        """Connect, say nothing."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @classmethod
    async def live(cls, port: int, token: str, early: bytes = b"") -> "RawSocket":
        """Connect and go live; `early` is sent in the same packet as the handshake."""
        raw = await cls.open(port)
        raw.writer.write(handshake(token) + early)
        head = await raw.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert (await raw.frame()).json()["type"] == "hello"
        return raw

    async def send(self, *frames: bytes) -> None:
        """Send bytes."""
        self.writer.write(b"".join(frames))
        await self.writer.drain()

    async def frame(self, within_s: float = 5.0) -> Frame:
        """The next frame."""
        async with asyncio.timeout(within_s):
            first, length = await self.reader.readexactly(2)
            assert first & 0x70 == 0
            assert length < 128, "the server must not mask"
            if length == 126:
                length = int.from_bytes(await self.reader.readexactly(2), "big")
            elif length == 127:
                length = int.from_bytes(await self.reader.readexactly(8), "big")
            return Frame(first & 0x0F, await self.reader.readexactly(length))

    async def closing(self, within_s: float = 5.0) -> int:
        """Read up to the server's CLOSE; its code."""
        while (frame := await self.frame(within_s)).opcode != 8:
            pass
        return frame.close_code

    async def at_end(self, within_s: float = 5.0) -> bool:
        """Whether the server ends the TCP connection."""
        try:
            async with asyncio.timeout(within_s):
                while await self.reader.read(65_536):
                    pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """End the TCP connection."""
        self.writer.close()


class CountingClient(asyncio.Protocol):
    """A client so small that thousands fit into one test: it counts frames, and remembers when the last one came."""

    def __init__(self, token: str, resume: str | None) -> None:
        self._token = token
        self._resume = [] if resume is None else [f"Starwake-Resume: {resume}"]
        self._rest = b""
        self._upgraded = False
        self.frames = 0
        self.pushes = 0
        self.last_at = 0.0
        self.live: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(handshake(self._token, *self._resume))

    @override
    def data_received(self, data: bytes) -> None:
        self._rest += data
        if not self._upgraded:
            head, end, rest = self._rest.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101 "), head
            self._upgraded, self._rest = True, rest
        while len(self._rest) >= 2:
            length, start = self._rest[1], 2
            if length == 126:
                length, start = int.from_bytes(self._rest[2:4], "big"), 4
            if len(self._rest) < start + length:
                return
            self.frames += 1
            self.pushes += self._rest.startswith(b'{"type":"push"', start)
            self._rest = self._rest[start + length :]
            self.last_at = asyncio.get_running_loop().time()
            if not self.live.done():
                self.live.set_result(None)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if not self.live.done():
            self.live.set_exception(ConnectionError("closed before hello"))

    @classmethod
    async def connect(
        cls, port: int, token: str, *, resume: str | None = None, receive_buffer: int | None = None
    ) -> "CountingClient":
        """Connect and wait for hello."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", port))
        _, client = await loop.create_connection(lambda: cls(token, resume), sock=sock)
        async with asyncio.timeout(60):
            await client.live
        return client
