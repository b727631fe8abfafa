"""Taking delivery of alarms that are due: an own pull loop on the durable consumer `scheduler`.

nats-py's pull subscriptions lose an outstanding pull over a restart of the server without a word (nats.py 504).
"""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import msgspec

from starwake.bus.connection import Bus
from starwake.bus.errors import BusUnavailable, ConsumerGone, JetStreamError
from starwake.bus.jetstream import consumer_info
from starwake.bus.message import Message
from starwake.bus.streams import SCHEDULER, TIMERS
from starwake.contracts.subjects import AlarmKey, parse_alarm
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger

_sparing = RateLimitedLogger(get_logger("bus"))

_NS: Final = 1_000_000_000
_NEXT: Final = f"CONSUMER.MSG.NEXT.{TIMERS}.{SCHEDULER}"
_HEARTBEAT: Final = 100
_CONFLICT: Final = 409
_ENDED_IN_PEACE: Final = (404, 408)
_encode = msgspec.json.Encoder().encode


class DueAlarm:
    """An alarm that has fired; delivered again until it is acknowledged.

    Attributes:
        key: which alarm; None where the subject is no alarm's (count and terminate it).
        subject: where it arrived.
        body: what the alarm says.
        sequence: its sequence in TIMERS.
        delivered: how often it was delivered, this time included.
    """

    __slots__ = ("_bus", "_reply", "body", "delivered", "key", "sequence", "subject")

    def __init__(self, bus: Bus, message: Message) -> None:
        self._bus = bus
        self._reply = message.reply
        self.subject = message.subject
        self.body = message.payload
        try:
            self.key: AlarmKey | None = parse_alarm(message.subject)
        except ValueError:
            self.key = None
        # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>, or with domain and
        # account hash after ACK and a random token at the end (ADR-15).
        tokens = message.reply.split(".")
        at = 4 if len(tokens) == 9 else 6  # noqa: PLR2004 - the old form has nine tokens
        self.delivered = int(tokens[at])
        self.sequence = int(tokens[at + 1])

    def ack(self) -> None:
        """It is done with. Best effort, as all of these: where it gets lost, the alarm is delivered again."""
        self._respond(b"+ACK")

    def nak(self, delay_s: float = 0.0) -> None:
        """Deliver it again after `delay_s` seconds."""
        self._respond(b'-NAK {"delay":%d}' % int(delay_s * _NS) if delay_s > 0 else b"-NAK")

    def term(self, reason: str) -> None:
        """Never deliver it again, it makes no sense."""
        self._respond(f"+TERM {reason}".encode())

    def in_progress(self) -> None:
        """It is being worked on: begin the wait for its acknowledgement anew."""
        self._respond(b"+WPI")

    def _respond(self, word: bytes) -> None:
        with contextlib.suppress(BusUnavailable):
            self._bus.publish(self._reply, word)


class ConsumerLag(NamedTuple):
    """How far the schedulers are behind: alarms that have fired and nobody has taken, or not acknowledged yet."""

    untaken: int
    unacknowledged: int


async def read_lag(bus: Bus) -> ConsumerLag | None:
    """The lag of the consumer that all schedulers share; None where there is none.

    Raises:
        BusUnavailable, JetStreamError: JetStream does not answer, or with an error.
    """
    info = await consumer_info(bus, TIMERS, SCHEDULER)
    return None if info is None else ConsumerLag(info["num_pending"], info["num_ack_pending"])


OnBatch = Callable[[list[DueAlarm]], Awaitable[None]]


