"""Takes due alarms from the stream into the hold; throws away what is none."""

from collections.abc import Callable

from starwake.bus.alarm_consumer import DueAlarm
from starwake.contracts.subjects import AlarmKey
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger
from starwake.scheduler import metrics
from starwake.scheduler.due.hold import LATE_AFTER_S, Added
from starwake.scheduler.due.recently_completed import Recent
from starwake.scheduler.due.worker import Keeper
from starwake.scheduler.rows import parse_alarm
from starwake.store.clock import DatabaseClock

log = RateLimitedLogger(get_logger("intake"))

_WAIT_FOR_ROOM_S = 0.25
_HELD = metrics.ALARMS.labels("held")
_KNOWN = metrics.ALARMS.labels("known")
_DONE = metrics.ALARMS.labels("done")
FRESH_SHARE = 0.25
"""What part of the hold is kept free of alarms that come late: a backlog's alarms must not crowd out what is due now,
which the sweep brings where the alarm is stuck behind them."""


class Intake:
    """What the consumer hands over, batch by batch.

    Args:
        keeper: has the hold.
        recent: what was completed lately.
        clock: says what is late.
        draining: whether a backlog is being worked off, straight from the table. Its alarms wait meanwhile: when
            their turn comes most of them only have to be acknowledged.
    """

    def __init__(self, keeper: Keeper, recent: Recent, clock: DatabaseClock, draining: Callable[[], bool]) -> None:
        self._keeper = keeper
        self._recent = recent
        self._clock = clock
        self._draining = draining

    async def take(self, batch: list[DueAlarm]) -> None:
        """Put alarms into the hold; waits while it is full."""
        hold = self._keeper.hold
        held = known = done = 0
        for alarm in batch:
            key = alarm.key
            if key is None:
                self._throw_away(alarm, "no such subject")
            elif key in self._recent:
                alarm.ack()
                done += 1
            elif hold.join(key, alarm):
                known += 1
            else:
                held += await self._add(key, alarm)
        self._keeper.wake()
        _HELD.inc(held)
        _KNOWN.inc(known)
        _DONE.inc(done)

    async def _add(self, key: AlarmKey, alarm: DueAlarm) -> bool:
        """Put a new row into the hold; False where the alarm is none."""
        try:
            row = parse_alarm(key, alarm.body)
        except ValueError as error:
            self._throw_away(alarm, str(error))
            return False
        hold = self._keeper.hold
        due = row.due_at.timestamp()
        while True:
            now = self._clock.now()
            late = due < now - LATE_AFTER_S
            if not (late and (self._draining() or hold.crowded(FRESH_SHARE))):
                added = hold.add(key, row.player, due, row, alarm, now=now)
                if added is not Added.FULL:
                    return True
            self._keeper.wake()
            await self._keeper.room(_WAIT_FOR_ROOM_S)
            if key in self._recent:
                alarm.ack()
                return True
            if hold.join(key, alarm):
                return True

    def _throw_away(self, alarm: DueAlarm, reason: str) -> None:
        """Poison: the table still decides, so nothing is lost with it."""
        log.error("alarm.thrown_away", sequence=alarm.sequence, subject=alarm.subject[:200], reason=reason[:200])
        metrics.POISON.inc()
        alarm.term("not an alarm")
