"""A NATS micro service (ADR-32): endpoints in a queue group, which any NATS tool can find, ping and measure."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from nats.nuid import NUID

from starwake.bus.connection import Bus, Subscription
from starwake.bus.errors import BusError, BusUnavailable, PayloadTooLarge
from starwake.bus.message import Message
from starwake.bus.metrics import ERRORS
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger

_sparing = RateLimitedLogger(get_logger("bus"))
_TYPE: Final = "io.nats.micro.v1"
TooLarge = tuple[bytes, tuple[str, str] | None]
"""The body, and the code and text, of what is answered instead of an answer that the server would not take."""
_encode = msgspec.json.Encoder().encode


class Endpoint(NamedTuple):
    """Where a service takes requests.

    Attributes:
        name: of the endpoint, letters, digits, `-` and `_`.
        subject: what it listens to, wildcards allowed.
        handler: called synchronously with each request; it, or a task that it starts, calls `request.respond`.
        queue_group: each request goes to one member.
        metadata: shown by INFO.
    """

    name: str
    subject: str
    handler: "Callable[[Request], None]"
    queue_group: str = "q"
    metadata: dict[str, str] = {}  # noqa: RUF012 - never changed


class _Stats:
    __slots__ = ("endpoint", "errors", "last_error", "processing_ns", "requests")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.reset()

    def reset(self) -> None:
        self.requests = 0
        self.errors = 0
        self.last_error = ""
        self.processing_ns = 0

    def report(self) -> dict[str, Any]:
        return {
            "name": self.endpoint.name,
            "subject": self.endpoint.subject,
            "queue_group": self.endpoint.queue_group,
            "num_requests": self.requests,
            "num_errors": self.errors,
            "last_error": self.last_error,
            "processing_time": self.processing_ns,
            "average_processing_time": self.processing_ns // self.requests if self.requests else 0,
            "data": None,  # optional, but nats-py's reader asks for it
        }


class Request(Message):
    """A request to an endpoint: answered once, by `respond`; further answers are ignored."""

    __slots__ = ("_begun_ns", "_service", "_stats", "answered")

    def __init__(self, message: Message, service: "Service", stats: _Stats) -> None:
        super().__init__(message.subject, message.reply, message.payload, message.raw_headers)
        self._service = service
        self._stats = stats
        self._begun_ns = time.monotonic_ns()
        self.answered = False

    def respond(
        self, body: bytes, error: tuple[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer with `body`; best effort, the one who asks tries again.

        Args:
            body: the answer.
            error: a code and a text that go into the headers `Nats-Service-Error-Code` and `Nats-Service-Error`, and
                into the statistics.
            headers: further ones.
        """
        if self.answered:
            return
        self.answered = True
        stats = self._stats
        stats.requests += 1
        stats.processing_ns += time.monotonic_ns() - self._begun_ns
        if error is not None:
            stats.errors += 1
            stats.last_error = f"{error[0]}:{error[1]}"
        self._service.answer(self.reply, body, error, headers)


