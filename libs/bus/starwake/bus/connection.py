"""The connection to NATS, as all others in the house use it."""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Final

from starwake.bus.error_reporter import ErrorReporter
from starwake.bus.errors import BusTimeout, BusUnavailable, PayloadTooLarge
from starwake.bus.headers import encode_headers
from starwake.bus.message import Message
from starwake.bus.metrics import RECONNECTS
from starwake.bus.options import BusOptions
from starwake.bus.replies import Answer, OnAnswer, Replies
from starwake.bus.subscription import Subscription
from starwake.bus.wire import WireClient
from starwake.runtime.logs import get_logger

__all__ = ["Bus", "BusOptions", "Message", "Subscription"]

_log = get_logger("bus")
OLDEST_SERVER: Final = "2.14.3"
"""Earlier ones have faults in message schedules that lose alarms."""
_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f]")


def is_too_old(version: str) -> bool:
    """PURE: whether a NATS server of this version (`2.14.2`, `2.15.0-RC.1`) is known to lose alarms."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    return found is not None and tuple(map(int, found.groups())) < tuple(map(int, OLDEST_SERVER.split(".")))


class Bus:
    """One connection to NATS: publish, request, subscribe; it reconnects by itself for as long as it is open.

    Made by `connect`. Not safe to be used from another thread or event loop.
    """

    def __init__(self, options: BusOptions) -> None:
        self._options = options
        self._max_waiting_bytes = options.max_waiting_bytes
        self._jetstream = f"$JS.{options.jetstream_domain}.API." if options.jetstream_domain else "$JS.API."
        self._troubles = ErrorReporter(self._denied)
        self._client = WireClient(on_loss=self._lost, on_server_error=self._troubles.from_server)
        self._replies = Replies(options.inbox_prefix)
        self._listeners: list[Callable[[bool], None]] = []
        self._closing = False
        self._inbox: Subscription | None = None

    @classmethod
    async def connect(cls, options: BusOptions, *, timeout_s: float = 10.0) -> "Bus":
        """Connect, trying again until the server is there.

        Raises:
            BusUnavailable: no connection within `timeout_s` seconds; it says what was met with last.
            ValueError: a URL or a file that the options name cannot be used.
        """
        bus = cls(options)
        await bus._open(timeout_s)
        return bus

    async def _open(self, timeout_s: float) -> None:
        options = self._options
        attempts = self._client.connect(
            options.servers,
            name=options.name,
            error_cb=self._troubles.from_client,
            reconnected_cb=self._reconnected,
            connect_timeout=options.connect_timeout_s,  # pyright: ignore[reportArgumentType] - only ever a timeout
            reconnect_time_wait=options.reconnect_wait_s,  # pyright: ignore[reportArgumentType] - only ever slept
            max_reconnect_attempts=-1,
            ping_interval=options.ping_interval_s,  # pyright: ignore[reportArgumentType] - only ever slept
            max_outstanding_pings=2,
            tls=options.tls_context(),
            tls_hostname=options.tls_hostname,
            tls_handshake_first=options.tls_first,
            user=options.user,
            password=options.password,
            token=options.token,
            user_credentials=options.creds_file,
            nkeys_seed=options.nkey_seed_file,
            inbox_prefix=options.inbox_prefix,
        )
        connecting = asyncio.create_task(attempts)
        try:
            await asyncio.wait({connecting}, timeout=timeout_s)
        finally:
            # Again and again: within nats-py's loop a cancellation may get lost (`wait_for` of Python 3.11 prefers a
            # result that comes at the same moment).
            while not connecting.done():
                connecting.cancel()
                await asyncio.wait({connecting}, timeout=0.05)
        if connecting.cancelled():
            await self._client.close()
            why = self._troubles.last or "no answer"
            raise BusUnavailable(f"no connection to NATS at {options.address} within {timeout_s:g} s: {why}")
        connecting.result()
        self._look_at_version()
        # Not earlier: nats-py forgets all subscriptions at each failed attempt of the first connection.
        self._inbox = Subscription(self._client, self._replies.prefix + "*", "", self._replies.deliver)

    # --- state -----------------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether there is a connection now; one that died silently is noticed by pings, within about 9 s."""
        return self._client.ready

    @property
    def max_payload(self) -> int:
        """The bytes that the server takes in one message."""
        return self._client.max_payload

    @property
    def server_version(self) -> str:
        """The version of the server at the other end, such as `2.15.1`."""
        return self._client.server_version

    @property
    def jetstream_domain(self) -> str | None:
        """The domain whose JetStream is spoken to; None: the one that the server chooses."""
        return self._options.jetstream_domain

    def jetstream_subject(self, name: str) -> str:
        """Where JetStream takes the requests of its API called `name`, such as `STREAM.INFO.TIMERS`."""
        return self._jetstream + name

    @property
    def inbox_prefix(self) -> str:
        """The subject below which answers to this connection arrive, with a trailing dot; unique to it."""
        return self._replies.prefix

    def on_connection_change(self, listener: Callable[[bool], None]) -> None:
        """Have `listener` called with False when the connection is lost, with True once it is back.

        It is synchronous and must not raise. At True, all subscriptions have been confirmed by the new connection.
        """
        self._listeners.append(listener)

    def remove_connection_listener(self, listener: Callable[[bool], None]) -> None:
        """Undo `on_connection_change`; harmless where it was not done."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    # --- core NATS -------------------------------------------------------------------------------------------------

    def publish(
        self, subject: str, payload: bytes, *, reply: str = "", headers: Mapping[str, str] | bytes | None = None
    ) -> None:
        """Send a message; it leaves at the end of this turn of the event loop. Core NATS: at most once.

        Args:
            subject: where to; no spaces or control characters.
            payload: the body.
            reply: where an answer is expected.
            headers: by name, or a block that `encode_headers` made.

        Raises:
            BusUnavailable: there is no connection, or too much waits for the socket already. Nothing is kept to be
                sent later.
            PayloadTooLarge: the server would end the connection over it.
            ValueError: not a subject, or not a header.
        """
        client = self._client
        waiting = client.waiting_bytes
        if waiting is None:
            raise BusUnavailable(f"not connected to NATS: {self._troubles.last or 'closed'}")
        if waiting > self._max_waiting_bytes:
            raise BusUnavailable(f"{waiting} bytes wait for the NATS server already")
        if not subject or _UNSAFE.search(subject):
            raise ValueError(f"not a subject: {subject!r}")
        address = f"{subject} {reply} " if reply else f"{subject} "
        if headers:
            block = headers if isinstance(headers, bytes) else encode_headers(headers)
            size = len(block) + len(payload)
            line = f"HPUB {address}{len(block)} {size}\r\n".encode()
        else:
            block = b""
            size = len(payload)
            line = f"PUB {address}{size}\r\n".encode()
        if size > client.max_payload:
            raise PayloadTooLarge(f"{size} bytes to {subject!r}, the server takes {client.max_payload}")
        client.send(size, line, block, payload, b"\r\n")

    async def request(
        self,
        subject: str,
        payload: bytes,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | bytes | None = None,
    ) -> Message:
        """Send a request and wait for its first answer.

        Raises:
            NoResponders: nobody listens there.
            BusTimeout: no answer within `timeout_s` seconds.
            PermissionDenied: this user may not.
            BusUnavailable: there is no connection, or it was lost meanwhile; the request may have arrived.
            PayloadTooLarge, ValueError: as `publish`.
        """
        return await self.ask(subject, payload, timeout_s=timeout_s, headers=headers)

    def ask(
        self,
        subject: str,
        payload: bytes,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | bytes | None = None,
    ) -> asyncio.Future[Message]:
        """As `request`, but not a coroutine: sent when this returns, and the future may be given a callback."""
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

        def answered(answer: Answer) -> None:
            if not future.done():
                if isinstance(answer, Message):
                    future.set_result(answer)
                else:
                    future.set_exception(answer)

        self.call(subject, payload, answered, timeout_s=timeout_s, headers=headers)
        return future

    def call(
        self,
        subject: str,
        payload: bytes,
        on_answer: OnAnswer,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | bytes | None = None,
    ) -> None:
        """The cheapest request: `on_answer` is called from the read loop with the answer, or with why there is none.

        While it returns true, further answers to the same request are taken, until `timeout_s` seconds have passed
        since the request. It must not raise.

        Raises:
            BusUnavailable, PayloadTooLarge, ValueError: as `publish`; `on_answer` is not called then.
        """
        address = self._replies.expect(subject, timeout_s, on_answer)
        try:
            self.publish(subject, payload, reply=address, headers=headers)
        except BaseException:
            self._replies.forget(address)
            raise

    async def request_many(
        self, subject: str, payload: bytes, *, until: Callable[[Message], bool], timeout_s: float
    ) -> list[Message]:
        """Send a request and collect its answers, up to and including the first for which `until` is true.

        Raises:
            As `request`; what has come until then is dropped.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        messages: list[Message] = []

        def answered(answer: Answer) -> bool:
            if done.done():
                return False
            if not isinstance(answer, Message):
                done.set_exception(answer)
                return False
            messages.append(answer)
            if not until(answer):
                return True
            done.set_result(None)
            return False

        self.call(subject, payload, answered, timeout_s=timeout_s)
        await done
        return messages

    async def subscribe(self, subject: str, handler: Callable[[Message], None], *, queue: str = "") -> Subscription:
        """As `listen`, for whom awaiting comes natural."""
        return self.listen(subject, handler, queue=queue)

    def listen(self, subject: str, handler: Callable[[Message], None], *, queue: str = "") -> Subscription:
        """Have `handler` called with each message on `subject`, synchronously, straight from the read loop.

        Returns once the subscription is on its way to the server (what is sent later on this connection comes after
        it); without a connection, it takes effect with the next one. What `handler` raises is logged and counted.

        Raises:
            ValueError: not a subject or queue group.
            BusUnavailable: the bus is closed.
        """
        if not subject or _UNSAFE.search(subject) or _UNSAFE.search(queue):
            raise ValueError(f"not a subject or queue group: {subject!r}, {queue!r}")
        if self._closing:
            raise BusUnavailable("the bus is closed")
        return Subscription(self._client, subject, queue, handler)

    async def flush(self, timeout_s: float = 5.0) -> None:
        """Wait until the server has taken everything sent so far, subscriptions included.

        Raises:
            BusTimeout: not within `timeout_s` seconds.
            BusUnavailable: there is no connection, or it was lost meanwhile.
        """
        if not self.connected:
            raise BusUnavailable("not connected to NATS")
        pong = self._client.ping()
        try:
            async with asyncio.timeout(timeout_s):
                await pong
        except TimeoutError:
            raise BusTimeout(f"NATS has not answered a ping within {timeout_s:g} s") from None
        except ConnectionError as error:
            raise BusUnavailable(str(error)) from error

    async def close(self, timeout_s: float = 5.0) -> None:
        """Close: nothing more is delivered, what was published gets out, requests in flight fail; idempotent."""
        if self._closing:
            return
        self._closing = True
        for subscription in list(self._client.subscriptions.values()):
            if subscription.handler is not self._inbox:
                self._client.remove_subscription(subscription.sid)
        try:
            if self.connected:
                await self.flush(timeout_s)
        except BusUnavailable as error:
            _log.warning("bus.close_unflushed", error=str(error))
        finally:
            await self._client.close()

    # --- what the connection reports -------------------------------------------------------------------------------

    async def _reconnected(self) -> None:
        RECONNECTS.inc()
        _log.info("bus.reconnected", server=self._client.server_version)
        self._look_at_version()
        self._tell(connected=True)

    def _look_at_version(self) -> None:
        version = self._client.server_version
        if is_too_old(version):
            _log.warning("bus.server_too_old", server=version, needs=OLDEST_SERVER, reason="its schedules lose alarms")

    def _lost(self) -> None:
        self._replies.fail_all("the connection to NATS was lost")
        if not self._closing:
            _log.warning("bus.disconnected")
            self._tell(connected=False)

    def _denied(self, subject: str, text: str) -> None:
        self._replies.refuse(subject, text)

    def _tell(self, *, connected: bool) -> None:
        for listener in list(self._listeners):
            listener(connected)
