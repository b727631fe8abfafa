"""What each variant changes."""

import asyncio
from collections.abc import Sequence

from starwake.bus import alarms
from starwake.bus.headers import encode_headers
from starwake.bus.message import Outgoing
from starwake.contracts import events, subjects, world_events
from starwake.contracts.alarms import Alarm
from starwake.contracts.batches import Loaded
from starwake.contracts.ids import Revision
from starwake.contracts.reasons import Refusal
from starwake.contracts.subjects import AlarmKey
from starwake.contracts.times import to_rfc3339
from starwake.game import decide
from starwake.game.decide import Decision, refused
from starwake.outbox import guard
from starwake.scheduler.due.worker import CompletionWorker, HeldRow
from starwake.scheduler.sweep.run import Sweep
from starwake.store import high_water_mark
from starwake.store.sql import load

_LEAVES_S = 0.1
_PAUSE = "pg_sleep(0.002) IS NOT NULL"


def acknowledge_first() -> None:
    """The scheduler acknowledges alarms when it takes them up, not when their rows are completed."""
    work = CompletionWorker._work  # pyright: ignore[reportPrivateUsage]

    async def acknowledged(self: CompletionWorker, batch: Sequence[HeldRow]) -> None:
        for held in batch:
            for message in held.messages:
                message.ack()
        await asyncio.sleep(_LEAVES_S)  # it is on its way to the server before anything else happens
        await work(self, batch)

    _patch(CompletionWorker, "_work", acknowledged)


def sweep_no_rows() -> None:
    """Only alarms complete rows: nobody looks into the table for what is due or overdue."""
    _patch(Sweep, "preload_due", _nothing)
    _patch(Sweep, "drain_overdue", _nothing)


def sweep_no_outbox() -> None:
    """Nobody looks into the outbox for what was left in it."""
    _patch(Sweep, "publish_outbox", _nothing)


def replace_in_place() -> None:
    """All alarms of a build have one subject: the new one replaces the old one in place.

    Taking the old one back then takes the new one as well. (Beside that, nats-server 2.15.1 loses replacements that are
    stored while it fires a slice of schedules: 42 of 200 when replaced 50 ms ahead of their time and later.)
    """

    def schedule(alarm: Alarm) -> Outgoing:
        headers = {
            "Nats-Schedule": f"@at {to_rfc3339(alarm.due_at - alarms.LEAD)}",
            "Nats-Schedule-Target": subjects.timer_due(alarm.key),
            "Nats-Rollup": "sub",
        }
        return Outgoing(subjects.timer_set(_first(alarm.key)), alarm.body, encode_headers(headers))

    disarm = alarms.Alarms.disarm

    async def disarmed(self: alarms.Alarms, keys: Sequence[AlarmKey]) -> None:
        await disarm(self, [_first(key) for key in keys])

    _patch(alarms, "_schedule", schedule)
    _patch(alarms.Alarms, "disarm", disarmed)


def count_no_refusals() -> None:
    """Nobody knows how often an order was refused: each attempt is judged, however late it comes."""

    def refuse(self: Decision, _key: object, refusal: Refusal, _loaded: Loaded) -> None:
        self.answers.append(refused(refusal))

    _patch(Decision, "refuse", refuse)


def ids_without_nonce() -> None:
    """A push is named by its row and revision alone, which come again once the table was taken back."""

    def named(source: str, revision: int, *numbers: int) -> str:
        return ".".join(map(str, (source, revision, *numbers)))

    for module in (events, world_events, decide):
        _patch(module, "new_push_id", named)


def notice_no_older_table() -> None:
    """Nobody compares what was published with the table."""

    async def nothing(*_: object) -> None:
        return

    _patch(high_water_mark, "find_unknown", nothing)
    _patch(guard, "find_unknown", nothing)


def publish_without_looking() -> None:
    """The command service publishes as soon as it is connected, whatever the stream lost."""

    async def run(self: guard.Guard) -> None:
        while True:
            self._relay.resume()  # pyright: ignore[reportPrivateUsage]
            await asyncio.sleep(_LEAVES_S)

    _patch(guard.Guard, "run", run)


def lock_in_no_order() -> None:
    """Completions lock rows upwards, orders downwards, and slowly: who meets, meets in a circle.

    The pause stands in the list of columns: Postgres computes what is volatile there after it has sorted and before it
    locks, row by row.
    """
    _replaced("due", "SELECT b.id, b.due_at", f"SELECT b.id, {_PAUSE} AND b.due_at")
    _replaced("orders", "SELECT id::text, player", f"SELECT CASE WHEN {_PAUSE} THEN id::text END AS id, player")
    _replaced("orders", "ORDER BY build.id\nFOR NO KEY UPDATE", "ORDER BY build.id DESC\nFOR NO KEY UPDATE")


def _patch(target: object, name: str, by: object) -> None:
    """Replace what has this name; it has to be there."""
    assert hasattr(target, name), f"{target!r} has no {name}: renamed?"
    setattr(target, name, by)


def _replaced(topic: str, part: str, by: str) -> None:
    """Every query of the topic that has this part gets another one instead; there has to be one."""
    queries: dict[str, str] = load(topic).__dict__["_queries"]
    found = {name: text.replace(part, by) for name, text in queries.items() if part in text}
    assert found, f"no query in {topic} has {part!r}"
    queries.update(found)


async def _nothing(*_: object) -> int:
    return 0


def _first(key: AlarmKey) -> AlarmKey:
    return key._replace(revision=Revision(1))
