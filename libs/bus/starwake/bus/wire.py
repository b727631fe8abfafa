"""The connection to the server: nats-py's (authentication, TLS, server pool, reconnect), with the hot paths replaced.

Replaced are the way in (each read goes straight to the parser, and each message to its handler) and the way out (what
is sent in one turn of the event loop leaves in one write). What nats-py does that would harm is mended here too, and
named.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import ParseResult, unquote

import msgspec
from nats import errors as nats_errors
from nats.aio.client import Client, Srv

from starwake.bus.wire_parser import Handler, WireParser, WireSubscription
from starwake.bus.wire_transport import WireTransport

_PERMISSIONS: Final = "permissions violation"

_WRITE_AT_BYTES: Final = 256 * 1024
"""What is gathered in one turn of the event loop before it is written in its middle."""


class _Lines:
    """What nats-py's read loop takes for its parser: it gets whole lines, those that the real one has put back."""

    def __init__(self, client: "WireClient") -> None:
        self._client = client

    def reset(self) -> None:
        """Nothing is ever unfinished."""

    async def parse(self, data: bytes) -> None:
        for line in data.split(b"\r\n"):
            if line:
                await self._client.take_rare_line(line)


class DecodedUrl(ParseResult):
    """A server's URL whose user and password are what they stand for: nats-py sends them as they are spelt."""

    @property
    def username(self) -> str | None:
        """The user, decoded."""
        name = super().username
        return None if name is None else unquote(name)

    @property
    def password(self) -> str | None:
        """The password, decoded."""
        password = super().password
        return None if password is None else unquote(password)


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
        self._parser = WireParser(self._wire_subscriptions, self._take_line)
        self._ps: Any = _Lines(self)
        self._wire_transport = WireTransport()
        self._transport = self._wire_transport
        self._on_loss = on_loss
        self._on_server_error = on_server_error
        self._sids = itertools.count(1)
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._below: asyncio.Transport | None = None
        self._flushes: list[asyncio.Future[bool]] = []
        self._finished = False

    # --- out -------------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether bytes can be sent now."""
        below = self._below
        return below is not None and not below.is_closing()

    def send(self, size: int, *parts: bytes) -> None:
        """Send `parts`, about `size` bytes, at the end of this turn of the event loop.

        Dropped when the connection is lost before.
        """
        if not self._out:
            self._loop.call_soon(self.write_out)
        self._out += parts
        self._out_bytes += size
        if self._out_bytes > _WRITE_AT_BYTES:
            self.write_out()

    def write_out(self) -> None:
        """Hand everything sent so far to the socket."""
        out, self._out = self._out, []
        self._out_bytes = 0
        below = self._below
        if out and below is not None and not below.is_closing():
            below.write(b"".join(out))

    def ping(self) -> asyncio.Future[bool]:
        """Done when the server has taken everything sent so far; ConnectionError when the connection is lost before."""
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._flushes = [flush for flush in self._flushes if not flush.done()]
        self._flushes.append(waiter)
        self._pongs.append(waiter)
        self.send(0, b"PING\r\n")
        self.write_out()  # nats-py's own pings are written at once: answers come in the order of `_pongs`
        return waiter

    @property
    def server_version(self) -> str:
        """What the server said of itself when the connection was made."""
        return str(self._server_info.get("version", ""))

    @property
    def waiting_bytes(self) -> int | None:
        """Bytes that the kernel has not taken yet; None where nothing can be sent now."""
        below = self._below
        return None if below is None or below.is_closing() else self._out_bytes + below.get_write_buffer_size()

    def add_subscription(self, subject: str, queue: str, handler: Handler) -> WireSubscription:
        """Register a subscription; it is sent now, or replayed as soon as there is a connection."""
        subscription = WireSubscription(next(self._sids), subject, queue, handler)
        self._wire_subscriptions[subscription.sid] = subscription
        if self.ready:
            self.send(0, subscription.command)
        return subscription

    def remove_subscription(self, sid: int) -> None:
        """End a subscription; harmless when it has ended."""
        if self._wire_subscriptions.pop(sid, None) is not None and self.ready:
            self.send(0, b"UNSUB %d\r\n" % sid)

    @property
    def subscriptions(self) -> Mapping[int, WireSubscription]:
        """Those that are open, by their id."""
        return self._wire_subscriptions

    # --- what nats-py calls ----------------------------------------------------------------------------------------

    def _take_line(self, line: bytes) -> None:
        """A line that is not a message; what is not answered here goes through nats-py's read loop."""
        if line == b"PING":
            self.send(0, b"PONG\r\n")
        elif line == b"PONG":
            self._pong()
        elif line != b"+OK":
            self._wire_transport.put_back(line + b"\r\n")

    async def take_rare_line(self, line: bytes) -> None:
        """A line that nats-py's read loop brings back.

        Raises:
            nats.errors.ProtocolError: it is not of the protocol.
        """
        word, _, rest = line.partition(b" ")
        match word.upper():
            case b"INFO":
                await self._process_info(self._decode_info(rest))
            case b"-ERR":
                await self._process_err(rest.decode(errors="replace").strip().strip("'"))
            case _:
                raise nats_errors.ProtocolError

    @staticmethod
    def _decode_info(text: bytes) -> dict[str, Any]:
        try:
            return msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise nats_errors.ProtocolError from error

    async def close(self) -> None:
        """End the connection, and all attempts to make another one, for good."""
        self._finished = True
        await super().close()

    def _setup_server_pool(self, connect_url: list[str]) -> None:
        super()._setup_server_pool(connect_url)
        for server in self._server_pool:
            server.uri = DecodedUrl(*server.uri)

    async def _connect_to_server(self, s: Srv) -> None:
        if self._finished:
            # Cancelling nats-py's reconnect may come to nothing (`wait_for` of Python 3.11 prefers a result that comes
            # at the same moment); without this it would go on for ever.
            raise asyncio.CancelledError
        await super()._connect_to_server(s)

    async def _process_connect_init(self) -> None:
        for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
            if task is not None:
                task.cancel()  # of the connection before, where nats-py has left them
        self._parser.reset()
        await super()._process_connect_init()
        # Nothing yields between this and the replay of the subscriptions: what is sent from now on comes after them.
        self._below = self._wire_transport.below
        self._wire_transport.stream_to(self._parser.take)

    async def _process_op_err(self, e: Exception) -> None:
        # nats-py calls disconnected_cb only once the socket has been closed; pending requests fail now.
        self._lose()
        await super()._process_op_err(e)

    async def _process_err(self, err_msg: str) -> None:
        # nats-py closes for good on whatever is not a permissions violation or a stale connection; a server that
        # restarts, throttles or renews its keys says such things too.
        self._on_server_error(err_msg)
        if _PERMISSIONS not in err_msg.lower():
            await self._process_op_err(nats_errors.Error(err_msg))

    def _pong(self) -> None:
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
            self._out, self._out_bytes = [], 0
            flushes, self._flushes = self._flushes, []
            for flush in flushes:
                if not flush.done():
                    flush.set_exception(ConnectionError("the connection to NATS was lost"))
            self._on_loss()
