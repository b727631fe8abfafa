import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from starwake.bus.alarm_consumer import ConsumerLag, read_lag
from starwake.bus.alarms import LEAD, AlarmConsumer, Alarms, DueAlarm, PendingAlarms
from starwake.bus.connection import Bus
from starwake.bus.errors import BusUnavailable, ConsumerGone
from starwake.bus.jetstream import ask, consumer_info, stream_info
from starwake.bus.provision import provision
from starwake.bus.publish import JetStreamPublisher
from starwake.bus.streams import SCHEDULER, TIMERS
from starwake.contracts.alarms import Alarm
from starwake.contracts.ids import Revision, new_id
from starwake.contracts.subjects import AlarmKey
from tests.support.eventually import eventually
from tests.support.nats import LocalNats


class Fired:
    """What an alarm consumer was given, and when."""

    def __init__(self, *, ack: bool) -> None:
        self.alarms: list[DueAlarm] = []
        self.at: list[datetime] = []
        self._ack = ack

    async def __call__(self, batch: list[DueAlarm]) -> None:
        for alarm in batch:
            self.alarms.append(alarm)
            self.at.append(datetime.now(UTC))
            if self._ack:
                alarm.ack()

    @property
    def keys(self) -> list[AlarmKey | None]:
        return [alarm.key for alarm in self.alarms]


@asynccontextmanager
async def consuming(bus: Bus, on_batch: Fired, *, batch: int = 512) -> AsyncGenerator[AlarmConsumer]:
    consumer = AlarmConsumer(bus, batch=batch, expires_s=2, heartbeat_s=0.5)
    task = asyncio.create_task(consumer.run(on_batch))
    try:
        yield consumer
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait([task])


def alarm(in_s: float, *, revision: int = 1, body: bytes = b'{"x":1}', key: AlarmKey | None = None) -> Alarm:
    due_at = datetime.now(UTC) + timedelta(seconds=in_s)
    return Alarm(key or AlarmKey("build", new_id(), Revision(revision)), due_at, body)


@pytest.fixture
def alarms(own_streams: Bus, own_publisher: JetStreamPublisher) -> Alarms:
    return Alarms(own_streams, own_publisher)


async def pending(alarms: Alarms) -> set[AlarmKey]:
    return {key for part in [part async for part in alarms.pending()] for key in part.keys}


async def messages(bus: Bus) -> int:
    info = await stream_info(bus, TIMERS)
    assert info is not None
    return int(info["state"]["messages"])


async def outstanding(bus: Bus) -> int:
    info = await consumer_info(bus, TIMERS, SCHEDULER)
    assert info is not None
    return int(info["num_ack_pending"]) + int(info["num_pending"])


async def test_an_alarm_fires_ahead_of_its_time_with_its_body_intact(own_streams: Bus, alarms: Alarms) -> None:
    body = b'{"player":"\xc3\xa9","due_at":"x"}'
    set_ = alarm(1.5, body=body, revision=7)
    assert await alarms.arm([set_]) == ["armed"]
    assert await pending(alarms) == {set_.key}
    fired = Fired(ack=True)
    async with consuming(own_streams, fired):
        await eventually(lambda: fired.alarms)
    assert fired.alarms[0].key == set_.key
    assert fired.alarms[0].body == body
    assert fired.alarms[0].delivered == 1
    assert -LEAD - timedelta(milliseconds=50) <= fired.at[0] - set_.due_at <= timedelta(0)
    assert await pending(alarms) == set()


@pytest.mark.parametrize("in_s", [-3600.0, 0.0, 0.3, 0.74])
async def test_a_near_or_overdue_alarm_arrives_at_once(own_streams: Bus, alarms: Alarms, in_s: float) -> None:
    fired = Fired(ack=True)
    async with consuming(own_streams, fired):
        begun = time.monotonic()
        await alarms.arm([alarm(in_s)])
        await eventually(lambda: fired.alarms)
        assert time.monotonic() - begun < 0.25


async def test_arming_again_changes_nothing_and_is_said(own_streams: Bus, alarms: Alarms) -> None:
    far, near = alarm(3600), alarm(0)
    assert await alarms.arm([far, near, far, near]) == ["armed", "armed", "already", "already"]
    assert await alarms.arm([far]) == ["already"]
    assert await messages(own_streams) == 2


async def test_another_revision_is_another_alarm(alarms: Alarms) -> None:
    first = alarm(3600)
    second = alarm(7200, key=AlarmKey("build", first.key.id, Revision(2)))
    event = alarm(7200, key=AlarmKey("event", first.key.id, Revision(1)))
    assert await alarms.arm([first, second, event]) == ["armed"] * 3
    assert await pending(alarms) == {first.key, second.key, event.key}


