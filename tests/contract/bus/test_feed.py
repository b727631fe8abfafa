from datetime import UTC, datetime, timedelta

import pytest

from starwake.bus.connection import Bus
from starwake.bus.errors import StreamRefused
from starwake.bus.feed import (
    FeedState,
    LivePush,
    begin_epoch,
    last_seqs,
    read_feed,
    read_pushes,
    watch_pushes,
)
from starwake.bus.message import Outgoing
from starwake.bus.notifications import Notifier
from starwake.bus.provision import provision
from starwake.bus.publish import JetStreamPublisher, PubAck
from starwake.contracts import subjects
from starwake.contracts.events import Notification
from starwake.contracts.ids import PlayerId
from tests.support.eventually import eventually
from tests.support.nats import LocalNats
from tests.support.players import unique_player

HOSTILE = [
    "a.b",
    "*",
    ">",
    "a b",
    "a\r\nPUB notify.all 2\r\nhi",
    "%2E",
    "名前",
    "\x00",
    "all",
    "player",
    ".",
    "$SYS",
    "x" * 255,
    "é" * 127,
]


async def tell(publisher: JetStreamPublisher, player: PlayerId | None, *bodies: bytes) -> list[int]:
    results = await publisher.publish_many([Outgoing(subjects.notify(player), body) for body in bodies])
    return [result.seq for result in results if isinstance(result, PubAck)]


async def test_every_push_bears_its_sequence_and_the_one_before_in_its_feed(
    streams: Bus, publisher: JetStreamPublisher
) -> None:
    ada, bob = PlayerId(unique_player()), PlayerId(unique_player())
    heard: list[LivePush] = []
    watch_pushes(streams, ada, heard.append)
    first, *_ = await tell(publisher, ada, b'{"event":"1"}')
    await tell(publisher, bob, b"{}")
    second, third = await tell(publisher, ada, b'{"event":"2"}', b'{"event":"3"}')
    await eventually(lambda: len(heard) == 3)
    assert heard == [
        LivePush(first, 0, b'{"event":"1"}'),
        LivePush(second, first, b'{"event":"2"}'),
        LivePush(third, second, b'{"event":"3"}'),
    ]
    assert second > first + 1


@pytest.mark.parametrize("player", HOSTILE, ids=range(len(HOSTILE)))
async def test_whatever_a_player_is_called_they_get_their_own_pushes_only(
    streams: Bus, publisher: JetStreamPublisher, player: str
) -> None:
    others: list[LivePush] = []
    own: list[LivePush] = []
    bystanders = [PlayerId(name) for name in (*HOSTILE, unique_player()) if name != player]
    for bystander in bystanders:
        watch_pushes(streams, bystander, others.append)
    watch_pushes(streams, None, others.append)
    watch_pushes(streams, PlayerId(player), own.append)
    (seq,) = await tell(publisher, PlayerId(player), b'{"for":"one"}')
    await eventually(lambda: own)
    await streams.flush()
    assert [push.seq for push in own] == [seq]
    assert others == []
    stored = await read_pushes(streams, PlayerId(player), seq)
    assert [push.seq for push in stored] == [seq]
    assert (await last_seqs(streams, [PlayerId(player)])) == {player: seq}


async def test_reading_begins_at_the_position_and_ends_at_the_limit(
    streams: Bus, publisher: JetStreamPublisher
) -> None:
    player = PlayerId(unique_player())
    before = datetime.now(UTC)
    seqs = await tell(publisher, player, *[b"%d" % n for n in range(10)])
    pushes = await read_pushes(streams, player, seqs[3], 4)
    assert [(push.seq, push.body) for push in pushes] == [(seqs[n], b"%d" % n) for n in range(3, 7)]
    assert all(abs(push.stored_at - before) < timedelta(seconds=30) for push in pushes)
    assert await read_pushes(streams, player, seqs[-1] + 1) == []
    assert await read_pushes(streams, PlayerId(unique_player()), 0) == []


async def test_a_feed_too_large_for_one_batch_is_read_whole(streams: Bus, publisher: JetStreamPublisher) -> None:
    """The server ends a batch early by its size; what is left is asked for again."""
    player = PlayerId(unique_player())
    body = b"x" * 200_000
    seqs = await tell(publisher, player, *[body] * 100)
    pushes = await read_pushes(streams, player, 1, timeout_s=20)
    assert [push.seq for push in pushes] == seqs
    assert all(push.body == body for push in pushes)


async def test_a_history_that_was_trimmed_begins_later_than_asked(streams: Bus, publisher: JetStreamPublisher) -> None:
    player = PlayerId(unique_player())
    seqs = await tell(publisher, player, *[b"%d" % n for n in range(300)])
    pushes = await read_pushes(streams, player, seqs[0])
    assert [push.seq for push in pushes] == seqs[-257:]
    assert pushes[0].seq != seqs[0]


async def test_the_last_sequences_of_thousands_of_feeds_are_read_at_once(
    streams: Bus, publisher: JetStreamPublisher
) -> None:
    prefix = unique_player()
    players = [PlayerId(f"{prefix}-{n}") for n in range(2500)]
    results = await publisher.publish_many([Outgoing(subjects.notify(player), b"x") for player in players])
    expected = {p: r.seq for p, r in zip(players, results, strict=True) if isinstance(r, PubAck)}
    quiet = PlayerId(unique_player())
    found = await last_seqs(streams, [*players, quiet])
    assert found == {**expected, quiet: 0}


