"""What follows a commit: alarms are set and taken back, players are told. None of it can fail a player.

Everything here is best effort and bounded. What does not fit, or what the bus does not take, is found in the table by
the scheduler's sweep: a row without an alarm, an outbox row that nobody told.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from starwake.bus.alarms import Alarms
from starwake.bus.errors import BusError, BusUnavailable
from starwake.command.metrics import LEFT_TO_SWEEP
from starwake.contracts.alarms import Alarm
from starwake.contracts.subjects import AlarmKey
from starwake.outbox import Relay
from starwake.runtime import crash_points
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger
from starwake.store.outbox import OutboxRow

log = RateLimitedLogger(get_logger("aftermath"))

_LIMIT = 20_000
_AT_ONCE = 512


class Aftermath:
    """Arms, disarms and tells behind the orders' back.

    Args:
        alarms: sets alarms.
        relay: publishes the outbox.
        limit: how many alarms may wait.
    """

    def __init__(self, alarms: Alarms, relay: Relay, *, limit: int = _LIMIT) -> None:
        self._alarms = alarms
        self._relay = relay
        self._limit = limit
        self._waiting: deque[Alarm | AlarmKey] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def take(self, arm: Sequence[Alarm], disarm: Sequence[AlarmKey], rows: Sequence[OutboxRow]) -> None:
        """Have these done in the background; called right after COMMIT."""
        offered = self._relay.offer(rows)
        if offered < len(rows):
            LEFT_TO_SWEEP.labels(what="told").inc(len(rows) - offered)
        if len(self._waiting) + len(arm) > self._limit:
            LEFT_TO_SWEEP.labels(what="armed").inc(len(arm))
            return
        self._waiting.extend(arm)
        self._waiting.extend(disarm)
        if self._waiting:
            self._idle.clear()
            self._wake.set()

    async def run(self) -> None:
        """Arm and disarm until cancelled, in the order in which it was asked for."""
        while True:
            await self._wake.wait()
            part = [self._waiting.popleft() for _ in range(min(len(self._waiting), _AT_ONCE))]
            if not self._waiting:
                self._wake.clear()
            await self._arm([each for each in part if isinstance(each, Alarm)])
            await self._disarm([each for each in part if isinstance(each, AlarmKey)])
            if not self._waiting:
                self._idle.set()

    async def drain(self, timeout_s: float) -> None:
        """Wait until all is armed and told, for `timeout_s` seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
                await self._relay.drain(timeout_s)

    async def _arm(self, alarms: list[Alarm]) -> None:
        if not alarms:
            return
        try:
            results = await self._alarms.arm(alarms)
        except BusUnavailable as error:
            results = [error] * len(alarms)
        crash_points.reach(crash_points.AFTER_ARM)
        failures = [result for result in results if isinstance(result, BusError)]
        if failures:
            LEFT_TO_SWEEP.labels(what="armed").inc(len(failures))
            log.warning("alarms.left_to_sweep", failed=len(failures), of=len(alarms), error=str(failures[0]))

    async def _disarm(self, keys: list[AlarmKey]) -> None:
        if keys:
            await self._alarms.disarm(keys)
