"""Setting and taking back alarms: JetStream message schedules (ADR-51) in the stream TIMERS."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

import msgspec

from starwake.bus.alarm_consumer import AlarmConsumer, DueAlarm
from starwake.bus.connection import Bus
from starwake.bus.errors import BusError, BusUnavailable, JetStreamError, WrongLastSequence
from starwake.bus.headers import encode_headers
from starwake.bus.jetstream import raise_error
from starwake.bus.message import Outgoing
from starwake.bus.publish import JetStreamPublisher, PublishResult
from starwake.bus.streams import TIMERS
from starwake.contracts import subjects
from starwake.contracts.alarms import Alarm
from starwake.contracts.ids import Revision
from starwake.contracts.subjects import AlarmKey
from starwake.contracts.times import LATEST, to_rfc3339
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger

__all__ = ["LEAD", "NEAR", "AlarmConsumer", "Alarms", "ArmResult", "DueAlarm", "PendingAlarms"]

_sparing = RateLimitedLogger(get_logger("bus"))

LEAD: Final = timedelta(milliseconds=500)
"""How much earlier than due a schedule fires, since it fires up to 256 ms late; the scheduler holds it meanwhile."""
NEAR: Final = LEAD + timedelta(milliseconds=250)
"""An alarm that is due sooner goes straight to the scheduler."""

ArmResult = Literal["armed", "already"] | BusError
"""`already`: the subject holds a message, the same alarm or, for a second, its tombstone."""

_EXPECT_NONE: Final = "Nats-Expected-Last-Subject-Sequence: 0"
_NEAR_HEADERS: Final = f"NATS/1.0\r\n{_EXPECT_NONE}\r\n\r\n".encode()
_TOMBSTONE: Final = encode_headers({"Nats-Rollup": "sub", "Nats-TTL": "1s"})
_NOBODYS: Final = AlarmKey("build", "00000000-0000-0000-0000-000000000000", Revision(1))
"""No row has this id."""
_SLICE: Final = 2_000
"""Subjects parsed between two turns of the event loop."""
_SMALL_BYTES: Final = 10_000
"""Whatever is larger is a page, not an error."""
_TOTAL: Final = re.compile(rb'"total":(\d+)')
_NAME: Final = re.compile(rb'"(timer\.set\.(?:[^"\\]|\\.)*)":\d')


class PendingAlarms(NamedTuple):
    """A part of the list of alarms that are set.

    Attributes:
        keys: the alarms of this part.
        foreign: subjects below `timer.set.` that are no alarm's.
        listed: how many subjects have been listed up to here.
        total: how many there are.
    """

    keys: list[AlarmKey]
    foreign: list[str]
    listed: int
    total: int


class Alarms:
    """Sets and takes back alarms.

    Args:
        bus: the connection.
        publisher: publishes them; bounds how many are in flight.
        now: the time; the server that fires has its own clock, and who holds a due alarm the database's, so that
            this one only decides whether an alarm is near.
        timeout_s: seconds to wait for each acknowledgement.
    """

    def __init__(
        self,
        bus: Bus,
        publisher: JetStreamPublisher,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        timeout_s: float = 5.0,
    ) -> None:
        self._bus = bus
        self._publisher = publisher
        self._now = now
        self._timeout_s = timeout_s

    async def arm(self, alarms: Sequence[Alarm]) -> list[ArmResult]:
        """Set `alarms`; how each one ended, in the same order. Setting one again is harmless.

        Raises:
            BusUnavailable: too much waits for its turn already.
        """
        near = self._now() + NEAR
        items = [_near(alarm) if alarm.due_at < near else _schedule(alarm) for alarm in alarms]
        results = await self._publisher.publish_many(items, timeout_s=self._timeout_s)
        return [_arm_result(result) for result in results]

    async def disarm(self, keys: Sequence[AlarmKey]) -> None:
        """Take alarms back, best effort: one that fires all the same finds its row changed and does nothing.

        By a tombstone that replaces the schedule and expires by itself: a purged schedule stays in the server's
        memory until it would have been due. A revision that was taken back is never armed again.
        """
        items = [Outgoing(subjects.timer_set(key), b"", _TOMBSTONE) for key in keys]
        try:
            results = await self._publisher.publish_many(items, timeout_s=self._timeout_s)
        except BusUnavailable as error:
            results = [error]
        failures = [result for result in results if isinstance(result, BusError)]
        if failures:
            _sparing.warning("bus.disarm_failed", failed=len(failures), of=len(keys), error=str(failures[0]))

    async def probe(self) -> None:
        """See whether alarms can be set: the tombstone of an alarm that nobody has is stored, and gone a second later.

        Nothing else shows it: a stream whose disk was full once refuses every message until its server is restarted,
        and all that can be asked of it (nats-server 2.15: information, direct gets, consumers) answers as ever.

        Raises:
            BusError: they cannot.
        """
        (result,) = await self._publisher.publish_many(
            [Outgoing(subjects.timer_set(_NOBODYS), b"", _TOMBSTONE)], timeout_s=self._timeout_s
        )
        if isinstance(result, BusError):
            raise result

    async def pending(self, *, timeout_s: float = 60.0) -> AsyncIterator[PendingAlarms]:
        """All alarms that are set, in parts: slow (a million takes half a minute), so for a boot, never for polling.

        Alarms that are set or fire meanwhile may or may not be among them.

        Raises:
            BusUnavailable, JetStreamError: JetStream does not answer within `timeout_s` seconds a page, or with an
                error.
        """
        offset = 0
        while True:
            page = await self._page(offset, timeout_s)
            total = int(_found(_TOTAL.search(page), "total"))
            position = page.find(b'"subjects":{')
            listed = offset
            while position >= 0:
                names, position = _read_names(page, position)
                listed += len(names)
                yield _pending(names, listed, total)
                await asyncio.sleep(0)
            if listed == offset or listed >= total:
                return
            offset = listed

    async def _page(self, offset: int, timeout_s: float) -> bytes:
        request = msgspec.json.encode({"subjects_filter": subjects.TIMER_SET, "offset": offset})
        subject = self._bus.jetstream_subject(f"STREAM.INFO.{TIMERS}")
        message = await self._bus.request(subject, request, timeout_s=timeout_s)
        if len(message.payload) < _SMALL_BYTES:
            raise_error(message.payload)
        return message.payload


def _found(match: re.Match[bytes] | None, what: str) -> bytes:
    if match is None:
        raise JetStreamError(500, 0, f"the list of subjects came without {what!r}")
    return match[1]


def _read_names(page: bytes, position: int) -> tuple[list[str], int]:
    """The next subjects of a page and where to go on, -1 at its end.

    Not decoded as the JSON that it is, on purpose: a page of 100,000 subjects would hold the event loop, and with it
    every alarm that is due meanwhile, for tens of milliseconds.
    """
    names: list[str] = []
    for match in _NAME.finditer(page, position):
        name = match[1]
        names.append(msgspec.json.decode(b'"%b"' % name, type=str) if b"\\" in name else name.decode())
        if len(names) == _SLICE:
            return names, match.end()
    return names, -1


def _near(alarm: Alarm) -> Outgoing:
    return Outgoing(subjects.timer_due(alarm.key), alarm.body, _NEAR_HEADERS)


def _schedule(alarm: Alarm) -> Outgoing:
    at = to_rfc3339(min(alarm.due_at, LATEST) - LEAD)
    target = subjects.timer_due(alarm.key)
    headers = f"NATS/1.0\r\nNats-Schedule: @at {at}\r\nNats-Schedule-Target: {target}\r\n{_EXPECT_NONE}\r\n\r\n"
    return Outgoing(subjects.timer_set(alarm.key), alarm.body, headers.encode())


def _arm_result(result: PublishResult) -> ArmResult:
    if isinstance(result, WrongLastSequence):
        return "already"
    return result if isinstance(result, BusError) else "armed"


def _pending(names: list[str], listed: int, total: int) -> PendingAlarms:
    keys: list[AlarmKey] = []
    foreign: list[str] = []
    for name in names:
        try:
            key = subjects.parse_alarm(name)
        except ValueError:
            foreign.append(name)
            continue
        if key != _NOBODYS:
            keys.append(key)
    return PendingAlarms(keys, foreign, listed, total)
