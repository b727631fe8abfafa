"""Takes due alarms from the stream into the hold; discards messages that are no alarms."""

from collections.abc import Callable

from starwake.bus.alarm_consumer import DueAlarm
from starwake.contracts.subjects import AlarmKey
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger
from starwake.scheduler import metrics
from starwake.scheduler.due.hold import LATE_AFTER_S, Added
from starwake.scheduler.due.recently_completed import RecentlyCompleted
from starwake.scheduler.due.worker import CompletionWorker
from starwake.scheduler.rows import parse_alarm
from starwake.store.clock import DatabaseClock

log = RateLimitedLogger(get_logger("intake"))

_WAIT_FOR_CAPACITY_S = 0.25
_HELD = metrics.ALARMS.labels("held")
_KNOWN = metrics.ALARMS.labels("known")
_DONE = metrics.ALARMS.labels("done")
FRESH_SHARE = 0.25
"""The share of the hold that is reserved for alarms in time: a backlog's alarms must not crowd out rows that are due
now, which the sweep brings where their alarm is stuck behind the backlog."""


class Intake:
    """Handles the batches of the alarm consumer.

    Args:
        worker: owns the hold.
        recently_completed: alarms of these rows are acknowledged at once.
        clock: decides what is late.
        draining: whether a backlog is being worked off, straight from the table. Its alarms wait meanwhile: when
            their turn comes most of them only have to be acknowledged.
    """

    def __init__(
        self,
        worker: CompletionWorker,
        recently_completed: RecentlyCompleted,
        clock: DatabaseClock,
        draining: Callable[[], bool],
    ) -> None:
        self._worker = worker
        self._recently_completed = recently_completed
        self._clock = clock
        self._draining = draining

    async def take(self, batch: list[DueAlarm]) -> None:
        """Put alarms into the hold; waits while it is full."""
        hold = self._worker.hold
        held = known = done = 0
        for alarm in batch:
            key = alarm.key
            if key is None:
                self._discard(alarm, "no such subject")
            elif key in self._recently_completed:
                alarm.ack()
                done += 1
            elif hold.join(key, alarm):
                known += 1
            else:
                held += await self._add(key, alarm)
        self._worker.wake()
        _HELD.inc(held)
        _KNOWN.inc(known)
        _DONE.inc(done)

    async def _add(self, key: AlarmKey, alarm: DueAlarm) -> bool:
        """Put a new row into the hold; False where the alarm is none."""
        try:
            row = parse_alarm(key, alarm.body)
        except ValueError as error:
            self._discard(alarm, str(error))
            return False
        hold = self._worker.hold
        due = row.due_at.timestamp()
        while True:
            now = self._clock.now()
            late = due < now - LATE_AFTER_S
            if not (late and (self._draining() or hold.crowded(FRESH_SHARE))):
                added = hold.add(key, row.player, due, row, alarm, now=now)
                if added is not Added.FULL:
                    return True
            self._worker.wake()
            await self._worker.wait_for_capacity(_WAIT_FOR_CAPACITY_S)
            if key in self._recently_completed:
                alarm.ack()
                return True
            if hold.join(key, alarm):
                return True

    def _discard(self, alarm: DueAlarm, reason: str) -> None:
        """Terminates a poison message; nothing is lost with it, since the table decides."""
        log.error("alarm.discarded", sequence=alarm.sequence, subject=alarm.subject[:200], reason=reason[:200])
        metrics.POISON.inc()
        alarm.term("not an alarm")
