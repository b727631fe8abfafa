"""Hundreds come back at once with much to catch up on, over a NATS that answers slowly: all get in, nobody in vain."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from prometheus_client import REGISTRY

from starwake.bus.connection import Bus
from starwake.bus.feed import last_seqs, read_feed
from starwake.bus.message import Message, Outgoing
from starwake.bus.publish import JetStreamPublisher
from starwake.contracts import subjects
from starwake.contracts.events import encode_body
from starwake.contracts.ids import PlayerId
from starwake.contracts.times import from_rfc3339
from starwake.gateway.feed import Push
from starwake.gateway.histories import Crowded, Histories
from starwake.gateway.tasks import Tasks
from tests.contract.gateway.conftest import Gateway, Player, StartGateway, prepare_streams
from tests.contract.gateway.raw import handshake
from tests.support.eventually import eventually
from tests.support.nats import NatsAddress

_PLAYERS = 200
_MISSED = 5
_DELAY_S = 0.05


class SlowNats:
    """A way to NATS on which each answer takes its time, and which can be held up altogether."""

    def __init__(self, url: str) -> None:
        self._behind = urlsplit(url)
        self.open = asyncio.Event()
        self.open.set()
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator["SlowNats"]:
        """Listen for the time of the block."""
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = self._behind._replace(netloc=f"{self._behind.netloc.rpartition('@')[0]}@127.0.0.1:{port}").geturl()
        try:
            yield self
        finally:
            server.close()

    async def _carry(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        far, to_far = await asyncio.open_connection(self._behind.hostname, self._behind.port)
        try:
            await asyncio.gather(self._copy(near, to_far, 0), self._copy(far, to_near, _DELAY_S))
        finally:
            to_near.close()
            to_far.close()

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, delay_s: float) -> None:
        while data := await source.read(1 << 20):
            await asyncio.sleep(delay_s)
            await self.open.wait()
            target.write(data)
        target.close()


async def fill(bus: Bus, players: list[str]) -> None:
    """Push to each of them, in turn, as a game's evening does."""
    body = encode_body("test.happened", from_rfc3339("2026-11-22T10:00:00.000Z"), {"text": "x" * 200})
    for _ in range(_MISSED):
        await JetStreamPublisher(bus).publish_many(
            [Outgoing(subjects.notify(PlayerId(each)), body) for each in players]
        )


async def came_back(gateway: Gateway, player: str, resume: dict[str, object]) -> list[int]:
    """Come back; the sequences of all that was missed."""
    socket = await gateway.connect(player, resume=resume)
    assert socket.hello["recovered"] is True
    return [(await socket.frame(within_s=20))["seq"] for _ in range(_MISSED)]


def standing(player: Player) -> dict[str, object]:
    """Where it stands, told a moment ago."""
    hello = player.hello
    return {"epoch": hello["epoch"], "seq": hello["seq"], "all": hello["all"], "at": hello["server_time"]}


async def test_all_come_in_at_once_and_no_history_is_read_for_those_who_have_left(
    start_gateway: StartGateway, bus: Bus, nats_server: NatsAddress, unique_player: Callable[[], str]
) -> None:
    async with SlowNats(nats_server.url).serving() as nats:
        gateway = await start_gateway(STARWAKE_NATS_URL=nats.url)
        # `all` and `at` are what counts; the own feeds of those who come are empty then.
        resume = standing(await gateway.connect(unique_player())) | {"seq": 0}
        staying, leaving = ([unique_player() for _ in range(_PLAYERS)] for _ in range(2))
        await fill(bus, staying + leaving)

        nats.open.clear()
        async with asyncio.timeout(30):
            await asyncio.gather(*(come_and_go(gateway, player, resume) for player in leaving))

        async def all_gone() -> bool:
            return (await gateway.process.metrics())["starwake_gateway_unauthenticated_connections"] == 0

        await eventually(all_gone, within_s=20)
        nats.open.set()
        async with asyncio.timeout(60):
            seqs = await asyncio.gather(*(came_back(gateway, player, resume) for player in staying))
        assert all(len(set(each)) == _MISSED and each == sorted(each) for each in seqs)
        told = await gateway.process.metrics()
        read = sum(count for name, count in told.items() if name.startswith("starwake_gateway_histories_total{"))
        assert _PLAYERS <= read < _PLAYERS + 10, "of those who left, at most the first had been asked for"
        assert told['starwake_gateway_histories_total{how="together"}'] > _PLAYERS / 2
        assert not [name for name in told if "disconnects_total" in name and 'code="4010"' in name]