async def test_an_alarm_taken_back_never_fires_and_is_freed(own_streams: Bus, alarms: Alarms) -> None:
    gone, kept = alarm(1.2), alarm(1.2)
    await alarms.arm([gone, kept])
    await alarms.disarm([gone.key])
    assert await alarms.arm([gone]) == ["already"], "its tombstone"
    fired = Fired(ack=True)
    async with consuming(own_streams, fired):
        await eventually(lambda: fired.alarms)

        async def freed() -> bool:
            return await messages(own_streams) == 0

        await eventually(freed)
    assert fired.keys == [kept.key]


async def test_a_moment_beyond_nats_time_does_not_fire_at_once(own_streams: Bus, alarms: Alarms) -> None:
    far = Alarm(alarm(0).key, datetime(2300, 1, 1, tzinfo=UTC), b"{}")
    assert await alarms.arm([far]) == ["armed"]
    assert await pending(alarms) == {far.key}
    assert await outstanding(own_streams) == 0


async def test_what_is_pending_is_listed_in_parts_that_count(own_streams: Bus, alarms: Alarms) -> None:
    set_ = [alarm(3600) for _ in range(12_000)]
    assert set(await alarms.arm(set_)) == {"armed"}
    headers = {"Nats-Schedule": "@at 2100-01-01T00:00:00Z", "Nats-Schedule-Target": "timer.due.x"}
    for name in ("not.an.alarm", 'quo"ted\\'):
        await own_streams.request(f"timer.set.{name}", b"", timeout_s=5, headers=headers)
    parts: list[PendingAlarms] = [part async for part in alarms.pending()]
    assert {key for part in parts for key in part.keys} == {each.key for each in set_}
    assert {name for part in parts for name in part.foreign} == {"timer.set.not.an.alarm", 'timer.set.quo"ted\\'}
    assert [part.listed for part in parts] == [*range(2000, 12_001, 2000), 12_002]
    assert {part.total for part in parts} == {12_002}


async def test_without_a_server_arming_says_so_for_each(
    fresh_nats: LocalNats, own_streams: Bus, alarms: Alarms
) -> None:
    await fresh_nats.kill()
    await eventually(lambda: not own_streams.connected)
    results = await alarms.arm([alarm(10), alarm(0)])
    assert all(isinstance(result, BusUnavailable) for result in results)
    await alarms.disarm([alarm(10).key])


async def test_what_is_not_acknowledged_is_delivered_again(own_streams: Bus, alarms: Alarms) -> None:
    set_ = alarm(0)
    await alarms.arm([set_])
    fired = Fired(ack=False)
    async with consuming(own_streams, fired):
        await eventually(lambda: fired.alarms)
        fired.alarms[0].nak()
        await eventually(lambda: len(fired.alarms) == 2)
        fired.alarms[1].nak(0.3)
        begun = time.monotonic()
        await eventually(lambda: len(fired.alarms) == 3)
        assert 0.2 < time.monotonic() - begun < 2
        fired.alarms[2].in_progress()
        fired.alarms[2].ack()

        async def done() -> bool:
            return await messages(own_streams) == 0

        await eventually(done)
    assert [each.delivered for each in fired.alarms] == [1, 2, 3]
    assert len({each.sequence for each in fired.alarms}) == 1


async def test_a_message_that_is_no_alarm_arrives_without_key_and_can_be_ended(own_streams: Bus) -> None:
    for subject in (
        "timer.due.build.x.r1",
        "timer.due.build",
        "timer.due.build.00000000-0000-0000-0000-000000000000.r0",
    ):
        await own_streams.request(subject, b"poison", timeout_s=5)
    fired = Fired(ack=False)
    async with consuming(own_streams, fired):
        await eventually(lambda: len(fired.alarms) == 3)
        assert fired.keys == [None, None, None]
        assert fired.alarms[0].subject == "timer.due.build.x.r1"
        for each in fired.alarms:
            each.term("not an alarm")

        async def ended() -> bool:
            return await messages(own_streams) == 0

        await eventually(ended)


