import asyncio

import pytest

from starwake.bus.connection import Bus
from starwake.bus.errors import BusError, BusUnavailable, NoResponders, WrongLastSequence
from starwake.bus.feed import read_pushes
from starwake.bus.headers import encode_headers
from starwake.bus.message import Outgoing
from starwake.bus.publish import JetStreamPublisher, PubAck
from starwake.bus.streams import NOTIFICATIONS
from starwake.contracts.ids import PlayerId
from tests.support.eventually import eventually
from tests.support.nats import LocalNats
from tests.support.players import unique_player


async def test_what_is_published_is_acknowledged_with_its_place(publisher: JetStreamPublisher) -> None:
    subject = f"notify.player.{unique_player()}"
    first = await publisher.publish(subject, b"1")
    second = await publisher.publish(subject, b"2")
    assert first.stream == NOTIFICATIONS
    assert second.seq > first.seq
    assert not second.duplicate


async def test_the_same_message_id_is_stored_once(publisher: JetStreamPublisher) -> None:
    player = unique_player()
    subject = f"notify.player.{player}"
    first = await publisher.publish(subject, b"1", message_id=f"{player}.1")
    again = await publisher.publish(subject, b"1", message_id=f"{player}.1")
    assert again == PubAck(NOTIFICATIONS, first.seq, duplicate=True)


async def test_an_expectation_that_does_not_hold_is_told_apart(publisher: JetStreamPublisher) -> None:
    subject = f"notify.player.{unique_player()}"
    ack = await publisher.publish(subject, b"1", expected_last_subject_sequence=0)
    with pytest.raises(WrongLastSequence):
        await publisher.publish(subject, b"2", expected_last_subject_sequence=0)
    await publisher.publish(subject, b"2", expected_last_subject_sequence=ack.seq)


async def test_a_subject_that_no_stream_has_is_known_at_once(publisher: JetStreamPublisher) -> None:
    with pytest.raises(NoResponders):
        await publisher.publish(f"nowhere.{unique_player()}", b"")


async def test_many_keep_their_order_and_one_failure_does_not_hide_the_others(
    streams: Bus, publisher: JetStreamPublisher
) -> None:
    player = unique_player()
    items = [Outgoing(f"notify.player.{player}", b"%d" % n) for n in range(200)]
    items.insert(100, Outgoing(f"nowhere.{player}", b""))
    results = await publisher.publish_many(items)
    assert isinstance(results.pop(100), NoResponders)
    seqs = [result.seq for result in results if isinstance(result, PubAck)]
    assert len(seqs) == 200
    assert seqs == sorted(seqs)
    stored = await read_pushes(streams, PlayerId(player), 1)
    assert [push.body for push in stored] == [b"%d" % n for n in range(200)]


async def test_no_more_than_the_bound_are_in_flight_and_batches_take_turns(streams: Bus) -> None:
    publisher = JetStreamPublisher(streams, max_in_flight=8)
    player = unique_player()
    ends: list[str] = []

    async def publish(name: str, count: int) -> None:
        await publisher.publish_many([Outgoing(f"notify.player.{player}-{name}", b"x") for _ in range(count)])
        ends.append(name)

    long = asyncio.create_task(publish("long", 3000))
    await asyncio.sleep(0)
    assert publisher.in_flight == 8
    await publish("short", 1)
    assert ends == ["short"]
    await long
    assert publisher.in_flight == 0


async def test_too_many_callers_are_refused(streams: Bus) -> None:
    publisher = JetStreamPublisher(streams, max_in_flight=1, max_waiting=3)
    subject = f"notify.player.{unique_player()}"
    calls = [asyncio.create_task(publisher.publish(subject, b"x")) for _ in range(10)]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(end, BusUnavailable) for end in ends].count(True) == 6
    assert [isinstance(end, PubAck) for end in ends].count(True) == 4