async def come_and_go(gateway: Gateway, player: str, resume: dict[str, object]) -> None:
    """Connect with a position, and leave once the upgrade was answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.process.port)
    writer.write(handshake(gateway.token(player), f"Starwake-Resume: {json.dumps(resume)}"))
    assert b"101" in await reader.readline()
    writer.transport.abort()


def unread() -> float:
    """Histories that were not read because nobody waited any more."""
    return REGISTRY.get_sample_value("starwake_gateway_histories_not_read_total") or 0.0


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    owner = Tasks()
    yield owner
    await owner.close()


async def test_who_leaves_while_their_history_waits_costs_nothing(
    bus: Bus, tasks: Tasks, unique_player: Callable[[], str]
) -> None:
    await prepare_streams(bus)
    players = [unique_player() for _ in range(100)]
    await fill(bus, players)
    histories = Histories(bus, tasks, patience_s=60)
    here = set(players[:50])
    before = unread()
    asked = [
        asyncio.create_task(
            histories.get(PlayerId(player), 1, 1 << 20, wanted=lambda player=player: player in here, patient=True)
        )
        for player in players
    ]
    async with asyncio.timeout(20):
        found = await asyncio.gather(*asked)
    assert [len(each) for each in found] == [_MISSED] * 50 + [0] * 50
    assert unread() - before == 50


async def test_who_would_have_to_wait_too_long_is_told_at_once_when_to_come_and_not_all_at_the_same_time(
    bus: Bus, tasks: Tasks, unique_player: Callable[[], str]
) -> None:
    await prepare_streams(bus)
    histories = Histories(bus, tasks, patience_s=0)
    waiting = asyncio.create_task(
        histories.get(PlayerId(unique_player()), 1, 1 << 40, wanted=lambda: True, patient=True)
    )
    crowd = [
        asyncio.create_task(histories.get(PlayerId(unique_player()), 1, 1 << 40, wanted=lambda: True, patient=True))
        for _ in range(40)
    ]
    await asyncio.sleep(0)
    after = set[float]()
    for _ in range(20):
        with pytest.raises(Crowded) as crowded:
            await histories.get(PlayerId(unique_player()), 1, 10, wanted=lambda: True, patient=False)
        after.add(round(crowded.value.after_s, 3))
    assert len(after) > 10, "spread"
    async with asyncio.timeout(20):
        await asyncio.gather(waiting, *crowd)


class CountedRequests:
    """Counts what is asked of JetStream over a bus while it is in place."""

    def __init__(self, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        ask = bus.request_many

        async def counted(
            subject: str, payload: bytes, *, until: Callable[[Message], bool], timeout_s: float
        ) -> list[Message]:
            self.count += 1
            return await ask(subject, payload, until=until, timeout_s=timeout_s)

        monkeypatch.setattr(bus, "request_many", counted)


async def all_of(histories: Histories, bus: Bus, players: list[str], low: int) -> list[list[Push]]:
    """All of them at once, from `low` up to what is stored of each by now."""
    names = [PlayerId(player) for player in players]
    last = await last_seqs(bus, names)
    asked = [histories.get(name, low, last[name], wanted=lambda: True, patient=True) for name in names]
    async with asyncio.timeout(30):
        return await asyncio.gather(*asked)


def is_whole(pushes: list[Push], count: int) -> bool:
    """Whether these are `count` pushes of one player, each once and in order."""
    seqs = [push.seq for push in pushes]
    return len(seqs) == count and seqs == sorted(set(seqs))


async def test_who_comes_after_a_reading_for_many_is_served_from_memory_and_only_what_is_new_is_read(
    bus: Bus, tasks: Tasks, unique_player: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await prepare_streams(bus)
    low = (await read_feed(bus)).last_seq + 1
    early, late = ([unique_player() for _ in range(60)] for _ in range(2))
    await fill(bus, late + early)
    histories = Histories(bus, tasks, patience_s=60)
    assert all(is_whole(each, _MISSED) for each in await all_of(histories, bus, early, low))

    last = await last_seqs(bus, [PlayerId(player) for player in late])
    requests = CountedRequests(bus, monkeypatch)
    for player, end in last.items():
        got = await histories.get(player, low, end, wanted=lambda: True, patient=False)
        assert is_whole(got, _MISSED)
    assert requests.count == 0, "all of it had been read"

    await fill(bus, late)
    requests.count = 0
    assert all(is_whole(each, 2 * _MISSED) for each in await all_of(histories, bus, late, low))
    assert requests.count < 15, "what was stored since is read once, but for the few who came first"


async def test_what_was_read_of_a_stream_that_may_be_another_one_by_now_serves_nobody(
    bus: Bus, tasks: Tasks, unique_player: Callable[[], str]
) -> None:
    await prepare_streams(bus)
    low = (await read_feed(bus)).last_seq + 1
    players = [unique_player() for _ in range(60)]
    await fill(bus, players)
    histories = Histories(bus, tasks, patience_s=60)
    await all_of(histories, bus, players, low)
    end = (await last_seqs(bus, [PlayerId(players[0])]))[PlayerId(players[0])]
    assert histories.at_hand(PlayerId(players[0]), low, end) is not None
    histories.forget()
    assert histories.at_hand(PlayerId(players[0]), low, end) is None
    assert is_whole((await all_of(histories, bus, players, low))[0], _MISSED)


@pytest.mark.parametrize("max_bytes", [100_000, 40_000, 2_000])
async def test_memory_is_bounded_and_everybody_is_served_all_the_same(
    bus: Bus, tasks: Tasks, unique_player: Callable[[], str], max_bytes: int
) -> None:
    """300 pushes of about 500 bytes each are more than all of these bounds allow to hold."""
    await prepare_streams(bus)
    low = (await read_feed(bus)).last_seq + 1
    players = [unique_player() for _ in range(60)]
    await fill(bus, players)
    histories = Histories(bus, tasks, patience_s=60, max_bytes=max_bytes)
    got = await all_of(histories, bus, players, low)
    assert all(is_whole(each, _MISSED) for each in got)
    end = (await last_seqs(bus, [PlayerId(players[0])]))[PlayerId(players[0])]
    assert histories.at_hand(PlayerId(players[0]), low, end) is None, "the oldest had to go"
