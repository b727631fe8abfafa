"""The connection to the server: nats-py's (authentication, TLS, server pool, reconnect), with the hot paths replaced.

Replaced are the parser (whole reads at once, synchronous dispatch to the handlers) and the way out (what is sent in
one turn of the event loop leaves in one write). What nats-py does that would harm is mended here too, and named.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import ParseResult

import msgspec
from nats import errors as nats_errors
from nats.aio.client import Client
from nats.aio.transport import TcpTransport

from libs.bus.message import Message

_CRLF: Final = b"\r\n"
_M: Final = ord("M")
_PERMISSIONS: Final = "permissions violation"
_MAX_LINE_BYTES: Final = 1_048_576
"""A line of the protocol: 4 KiB by default (`max_control_line`), more where INFO lists a large cluster."""


class Handler(Protocol):
    """What a message is given to; synchronous, must not raise."""

    def deliver(self, message: Message) -> None:
        """Take `message`; called from the read loop."""


class ControlLines(Protocol):
    """Who takes the lines of the protocol that are not messages."""

    async def take_control_line(self, line: bytes) -> None:
        """Take one line, without its end."""


class WireSubscription:
    """What nats-py replays at a reconnect; the names with underscores are those that it looks at."""

    __slots__ = ("_queue", "_subject", "handler", "sid")

    _max_msgs = 0
    _received = 0
    _wait_for_msgs_task = None
    _message_iterator = None
    _pending_next_msgs_calls = None

    def __init__(self, sid: int, subject: str, queue: str, handler: Handler) -> None:
        self.sid = sid
        self._subject = subject
        self._queue = queue
        self.handler = handler

    @property
    def command(self) -> bytes:
        """The protocol's SUB line."""
        return f"SUB {self._subject} {self._queue} {self.sid}\r\n".encode()


class WireTransport(TcpTransport):
    """nats-py's TCP/TLS transport, with a look at the asyncio transport below."""

    def __bool__(self) -> bool:
        return True  # nats-py asks for the truth of it to know whether one was made

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        """Connect, leaving a former connection behind for good."""
        self.close()  # nats-py forgets the former one where only the flush after a reconnect failed
        await super().connect(uri, buffer_size, connect_timeout)

    def close(self) -> None:
        """End the connection at once."""
        # Not close(): that first flushes, which never ends where the peer is stopped and not gone, and nats-py waits
        # for it before it reconnects. Whoever closes in peace has flushed before.
        if self._io_writer is not None:
            self._io_writer.transport.abort()

    @property
    def below(self) -> asyncio.WriteTransport | None:
        """The asyncio transport; None before the first connection."""
        return None if self._io_writer is None else self._io_writer.transport


class WireParser:
    """Parses what the server sends and hands each message over synchronously (nats-server, client protocol)."""

    def __init__(self, client: ControlLines, subscriptions: Mapping[int, WireSubscription]) -> None:
        self._client = client
        self._subscriptions = subscriptions
        self.reset()

    def reset(self) -> None:
        """Forget what is unfinished; at each new connection."""
        self._chunks: list[bytes] = []
        self._held = 0
        self._needed = 0
        self._current = object()

    async def parse(self, data: bytes = b"") -> None:
        """Take what one read brought.

        Raises:
            nats.errors.ProtocolError: the server sent what is not its protocol.
        """
        self._chunks.append(data)
        self._held += len(data)
        if self._held < self._needed:
            return  # a large message is joined once, when it is whole
        buffer = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        position = 0
        current = self._current
        while True:
            line_end = buffer.find(_CRLF, position)
            if line_end < 0:
                if len(buffer) - position > _MAX_LINE_BYTES:
                    raise nats_errors.ProtocolError
                needed = 0
                break
            if buffer.startswith((b"MSG ", b"HMSG "), position):
                end = self._take_message(buffer, position, line_end)
                if end < 0:
                    needed = -end - position
                    break
                position = end
            else:
                await self._client.take_control_line(buffer[position:line_end])
                if self._current is not current:
                    return  # that line ended the connection
                position = line_end + 2
        rest = buffer[position:]
        self._chunks = [rest] if rest else []
        self._held = len(rest)
        self._needed = needed

    def _take_message(self, buffer: bytes, start: int, line_end: int) -> int:
        """Deliver the message that starts at `start`; its end, or minus the end that it needs."""
        fields = buffer[start:line_end].split(b" ")
        body = line_end + 2
        # MSG subject sid [reply] size, HMSG subject sid [reply] header-size size
        sizes = 1 if buffer[start] == _M else 2
        if len(fields) - sizes not in (3, 4):
            raise nats_errors.ProtocolError
        try:
            end = body + int(fields[-1])
            if len(buffer) < end + 2:
                return -(end + 2)
            payload_start = body if sizes == 1 else body + int(fields[-2])
            subscription = self._subscriptions.get(int(fields[2]))
            subject = fields[1].decode()
            reply = fields[3].decode() if len(fields) - sizes == 4 else ""  # noqa: PLR2004 - see above
        except ValueError as error:
            raise nats_errors.ProtocolError from error
        if subscription is not None:
            subscription.handler.deliver(Message(subject, reply, buffer[payload_start:end], buffer[body:payload_start]))
        return end + 2