async def test_a_cancelled_batch_sends_no_more(streams: Bus) -> None:
    publisher = JetStreamPublisher(streams, max_in_flight=1)
    player = PlayerId(unique_player())
    items = [Outgoing(f"notify.player.{player}", b"%d" % n) for n in range(100)]
    batch = asyncio.create_task(publisher.publish_many(items))
    await asyncio.sleep(0)
    batch.cancel()
    await asyncio.wait([batch])
    await publisher.publish(f"notify.player.{player}", b"after")
    bodies = [push.body for push in await read_pushes(streams, player, 1)]
    assert bodies[-1] == b"after"
    assert len(bodies) < 5


async def test_what_cannot_be_a_subject_fails_alone(publisher: JetStreamPublisher) -> None:
    subject = f"notify.player.{unique_player()}"
    bad, good = await publisher.publish_many([Outgoing("a b", b""), Outgoing(subject, b"")])
    assert isinstance(bad, BusError)
    assert isinstance(good, PubAck)


async def test_a_large_batch_fails_at_once_when_the_server_dies(fresh_nats: LocalNats, own_streams: Bus) -> None:
    publisher = JetStreamPublisher(own_streams, max_in_flight=4)
    batch = asyncio.create_task(publisher.publish_many([Outgoing("notify.player.ada", b"x")] * 50_000))
    await eventually(lambda: publisher.in_flight)
    await fresh_nats.kill()
    async with asyncio.timeout(2):
        results = await batch
    assert len(results) == 50_000
    assert isinstance(results[-1], BusUnavailable)
    assert publisher.in_flight == 0


async def test_nothing_acknowledged_is_lost_over_kills_of_the_server(
    fresh_nats: LocalNats, own_streams: Bus, own_publisher: JetStreamPublisher
) -> None:
    """Who repeats what failed, under the same message id, has everything stored once."""
    acknowledged: dict[bytes, int] = {}
    failed = 0
    stopping = False

    async def publish(worker: int) -> None:
        nonlocal failed
        number = 0
        while not stopping:
            number += 1
            body = b"%d.%d" % (worker, number)
            while body not in acknowledged:
                try:
                    ack = await own_publisher.publish(
                        f"notify.player.w{worker}-{number % 50}", body, message_id=body.decode()
                    )
                except BusError:
                    failed += 1
                    await asyncio.sleep(0.01)
                else:
                    acknowledged[body] = ack.seq

    workers = [asyncio.create_task(publish(worker)) for worker in range(16)]
    for _ in range(3):
        before = len(acknowledged)
        await eventually(lambda n=before: len(acknowledged) > n + 500)
        await fresh_nats.kill()
        await fresh_nats.start()
    stopping = True
    await asyncio.gather(*workers)

    stored: dict[bytes, int] = {}
    for worker in range(16):
        for part in range(50):
            pushes = await read_pushes(own_streams, PlayerId(f"w{worker}-{part}"), 1)
            assert len({push.body for push in pushes}) == len(pushes), "stored twice"
            stored |= {push.body: push.seq for push in pushes}
    assert failed
    assert stored == acknowledged


async def test_in_an_ordered_batch_nothing_overtakes_what_failed(fresh_nats: LocalNats, own_streams: Bus) -> None:
    """The server dies in the middle; what is stored afterwards is a beginning of the batch, without a hole."""
    publisher = JetStreamPublisher(own_streams, max_in_flight=4)
    items = [Outgoing("notify.player.ada", b"%d" % n, encode_headers({"Nats-Msg-Id": str(n)})) for n in range(3000)]
    batch = asyncio.create_task(publisher.publish_many(items, ordered=True, timeout_s=2))
    await asyncio.sleep(0.05)
    await fresh_nats.kill()
    await fresh_nats.start()
    results = await batch
    stored_count = sum(isinstance(result, PubAck) for result in results)
    assert 0 < stored_count < 3000
    await eventually(lambda: own_streams.connected)
    kept = [int(push.body) for push in await read_pushes(own_streams, PlayerId("ada"), 1)]
    assert kept == list(range(kept[0], kept[-1] + 1))
    assert stored_count - 1 <= kept[-1] <= stored_count + 3