async def test_everybodys_feed_is_a_feed_of_its_own(own_streams: Bus, own_publisher: JetStreamPublisher) -> None:
    heard: list[LivePush] = []
    watch_pushes(own_streams, None, heard.append)
    await tell(own_publisher, PlayerId("all"), b"{}")
    first, second = await tell(own_publisher, None, b"1", b"2")
    await eventually(lambda: len(heard) == 2)
    assert [(push.seq, push.prev) for push in heard] == [(first, 0), (second, first)]
    assert [push.seq for push in await read_pushes(own_streams, None, 1)] == [first, second]
    assert await last_seqs(own_streams, [None]) == {None: second}


async def test_notifications_are_told_once_and_in_order(streams: Bus, publisher: JetStreamPublisher) -> None:
    player = PlayerId(unique_player())
    told = [Notification(f"{player}.{n}", player, b'{"n":%d}' % n) for n in range(20)]
    notifier = Notifier(publisher)
    first = await notifier.publish(told)
    again = await notifier.publish(told)
    assert [r.duplicate for r in first if isinstance(r, PubAck)] == [False] * 20
    assert [r.duplicate for r in again if isinstance(r, PubAck)] == [True] * 20
    stored = await read_pushes(streams, player, 1)
    assert [(push.message_id, push.body) for push in stored] == [(n.message_id, n.body) for n in told]


async def test_a_trace_comes_with_its_push_to_who_asks_for_it_and_never_in_the_body(
    streams: Bus, publisher: JetStreamPublisher
) -> None:
    player, trace = PlayerId(unique_player()), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    plain: list[LivePush] = []
    traced: list[LivePush] = []
    watch_pushes(streams, player, plain.append)
    watch_pushes(streams, player, traced.append, traced=True)
    told = [
        Notification(f"{player}.1", player, b'{"event":"a.b"}', trace),
        Notification(f"{player}.2", player, b"{}"),
    ]
    first, second = [result.seq for result in await Notifier(publisher).publish(told) if isinstance(result, PubAck)]
    await eventually(lambda: len(plain) == len(traced) == 2)
    assert plain == [LivePush(first, 0, b'{"event":"a.b"}'), LivePush(second, first, b"{}")]
    assert traced == [plain[0]._replace(trace=trace, message_id=f"{player}.1"), plain[1]]


async def test_a_stream_without_epoch_says_so(own_bus: Bus) -> None:
    assert await read_feed(own_bus) == FeedState(None, 0, 0)
    with pytest.raises(StreamRefused, match="provision"):
        await begin_epoch(own_bus, above=0)
    await provision(own_bus, 1)
    assert (await read_feed(own_bus)).epoch is None


async def test_a_first_epoch_keeps_what_is_stored(own_streams: Bus, own_publisher: JetStreamPublisher) -> None:
    ada = PlayerId("ada")
    seqs = await tell(own_publisher, ada, b"1", b"2")
    state = await begin_epoch(own_streams, above=1)
    assert state.epoch
    assert state.last_seq == 2
    assert [push.seq for push in await read_pushes(own_streams, ada, 1)] == seqs
    assert await read_feed(own_streams) == state


async def test_what_is_told_between_the_creation_of_feeds_and_their_epoch_is_kept(own_bus: Bus) -> None:
    await provision(own_bus, 1, feed_above=500)
    ada = PlayerId("ada")
    assert await tell(JetStreamPublisher(own_bus), ada, b"1") == [501]
    state = await begin_epoch(own_bus, above=500)
    assert (state.first_seq, state.last_seq) == (501, 501)
    assert [push.seq for push in await read_pushes(own_bus, ada, 0)] == [501]
    assert await provision(own_bus, 1, feed_above=600) == [], "only what is created begins there"


@pytest.mark.parametrize("stored", [0, 3])
async def test_a_new_epoch_lifts_the_counter_above_the_mark(
    own_streams: Bus, own_publisher: JetStreamPublisher, stored: int
) -> None:
    ada = PlayerId("ada")
    first = await begin_epoch(own_streams, above=0)
    await tell(own_publisher, ada, *[b"x"] * stored)
    second = await begin_epoch(own_streams, above=5000)
    assert second.epoch != first.epoch
    assert second.last_seq == 5000
    assert await tell(own_publisher, ada, b"after") == [5001]
    assert [push.seq for push in await read_pushes(own_streams, ada, 1)] == [5001]
    assert await provision(own_streams, 1) == [], "an epoch is no drift"


async def test_an_epoch_and_its_counter_survive_a_kill_of_the_server(fresh_nats: LocalNats, own_streams: Bus) -> None:
    state = await begin_epoch(own_streams, above=5000)
    await fresh_nats.kill()
    await fresh_nats.start()
    await eventually(lambda: own_streams.connected)
    assert (await read_feed(own_streams)).epoch == state.epoch
    assert (await read_feed(own_streams)).last_seq == 5000


async def test_a_stream_that_lost_its_store_has_no_epoch(fresh_nats: LocalNats, own_streams: Bus) -> None:
    await begin_epoch(own_streams, above=10)
    await fresh_nats.kill()
    fresh_nats.lose_store()
    await fresh_nats.start()
    await eventually(lambda: own_streams.connected)
    assert await read_feed(own_streams) == FeedState(None, 0, 0)