class WireClient(Client):
    """nats-py's client with synchronous ways in and out.

    Attributes:
        ready: whether bytes can be sent: connected, authenticated, and the subscriptions are being replayed.
    """

    _pongs: list[asyncio.Future[bool]]
    _reading_task: asyncio.Task[None] | None
    _ping_interval_task: asyncio.Task[None] | None
    _flusher_task: asyncio.Task[None] | None

    def __init__(self, *, on_loss: Callable[[], None], on_server_error: Callable[[str], None]) -> None:
        super().__init__()
        self._wire_subscriptions: dict[int, WireSubscription] = {}
        self._subs: dict[int, Any] = self._wire_subscriptions
        self._ps: Any = WireParser(self, self._wire_subscriptions)
        self._wire_transport = WireTransport()
        self._transport = self._wire_transport
        self._on_loss = on_loss
        self._on_server_error = on_server_error
        self._sids = itertools.count(1)
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []
        self._below: asyncio.WriteTransport | None = None
        self._flushes: list[asyncio.Future[bool]] = []

    # --- out -------------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether bytes can be sent now."""
        below = self._below
        return below is not None and not below.is_closing()

    def send(self, *parts: bytes) -> None:
        """Send at the end of this turn of the event loop; dropped when the connection is lost before."""
        if not self._out:
            self._loop.call_soon(self.write_out)
        self._out += parts

    def write_out(self) -> None:
        """Hand everything sent so far to the socket."""
        out, self._out = self._out, []
        below = self._below
        if out and below is not None and not below.is_closing():
            below.write(b"".join(out))

    def ping(self) -> asyncio.Future[bool]:
        """Done when the server has taken everything sent so far; ConnectionError when the connection is lost before."""
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._flushes = [flush for flush in self._flushes if not flush.done()]
        self._flushes.append(waiter)
        self._pongs.append(waiter)
        self.send(b"PING\r\n")
        return waiter

    @property
    def server_version(self) -> str:
        """What the server said of itself when the connection was made."""
        return str(self._server_info.get("version", ""))

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the kernel has not taken yet, apart from what this turn of the event loop adds."""
        return 0 if self._below is None else self._below.get_write_buffer_size()

    def add_subscription(self, subject: str, queue: str, handler: Handler) -> WireSubscription:
        """Register a subscription; it is sent now, or replayed as soon as there is a connection."""
        subscription = WireSubscription(next(self._sids), subject, queue, handler)
        self._wire_subscriptions[subscription.sid] = subscription
        if self.ready:
            self.send(subscription.command)
        return subscription

    def remove_subscription(self, sid: int) -> None:
        """End a subscription; harmless when it has ended."""
        if self._wire_subscriptions.pop(sid, None) is not None and self.ready:
            self.send(b"UNSUB %d\r\n" % sid)

    @property
    def subscriptions(self) -> Mapping[int, WireSubscription]:
        """Those that are open, by their id."""
        return self._wire_subscriptions

    # --- what nats-py calls ----------------------------------------------------------------------------------------

    async def take_control_line(self, line: bytes) -> None:
        """A line of the protocol that is not a message."""
        word, _, rest = line.partition(b" ")
        match word.upper():
            case b"PING":
                self.send(b"PONG\r\n")
            case b"PONG":
                await self._process_pong()
            case b"INFO":
                await self._process_info(self._decode_info(rest))
            case b"-ERR":
                await self._process_err(rest.decode(errors="replace").strip().strip("'"))
            case b"+OK":
                pass
            case _:
                raise nats_errors.ProtocolError

    @staticmethod
    def _decode_info(text: bytes) -> dict[str, Any]:
        try:
            return msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise nats_errors.ProtocolError from error

    async def _process_connect_init(self) -> None:
        for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
            if task is not None:
                task.cancel()  # of the connection before, where nats-py has left them
        self._ps.reset()
        await super()._process_connect_init()
        # Nothing yields between this and the replay of the subscriptions: what is sent from now on comes after them.
        self._below = self._wire_transport.below

    async def _process_op_err(self, e: Exception) -> None:
        # nats-py calls disconnected_cb only once the socket has been closed; who waits for an answer is told now.
        self._lose()
        await super()._process_op_err(e)

    async def _process_err(self, err_msg: str) -> None:
        # nats-py closes for good on whatever is not a permissions violation or a stale connection; a server that
        # restarts, throttles or renews its keys says such things too.
        self._on_server_error(err_msg)
        if _PERMISSIONS not in err_msg.lower():
            await self._process_op_err(nats_errors.Error(err_msg))

    async def _process_pong(self) -> None:
        # nats-py would raise InvalidStateError on a ping whose waiter has given up, and end its read loop by that.
        self._pings_outstanding = 0
        if self._pongs:
            waiter = self._pongs.pop(0)
            if not waiter.done():
                waiter.set_result(True)

    async def _close(self, status: int, do_cbs: bool = True) -> None:  # noqa: FBT001, FBT002 - nats-py's signature
        self._lose()
        await super()._close(status, do_cbs)

    def _lose(self) -> None:
        if self._below is not None:
            self._below = None
            self._out = []
            flushes, self._flushes = self._flushes, []
            for flush in flushes:
                if not flush.done():
                    flush.set_exception(ConnectionError("the connection to NATS was lost"))
            self._on_loss()
