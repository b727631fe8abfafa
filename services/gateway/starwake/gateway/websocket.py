"""A player's socket on the event loop: bytes in, messages to the session; frames out, never waited for."""

import asyncio
import contextlib
import socket
import struct
from typing import Final, Protocol

from starwake.gateway import framing

_CLOSE_HANDSHAKE_S: Final = 2.0
"""For the peer's half of the close handshake (RFC 6455, 7.1.1 leaves the time to us)."""

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Receiver(Protocol):
    """What a socket hands its messages to."""

    def on_text(self, payload: bytes) -> None:
        """A text message, valid UTF-8."""
        ...

    def on_binary(self) -> None:
        """A binary message."""
        ...

    def on_life_sign(self) -> None:
        """A ping or pong."""
        ...

    def on_backlog(self) -> None:
        """More waits for the peer than the kernel takes."""
        ...

    def on_closed(self, code: int) -> None:
        """The connection is over; called once. 1006 where there was no close handshake (RFC 6455, 7.1.5)."""
        ...


def peer_of(transport: asyncio.BaseTransport) -> str:
    """The address of whoever opened this connection; empty where it was gone before it was asked."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if peer else ""


class WebSocket(asyncio.Protocol):
    """One WebSocket connection after its handshake.

    Writing never blocks and never fails: what cannot be sent any more is dropped.
    """

    __slots__ = ("_close_sent", "_closing", "_code", "_handshake", "_reader", "_receiver", "_transport", "_written")

    def __init__(self, transport: asyncio.Transport, handshake: bytes, *, max_frame_bytes: int) -> None:
        """A connection whose handshake is about to be answered.

        Args:
            transport: the TCP (or TLS) connection.
            handshake: the 101, sent with the first frames in one packet, or by `answer`.
            max_frame_bytes: a larger frame or message closes the connection with 1009.
        """
        self._transport = transport
        self._reader = framing.FrameReader(max_frame_bytes)
        self._receiver: Receiver | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._close_sent = False
        self._code = 1006
        self._written = 0
        self._handshake = handshake
        # So that `pause_writing` is called as soon as the kernel takes less than was written, and only then.
        transport.set_write_buffer_limits(high=0)

    def attach(self, receiver: Receiver) -> None:
        """Say who takes the messages; before any arrives."""
        self._receiver = receiver

    # --- out -----------------------------------------------------------------------------------------------------

    @property
    def waiting_bytes(self) -> int:
        """What was written and has not been taken by the kernel yet."""
        return self._transport.get_write_buffer_size()

    @property
    def peer(self) -> str:
        """The address of whoever opened the connection."""
        return peer_of(self._transport)

    @property
    def sent_bytes(self) -> int:
        """What the kernel has taken since the handshake; grows for as long as the peer reads."""
        return self._written - self._transport.get_write_buffer_size()

    def write(self, frames: bytes) -> None:
        """Send whole WebSocket frames."""
        if not self._close_sent and not self._transport.is_closing():
            if self._handshake:
                frames, self._handshake = self._handshake + frames, b""
            self._written += len(frames)
            self._transport.write(frames)

    @property
    def answered(self) -> bool:
        """Whether the handshake has been answered."""
        return not self._handshake

    def answer(self) -> None:
        """Answer the handshake now, where the first frames may take a while; idempotent."""
        if self._handshake:
            self.write(b"")

    def close(self, code: int, reason: str, *, flush_s: float) -> None:
        """Send a CLOSE and, once it is answered or too late, end the connection.

        Args:
            code: the close code.
            reason: one phrase.
            flush_s: seconds that what waits may take to be sent before the connection is reset.
        """
        if self._close_sent or self._transport.is_closing():
            return
        self.write(framing.close_frame(code, reason))
        self._close_sent = True
        self._code = code
        self._end_in(_CLOSE_HANDSHAKE_S, flush_s)

    def abort(self, code: int) -> None:
        """End the connection at once, and free what the kernel still holds for the peer."""
        if not self._close_sent:
            self._code = code
            self._close_sent = True
        # Without this the kernel keeps up to megabytes for a peer that reads no more, until its own timeout.
        with contextlib.suppress(OSError):
            raw = self._transport.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    # --- in ------------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        receiver = self._receiver
        if receiver is None:
            return
        for opcode, payload in self._reader.feed(data):
            if opcode == framing.CLOSE:
                self._closed_by_peer(payload)
            elif self._close_sent:
                continue
            elif opcode == framing.TEXT:
                receiver.on_text(payload)
            elif opcode == framing.BINARY:
                receiver.on_binary()
            else:
                if opcode == framing.PING:
                    self.write(framing.pong_frame(payload))
                receiver.on_life_sign()
        violation = self._reader.violation
        if violation is not None and not self._close_sent:
            self.close(violation.code, violation.reason, flush_s=_CLOSE_HANDSHAKE_S)

    def eof_received(self) -> bool:
        """The peer will send no more; without a CLOSE that is the end of the connection (RFC 6455, 7.1.4)."""
        return False

    def pause_writing(self) -> None:
        """The kernel did not take all that was written."""
        if self._receiver is not None and not self._close_sent:
            self._receiver.on_backlog()

    def resume_writing(self) -> None:
        """All has been sent."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the same to us however it ended
        """The connection is over."""
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.on_closed(self._code)

    def _closed_by_peer(self, payload: bytes) -> None:
        if not self._close_sent:
            self._code = framing.close_code(payload)
            self.write(framing.close_frame(self._code))
            self._close_sent = True
        if self._closing is not None:
            self._closing.cancel()
        self._end_in(0.0, _CLOSE_HANDSHAKE_S)

    def _end_in(self, delay_s: float, flush_s: float) -> None:
        loop = asyncio.get_running_loop()
        if delay_s:
            self._closing = loop.call_later(delay_s, self._end_in, 0.0, flush_s)
        else:
            self._transport.close()  # flushes first, which never ends for a peer that does not read
            self._closing = loop.call_later(flush_s, self.abort, self._code)
