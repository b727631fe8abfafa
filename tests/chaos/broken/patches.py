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
    work = Keeper._work

    async def acknowledged(self: Keeper, batch: Sequence[KeptRow]) -> None:
        for held in batch:
            for message in held.messages:
                message.ack()
        await asyncio.sleep(_LEAVES_S)  # it is on its way to the server before anything else happens
        await work(self, batch)

    Keeper._work = acknowledged


def sweep_no_rows() -> None:
    """Only alarms complete rows: nobody looks into the table for what is due or overdue."""

    async def nothing(_self: Sweep, _since_s: float = 0.0) -> int:
        return 0

    Sweep.bring_soon = nothing  # type: ignore[method-assign]
    Sweep.drain_overdue = nothing


def sweep_no_outbox() -> None:
    """Nobody looks into the outbox for what was left untold."""

    async def nothing(_self: Sweep, _older_than_s: float = 0.0) -> int:
        return 0

    Sweep.tell_untold = nothing


def replace_in_place() -> None:
    """A rescheduled build's alarm takes the place of the old one, on the same subject."""

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

    alarms._schedule = schedule
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


def _first(key: AlarmKey) -> AlarmKey:
    return key._replace(revision=Revision(1))
