"""Takes due alarms from the stream into the hold; throws away what is none."""

from libs.bus.alarm_consumer import DueAlarm
from libs.runtime.logs import get_logger
from libs.telling import DatabaseClock
from services.scheduler import metrics
from services.scheduler.hold import Added
from services.scheduler.keeper import Keeper
from services.scheduler.recent import Recent
from services.scheduler.rows import parse_alarm

log = get_logger("intake")

_WAIT_FOR_ROOM_S = 1.0
FRESH_SHARE = 0.25
"""What part of the hold is kept free of alarms that come late: a backlog's alarms must not crowd out what is due now,
which the sweep brings where the alarm is stuck behind them."""


class Intake:
    """What the consumer hands over, batch by batch."""

    def __init__(self, keeper: Keeper, recent: Recent, clock: DatabaseClock) -> None:
        self._keeper = keeper
        self._recent = recent
        self._clock = clock

    async def take(self, batch: list[DueAlarm]) -> None:
        """Put alarms into the hold; waits while it is full."""
        outcomes = {"held": 0, "known": 0, "done": 0}
        for alarm in batch:
            if alarm.key is not None and alarm.key in self._recent:
                alarm.ack()
                outcomes["done"] += 1
                continue
            added = await self._add(alarm)
            if added is not None:
                outcomes["held" if added is Added.HELD else "known"] += 1
        self._keeper.wake()
        for outcome, count in outcomes.items():
            metrics.ALARMS.labels(outcome).inc(count)

    async def _add(self, alarm: DueAlarm) -> Added | None:
        if alarm.key is None:
            self._throw_away(alarm, "no such subject")
            return None
        try:
            row = parse_alarm(alarm.key, alarm.body)
        except ValueError as error:
            self._throw_away(alarm, str(error))
            return None
        hold = self._keeper.hold
        due = row.due_at.timestamp()
        while True:
            late = due < self._clock.now()
            if not (late and hold.crowded(FRESH_SHARE)) or alarm.key in hold:
                added = hold.add(alarm.key, row.player, due, row, alarm)
                if added is not Added.FULL:
                    return added
            self._keeper.wake()
            await self._keeper.room(_WAIT_FOR_ROOM_S)

    def _throw_away(self, alarm: DueAlarm, reason: str) -> None:
        """Poison: the table still decides, so nothing is lost with it."""
        log.error("alarm.thrown_away", sequence=alarm.sequence, subject=alarm.subject[:200], reason=reason[:200])
        metrics.POISON.inc()
        alarm.term("not an alarm")
