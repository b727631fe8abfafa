"""What each variant changes."""

import asyncio
import re
from collections.abc import Sequence

from libs.bus import alarms
from libs.bus.headers import encode_headers
from libs.bus.message import Outgoing
from libs.contracts import subjects
from libs.contracts.alarms import Alarm
from libs.contracts.ids import Revision
from libs.contracts.subjects import AlarmKey
from libs.contracts.times import to_rfc3339
from libs.store.outbox import OutboxRow
from libs.store.sql import load
from services.command.aftermath import Aftermath
from services.scheduler.keeper import Keeper, KeptRow
from services.scheduler.sweep import Sweep

_LEAVES_S = 0.1


def acknowledge_first() -> None:
    """The scheduler acknowledges alarms when it takes them up, not when their rows are completed."""
    work = Keeper._work  # pyright: ignore[reportPrivateUsage]

    async def acknowledged(self: Keeper, batch: Sequence[KeptRow]) -> None:
        for held in batch:
            for message in held.messages:
                message.ack()
        await asyncio.sleep(_LEAVES_S)  # it is on its way to the server before anything else happens
        await work(self, batch)

    setattr(Keeper, "_work", acknowledged)  # noqa: B010 - as above


def sweep_no_rows() -> None:
    """Only alarms complete rows: nobody looks into the table for what is due or overdue."""
    setattr(Sweep, "bring_soon", _nothing)  # noqa: B010 - a type checker knows better than to let this pass
    setattr(Sweep, "drain_overdue", _nothing)  # noqa: B010 - as above


def sweep_no_outbox() -> None:
    """Nobody looks into the outbox for what was left untold."""
    setattr(Sweep, "tell_untold", _nothing)  # noqa: B010 - as above


def replace_in_place() -> None:
    """A rescheduled build's alarm takes the place of the old one, on the same subject.

    Seen with nats-server 2.15.1: a replacement that is stored while the server is firing a slice of schedules, the old
    one among them, is acknowledged and never fires.
    """

    def schedule(alarm: Alarm) -> Outgoing:
        headers = {
            "Nats-Schedule": f"@at {to_rfc3339(alarm.due_at - alarms.LEAD)}",
            "Nats-Schedule-Target": subjects.timer_due(alarm.key),
            "Nats-Rollup": "sub",
        }
        return Outgoing(subjects.timer_set(_first(alarm.key)), alarm.body, encode_headers(headers))

    take = Aftermath.take

    def taken(self: Aftermath, arm: Sequence[Alarm], disarm: Sequence[AlarmKey], rows: Sequence[OutboxRow]) -> None:
        replaced = {alarm.key.id for alarm in arm}
        take(self, arm, [_first(key) for key in disarm if key.id not in replaced], rows)

    setattr(alarms, "_schedule", schedule)  # noqa: B010 - as above
    Aftermath.take = taken


def lock_in_no_order() -> None:
    """Rows are locked as they happen to come."""
    for topic in ("due", "orders"):
        queries = load(topic)
        for name in list(queries):
            text = re.sub(
                r"ORDER BY (b|build)\.id(?=\s+FOR NO KEY UPDATE)", "ORDER BY random()", getattr(queries, name)
            )
            queries.__dict__["_queries"][name] = text


async def _nothing(*_: object) -> int:
    return 0


def _first(key: AlarmKey) -> AlarmKey:
    return key._replace(revision=Revision(1))