async def test_no_more_is_pulled_than_can_be_taken(own_streams: Bus, alarms: Alarms) -> None:
    """While a batch is worked on, at most as many wait here; the rest stays with the server for others."""
    await alarms.arm([alarm(0) for _ in range(300)])
    release = asyncio.Event()
    taken: list[DueAlarm] = []

    class Slow(Fired):
        async def __call__(self, batch: list[DueAlarm]) -> None:
            taken.extend(batch)
            await release.wait()
            await super().__call__(batch)

    fired = Slow(ack=True)
    async with consuming(own_streams, fired, batch=32):
        await eventually(lambda: taken)

        async def held() -> int:
            info = await consumer_info(own_streams, TIMERS, SCHEDULER)
            assert info is not None
            return int(info["num_ack_pending"])

        await eventually(held)
        await own_streams.flush()
        assert await held() <= 64
        release.set()
        await eventually(lambda: len(fired.alarms) == 300)


async def test_two_consumers_share_the_work(own_streams: Bus, alarms: Alarms) -> None:
    one, two = Fired(ack=True), Fired(ack=True)
    async with consuming(own_streams, one, batch=16), consuming(own_streams, two, batch=16):
        await alarms.arm([alarm(0) for _ in range(500)])
        await eventually(lambda: len(one.alarms) + len(two.alarms) == 500)
    assert len({*one.keys, *two.keys}) == 500
    assert one.alarms
    assert two.alarms


async def test_who_stops_gives_back_what_was_not_taken(own_streams: Bus, alarms: Alarms) -> None:
    await alarms.arm([alarm(0) for _ in range(100)])
    stuck = asyncio.Event()
    began: list[int] = []

    class Stuck(Fired):
        async def __call__(self, batch: list[DueAlarm]) -> None:
            began.append(len(batch))
            await stuck.wait()

    async with consuming(own_streams, Stuck(ack=True), batch=60) as consumer:
        await eventually(lambda: began and began[0] + consumer.waiting == 60)
    fired = Fired(ack=True)
    async with consuming(own_streams, fired):
        await eventually(lambda: len(fired.alarms) == 100 - began[0])


async def gone(bus: Bus) -> None:
    with pytest.raises(ConsumerGone):
        async with asyncio.timeout(10):
            await AlarmConsumer(bus, expires_s=2, heartbeat_s=0.5).run(Fired(ack=True))


async def test_a_consumer_that_never_was_is_reported(own_bus: Bus) -> None:
    await gone(own_bus)


@pytest.mark.parametrize("removal", [f"CONSUMER.DELETE.{TIMERS}.{SCHEDULER}", f"STREAM.DELETE.{TIMERS}"])
async def test_a_consumer_that_was_removed_is_reported(own_streams: Bus, removal: str) -> None:
    async def remove() -> None:
        async def pulled() -> bool:
            info = await consumer_info(own_streams, TIMERS, SCHEDULER)
            return info is not None and info["num_waiting"] == 1

        await eventually(pulled)
        await ask(own_streams, removal)

    removing = asyncio.create_task(remove())
    await gone(own_streams)
    await removing
    await provision(own_streams, 1)


async def test_alarms_come_on_after_kills_of_the_server(
    fresh_nats: LocalNats, own_streams: Bus, alarms: Alarms
) -> None:
    """An open pull dies with the server without a word; fired, held and pending alarms all come after it."""
    fired = Fired(ack=True)
    expected: set[AlarmKey] = set()
    async with consuming(own_streams, fired):
        for _ in range(3):
            set_ = [alarm(0.0 if n % 2 else 1.0) for n in range(100)]
            expected |= {each.key for each in set_}
            assert set(await alarms.arm(set_)) == {"armed"}
            await fresh_nats.kill()
            await fresh_nats.start()
            await eventually(lambda: own_streams.connected)
            late = alarm(0)
            expected.add(late.key)
            await alarms.arm([late])
            await eventually(lambda key=late.key: key in fired.keys, within_s=5)
        # What was delivered when the server died comes again once its `ack_wait` is over.
        await eventually(lambda: expected <= set(fired.keys), within_s=45)


async def test_the_lag_is_what_fired_and_nobody_took_and_what_was_taken_and_not_acknowledged(
    own_streams: Bus, own_publisher: JetStreamPublisher
) -> None:
    assert await read_lag(own_streams) == ConsumerLag(0, 0)
    for number in range(3):
        await own_publisher.publish(f"timer.due.build.{new_id()}.r{number + 1}", b"{}")
    assert await read_lag(own_streams) == ConsumerLag(3, 0)
    fired = Fired(ack=False)
    async with consuming(own_streams, fired):
        await eventually(lambda: len(fired.alarms) == 3)
        fired.alarms[0].ack()

        async def one_is_done() -> bool:
            return await read_lag(own_streams) == ConsumerLag(0, 2)

        await eventually(one_is_done)
    await ask(own_streams, f"CONSUMER.DELETE.{TIMERS}.{SCHEDULER}")
    assert await read_lag(own_streams) is None