class AlarmConsumer:
    """Pulls due alarms; at most `batch` wait here, and as many are on their way.

    Args:
        bus: the connection.
        batch: alarms asked for at once.
        expires_s: how long the server keeps a pull open.
        heartbeat_s: how often it says that the pull is still open; after two without a word it is pulled again.
        retry_s: how long to wait after the server ended a pull for a reason that may pass.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        batch: int = 512,
        expires_s: float = 30.0,
        heartbeat_s: float = 2.5,
        retry_s: float = 0.25,
    ) -> None:
        self._bus = bus
        self._next = bus.jetstream_subject(_NEXT)
        self._batch = batch
        self._heartbeat_s = heartbeat_s
        self._retry_s = retry_s
        self._request = _encode(
            {"batch": batch, "expires": int(expires_s * _NS), "idle_heartbeat": int(heartbeat_s * _NS)}
        )
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._inbox = f"{bus.inbox_prefix}alarms{id(self)}."
        self._wake = asyncio.Event()
        self._buffer: list[DueAlarm] = []
        self._pull = ""
        self._missing = 0
        self._heard_at = 0.0
        self._trouble = ""

    @property
    def waiting(self) -> int:
        """Alarms that are here and not handed over yet."""
        return len(self._buffer)

    async def run(self, on_batch: OnBatch) -> None:
        """Call `on_batch` with what is due, as it comes, one call at a time; until cancelled.

        While `on_batch` does not return, no more is pulled. It may keep alarms and respond to them later, within the
        consumer's `ack_wait`. What waits here at the end is given back at once.

        Raises:
            ConsumerGone: the consumer does not exist (any more): provision, and run again.
            Whatever `on_batch` raises.
        """
        subscription = await self._bus.subscribe(self._inbox + "*", self._on_message)
        self._bus.on_connection_change(self._on_connection_change)
        try:
            while True:
                if self._buffer:
                    batch, self._buffer = self._buffer, []
                    await on_batch(batch)
                if self._trouble:
                    await self._look_into(self._trouble)
                if not self._missing:
                    self._send_pull()
                await self._wait()
        finally:
            subscription.unsubscribe()
            self._bus.remove_connection_listener(self._on_connection_change)
            for alarm in self._buffer:
                alarm.nak()
            self._buffer = []
            self._missing = 0
            self._pull = ""

    def _send_pull(self) -> None:
        if not self._bus.connected:
            return
        self._pull = f"{self._inbox}{next(self._numbers)}"
        try:
            self._bus.publish(self._next, self._request, reply=self._pull)
        except BusUnavailable:
            return  # the reconnect wakes the loop
        self._missing = self._batch
        self._heard_at = self._loop.time()

    async def _wait(self) -> None:
        """Until there is something to do, or the server has been silent for two heartbeats."""
        if self._buffer or self._trouble:
            await asyncio.sleep(0)  # `on_batch` may never yield, and others want their turn
            return
        self._wake.clear()
        try:
            async with asyncio.timeout(self._heartbeat_s):
                await self._wake.wait()
        except TimeoutError:
            if self._bus.connected and self._loop.time() - self._heard_at > 2 * self._heartbeat_s:
                self._trouble = "no heartbeat"

    async def _look_into(self, trouble: str) -> None:
        """A pull was lost: go on with another one, if there still is a consumer."""
        self._trouble = ""
        self._missing = 0
        _sparing.warning("bus.pull_lost", reason=trouble)
        try:
            info = await consumer_info(self._bus, TIMERS, SCHEDULER)
        except (BusUnavailable, JetStreamError) as error:
            _sparing.warning("bus.pull_retry", error=str(error))
            self._trouble = "JetStream does not answer" if self._bus.connected else ""
        else:
            if info is None:
                raise ConsumerGone(f"consumer {SCHEDULER} on {TIMERS} does not exist ({trouble})")
        await asyncio.sleep(self._retry_s)

    def _on_connection_change(self, connected: bool) -> None:  # noqa: FBT001 - the bus's listener
        # The server has forgotten the pull with the connection, and says nothing of it.
        self._missing = 0
        self._pull = ""
        if connected:
            self._wake.set()

    def _on_message(self, message: Message) -> None:
        self._heard_at = self._loop.time()
        status = message.status if message.raw_headers else 0
        if not status:
            self._buffer.append(DueAlarm(self._bus, message))
            self._missing = max(0, self._missing - 1)
        elif message.subject != self._pull or status == _HEARTBEAT:
            return
        elif status in _ENDED_IN_PEACE or (status == _CONFLICT and "batch completed" in message.status_text.lower()):
            self._missing = 0
        else:
            self._missing = 0
            self._trouble = f"{status} {message.status_text}".strip()
        self._wake.set()