class Service:
    """A running service; made by `start`, ended by `drain`."""

    def __init__(self, bus: Bus, name: str, version: str, description: str, endpoints: Sequence[Endpoint]) -> None:
        self._bus = bus
        self._too_large: TooLarge = (b"", ("500", "the answer is too large"))
        self._identity: dict[str, Any] = {
            "name": name,
            "id": NUID().next().decode(),
            "version": version,
            "metadata": {},
        }
        self._description = description
        self._started = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        self._stats = [_Stats(endpoint) for endpoint in endpoints]
        self._subscriptions: list[Subscription] = []
        self._monitoring: list[Subscription] = []
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @classmethod
    async def start(  # noqa: PLR0913 - each named where it is called
        cls,
        bus: Bus,
        name: str,
        version: str,
        description: str,
        endpoints: Sequence[Endpoint],
        *,
        too_large: TooLarge | None = None,
    ) -> "Service":
        """Take requests from now on.

        Args:
            bus: the connection.
            name: of the service, letters, digits, `-` and `_`; all copies share it.
            version: semantic version of the service.
            description: one sentence, shown by INFO.
            endpoints: where requests are taken.
            too_large: answered in place of what the server would not take, so that nobody waits for it in vain.

        Raises:
            BusUnavailable: the server did not confirm the subscriptions in time; they are taken back.
            ValueError: an endpoint's subject or queue group cannot be one.
        """
        service = cls(bus, name, version, description, endpoints)
        service._too_large = too_large or service._too_large
        for stats in service._stats:
            handler = service._endpoint_handler(stats)
            endpoint = stats.endpoint
            service._subscriptions.append(await bus.subscribe(endpoint.subject, handler, queue=endpoint.queue_group))
        answers: dict[str, Callable[[], bytes]] = {
            "PING": service._ping,
            "INFO": service._info,
            "STATS": service._report,
        }
        for verb, answer in answers.items():
            handler = service._monitoring_handler(answer)
            for suffix in ("", f".{name}", f".{name}.{service.id}"):
                service._monitoring.append(await bus.subscribe(f"$SRV.{verb}{suffix}", handler))
        try:
            await bus.flush()
        except BusUnavailable:
            service._unsubscribe()
            raise
        return service

    @property
    def id(self) -> str:
        """Unique to this copy of the service."""
        return str(self._identity["id"])

    @property
    def in_flight(self) -> int:
        """Requests that have not been answered yet."""
        return self._in_flight

    def reset_stats(self) -> None:
        """Begin the statistics anew."""
        for stats in self._stats:
            stats.reset()

    async def drain(self, timeout_s: float = 5.0) -> bool:
        """Take no more requests, and wait until those in hand are answered; idempotent.

        Returns:
            Whether all were answered, and the answers sent, within `timeout_s` seconds.
        """
        self._unsubscribe()
        try:
            async with asyncio.timeout(timeout_s):
                await self._bus.flush(timeout_s)  # what was on its way here before the server knew is here now
                await self._idle.wait()
                await self._bus.flush(timeout_s)
        except (TimeoutError, BusUnavailable):
            return False
        return True

    def _unsubscribe(self) -> None:
        for subscription in (*self._subscriptions, *self._monitoring):
            subscription.unsubscribe()

    def answer(
        self, reply: str, body: bytes, error: tuple[str, str] | None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send an answer (`Request.respond` calls this)."""
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()
        if not reply:
            return
        try:
            self._send(reply, body, error, headers)
        except PayloadTooLarge as failure:
            _sparing.error("bus.answer_too_large", error=str(failure))
            with suppress(BusError):
                self._send(reply, *self._too_large, None)
        except (BusError, ValueError) as failure:  # a stranger's inbox may be no subject
            _sparing.warning("bus.answer_lost", error=str(failure))

    def _send(self, reply: str, body: bytes, error: tuple[str, str] | None, headers: Mapping[str, str] | None) -> None:
        if error is not None:
            headers = {**_error_headers(*error), **(headers or {})}
        self._bus.publish(reply, body, headers=headers)

    def _endpoint_handler(self, stats: _Stats) -> Callable[[Message], None]:
        handle = stats.endpoint.handler

        def on_message(message: Message) -> None:
            request = Request(message, self, stats)
            self._in_flight += 1
            self._idle.clear()
            try:
                handle(request)
            except Exception:  # noqa: BLE001 - one request's fault must not end everybody's read loop
                ERRORS.labels(kind="handler").inc()
                _sparing.exception("bus.endpoint_failed", kind=stats.endpoint.name, endpoint=stats.endpoint.name)
                request.respond(b"", ("500", "internal error"))

        return on_message

    def _monitoring_handler(self, answer: Callable[[], bytes]) -> Callable[[Message], None]:
        def on_message(message: Message) -> None:
            if message.reply:
                self._bus.publish(message.reply, answer())

        return on_message

    def _ping(self) -> bytes:
        return _encode({"type": f"{_TYPE}.ping_response"} | self._identity)

    def _info(self) -> bytes:
        endpoints = [
            {
                "name": stats.endpoint.name,
                "subject": stats.endpoint.subject,
                "queue_group": stats.endpoint.queue_group,
                "metadata": stats.endpoint.metadata,
            }
            for stats in self._stats
        ]
        info = {"type": f"{_TYPE}.info_response", "description": self._description, "endpoints": endpoints}
        return _encode(info | self._identity)

    def _report(self) -> bytes:
        endpoints = [stats.report() for stats in self._stats]
        stats = {"type": f"{_TYPE}.stats_response", "started": self._started, "endpoints": endpoints}
        return _encode(stats | self._identity)


def _error_headers(code: str, text: str) -> dict[str, str]:
    return {"Nats-Service-Error": " ".join(text.split()), "Nats-Service-Error-Code": code}
