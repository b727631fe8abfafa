"""Pushes: every socket gets each once and in order, over reconnects, holes, lost buses and other epochs."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from starwake.bus.connection import Bus, BusOptions
from starwake.bus.feed import read_feed
from starwake.bus.jetstream import ask
from starwake.contracts import subjects
from starwake.contracts.ids import PlayerId
from tests.contract.gateway.conftest import Gateway, Player, StartGateway, prepare_streams
from tests.contract.gateway.raw import CountingClient, RawSocket, handshake
from tests.support.eventually import eventually
from tests.support.nats import LocalNats, NatsAddress

Names = Callable[[], str]


def position(player: Player, seq: int | None = None, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Where a client stands after its hello, or after the push `seq`."""
    hello = player.hello
    moved = {"epoch": hello["epoch"], "seq": hello["seq"] if seq is None else seq, "all": hello["all"]}
    return {**moved, "at": hello["server_time"], **changes}


async def pushes(player: Player, count: int) -> list[dict[str, Any]]:
    got = [await player.frame() for _ in range(count)]
    assert all(frame["type"] == "push" for frame in got), got
    return got


def assert_chained(frames: list[dict[str, Any]], seqs: list[int], start: int) -> None:
    assert [frame["seq"] for frame in frames] == seqs
    assert [frame["prev"] for frame in frames] == [start, *seqs[:-1]]


# --- resume ------------------------------------------------------------------------------------------------------


async def test_a_player_without_any_push_resumes_and_gets_what_came_meanwhile(
    gateway: Gateway, unique_player: Names
) -> None:
    player = unique_player()
    ada = await gateway.connect(player)
    await ada.connection.close()
    back = await gateway.connect(player, resume=position(ada))
    assert (back.hello["recovered"], back.hello["seq"]) == (True, 0)
    await back.connection.close()
    seq = await gateway.push(player)
    again = await gateway.connect(player, resume=position(ada, at=None))
    assert (again.hello["recovered"], again.hello["seq"]) == (True, seq)
    assert_chained(await pushes(again, 1), [seq], 0)


async def test_resume_in_the_first_frame_works_like_resume_in_the_header(
    gateway: Gateway, unique_player: Names
) -> None:
    player = unique_player()
    ada = await gateway.connect(player)
    seqs = [await gateway.push(player) for _ in range(3)]
    back = await gateway.open()
    args = {"token": gateway.token(player), "resume": position(ada, seqs[0])}
    await back.send({"id": "1", "command": "auth", "args": args})
    hello = await back.frame()
    assert (hello["recovered"], hello["seq"]) == (True, seqs[-1])
    assert_chained(await pushes(back, 2), seqs[1:], seqs[0])


async def test_256_missed_pushes_are_replayed_and_one_more_is_too_many(gateway: Gateway, unique_player: Names) -> None:
    player = unique_player()
    ada = await gateway.connect(player)
    seqs = [await gateway.push(player) for _ in range(257)]
    back = await gateway.connect(player, resume=position(ada, seqs[0], at=None))
    assert back.hello["recovered"] is True
    assert_chained(await pushes(back, 256), seqs[1:], seqs[0])

    newest = await gateway.push(player)
    late = await gateway.connect(player, resume=position(ada, seqs[0]))
    assert (late.hello["recovered"], late.hello["seq"]) == (False, newest)
    live = await gateway.push(player)
    assert_chained(await pushes(late, 1), [live], newest)


@pytest.mark.parametrize("changes", [{"epoch": "another"}, {"seq": 1 << 40}, {"all": 1 << 40}])
async def test_a_position_that_was_never_handed_out_is_not_recovered_and_replays_nothing(
    gateway: Gateway, unique_player: Names, changes: dict[str, Any]
) -> None:
    player = unique_player()
    ada = await gateway.connect(player)
    missed = await gateway.push(player)
    await gateway.push(None)
    await pushes(ada, 2)
    back = await gateway.connect(player, resume=position(ada, **changes))
    assert (back.hello["recovered"], back.hello["seq"]) == (False, missed)
    live = await gateway.push(player)
    assert_chained(await pushes(back, 1), [live], missed)


async def test_announcements_to_everybody_are_resumed_too_in_the_streams_order(
    gateway: Gateway, unique_player: Names
) -> None:
    player = unique_player()
    ada = await gateway.connect(player)
    await ada.connection.close()
    expected: list[tuple[str | None, int]] = [
        ("all", await gateway.push(None, "dragons.inbound")),
        (None, await gateway.push(player)),
        ("all", await gateway.push(None, "dragons.arrived")),
    ]
    back = await gateway.connect(player, resume=position(ada))
    got = await pushes(back, 3)
    assert [(push.get("feed"), push["seq"]) for push in got] == expected
    assert got[2]["prev"] == got[0]["seq"]
    assert (back.hello["seq"], back.hello["all"]) == (expected[1][1], expected[2][1])


async def test_an_announcement_reaches_every_player(gateway: Gateway, unique_player: Names) -> None:
    players = [await gateway.connect(unique_player()) for _ in range(3)]
    seq = await gateway.push(None, "dragons.arrived", event_id="e")
    for player in players:
        (push,) = await pushes(player, 1)
        assert (push["feed"], push["seq"], push["prev"]) == ("all", seq, player.hello["all"])


async def test_a_resume_while_pushes_keep_coming_has_no_hole_and_no_double(
    gateway: Gateway, unique_player: Names
) -> None:
    player = unique_player()
    ada = await gateway.connect(player)
    told: list[int] = []

    async def tell() -> None:
        for _ in range(200):
            told.append(await gateway.push(player))  # noqa: PERF401 - read while it grows

    telling = asyncio.create_task(tell())
    chain = [0]
    here = position(ada)
    while len(chain) <= 200:
        back = await gateway.connect(player, resume={**here, "seq": chain[-1]})
        assert back.hello["recovered"] is True
        for push in await pushes(back, min(20, 201 - len(chain))):
            assert push["prev"] == chain[-1]
            chain.append(push["seq"])
        await back.connection.close()
    await telling
    assert chain[1:] == told


async def test_many_sockets_of_one_player_join_while_pushes_come_and_all_end_up_with_the_same_chain(
    gateway: Gateway, unique_player: Names
) -> None:
    player = unique_player()
    stop = asyncio.Event()
    told: list[int] = []

    async def tell() -> None:
        while not stop.is_set():
            told.append(await gateway.push(player))

    telling = asyncio.create_task(tell())
    sockets = await asyncio.gather(*(gateway.connect(player) for _ in range(15)))
    stop.set()
    await telling
    last = await gateway.push(player)
    for socket in sockets:
        seq = socket.hello["seq"]
        while seq != last:
            (push,) = await pushes(socket, 1)
            assert push["prev"] == seq
            seq = push["seq"]


async def test_a_players_subscription_ends_with_the_last_session(
    gateway: Gateway, nats_server: NatsAddress, unique_player: Names
) -> None:
    player = unique_player()
    token = gateway.token(player)

    async def come_and_go(delay_s: float) -> None:
        raw = await RawSocket.open(gateway.process.port)
        raw.writer.write(handshake(token))
        await asyncio.sleep(delay_s)
        raw.writer.transport.abort()
        raw.close()

    await asyncio.gather(*(come_and_go(number / 2000) for number in range(60)))
    ada = await gateway.connect(player)

    async def subscribed() -> int:
        async with httpx.AsyncClient(trust_env=False) as http:
            connections = (await http.get(f"{nats_server.monitor_url}/connz?subs=1")).json()["connections"]
        return sum(each.get("subscriptions_list", []).count(f"push.player.{player}") for each in connections)

    await eventually_equal(subscribed, 1)
    await ada.connection.close()
    await eventually_equal(subscribed, 0)


async def eventually_equal(count: Callable[[], Awaitable[int]], expected: int) -> None:
    async def is_equal() -> bool:
        assert await count() == expected
        return True

    await eventually(is_equal)


async def test_5000_players_resume_at_once_and_each_gets_what_it_missed(
    start_gateway: StartGateway, unique_player: Names
) -> None:
    """What happens to a gateway when another one has died."""
    gateway = await start_gateway(STARWAKE_LOG_LEVEL="warning", STARWAKE_AUTHENTICATION_S="60")
    hello = (await gateway.connect(unique_player())).hello
    names = [unique_player() for _ in range(5000)]
    missed = names[::10]
    for name in missed:
        await gateway.push(name)
    position = json.dumps({"epoch": hello["epoch"], "seq": 0, "all": hello["all"], "at": hello["server_time"]})
    begun = time.monotonic()
    clients = await asyncio.gather(
        *(CountingClient.connect(gateway.process.port, gateway.token(name), resume=position) for name in names)
    )
    print(f"5,000 resumed within {time.monotonic() - begun:.2f} s")  # noqa: T201 - for whoever runs it with -s
    await eventually(lambda: sum(client.pushes for client in clients) == len(missed))
    counted = await gateway.process.metrics()
    assert counted['starwake_gateway_resumes_total{recovered="true"}'] == 5000
    assert [client.pushes for client in clients] == ([1] + [0] * 9) * 500
    for client in clients:
        client.transport.abort()


# --- the bus goes away -------------------------------------------------------------------------------------------


@pytest.fixture
async def fragile(start_gateway: StartGateway, fresh_nats: LocalNats) -> AsyncIterator[Gateway]:
    """A gateway on a NATS server that the test may kill."""
    bus = await Bus.connect(BusOptions(url=fresh_nats.url, name="test"))
    await prepare_streams(bus)
    yield await start_gateway(on=bus, STARWAKE_NATS_URL=fresh_nats.url)
    await bus.close()


async def test_while_the_bus_is_away_sockets_stay_and_commands_are_unavailable_and_then_the_feed_is_refilled(
    fragile: Gateway, fresh_nats: LocalNats, unique_player: Names
) -> None:
    player = unique_player()
    ada = await fragile.connect(player)
    first = await fragile.push(player)
    await fresh_nats.kill()
    assert (await pushes(ada, 1))[0]["seq"] == first
    assert (await ada.ask("build.list"))["error"]["code"] == "unavailable"
    await eventually(lambda: not_ready(fragile))

    await fresh_nats.start()
    # Its own connection, at once: the gateway's is still away when this is stored, so nothing of it comes live.
    fast = await Bus.connect(BusOptions(url=fresh_nats.url, name="test"))
    missed = [await Gateway(fragile.process, fast, fragile.sockets).push(player) for _ in range(3)]
    assert_chained(await pushes(ada, 3), missed, first)
    await eventually(fragile.process.is_ready)
    announced = await Gateway(fragile.process, fast, fragile.sockets).push(None)
    assert (await pushes(ada, 1))[0]["seq"] == announced
    await fast.close()


async def not_ready(gateway: Gateway) -> bool:
    return await gateway.process.get("/readyz") == 503


async def test_pushes_stored_across_repeated_kills_reach_a_socket_once_and_in_order(
    fragile: Gateway, fresh_nats: LocalNats, unique_player: Names
) -> None:
    player = unique_player()
    ada = await fragile.connect(player)
    told: list[int] = []
    for _ in range(4):
        bus = await Bus.connect(BusOptions(url=fresh_nats.url, name="test"))
        teller = Gateway(fragile.process, bus, fragile.sockets)
        told.extend([await teller.push(player) for _ in range(20)])
        await fresh_nats.kill()
        await fresh_nats.start()
        await bus.close()
    chain = [0]
    while chain[-1] != told[-1]:
        (push,) = await pushes(ada, 1)
        assert push["prev"] == chain[-1]
        chain.append(push["seq"])
    assert chain[1:] == told


async def test_another_epoch_ends_sessions_with_4010_and_resume_is_not_recovered(
    fragile: Gateway, fresh_nats: LocalNats, unique_player: Names
) -> None:
    player = unique_player()
    ada = await fragile.connect(player)
    seq = await fragile.push(player)
    await pushes(ada, 1)
    await fresh_nats.stop()
    fresh_nats.lose_store()
    await fresh_nats.start()
    bus = await Bus.connect(BusOptions(url=fresh_nats.url, name="test"))
    await prepare_streams(bus)
    assert await ada.closed() == 4010
    await eventually(fragile.process.is_ready)
    back = await fragile.connect(player, resume=position(ada, seq))
    assert back.hello["recovered"] is False
    assert back.hello["epoch"] == (await read_feed(bus)).epoch != ada.hello["epoch"]
    await bus.close()


async def test_an_epoch_that_begins_while_the_bus_stays_up_is_noticed_too(
    fragile: Gateway, unique_player: Names
) -> None:
    player = unique_player()
    ada = await fragile.connect(player)
    for _ in range(3):
        await fragile.push(player)
    await pushes(ada, 3)
    await ask(fragile.bus, "STREAM.DELETE.NOTIFICATIONS", {})
    await prepare_streams(fragile.bus)
    await fragile.push(player)  # its sequence is one that was handed out before
    assert await ada.closed() == 4010


async def test_a_gateway_may_start_before_the_stream_and_its_epoch_are_there(
    start_gateway: StartGateway, fresh_nats: LocalNats, unique_player: Names
) -> None:
    bus = await Bus.connect(BusOptions(url=fresh_nats.url, name="test"))
    gateway = await start_gateway(on=bus, until_ready=False, STARWAKE_NATS_URL=fresh_nats.url)
    assert await not_ready(gateway)
    joining = asyncio.create_task(gateway.connect(unique_player()))
    await prepare_streams(bus)
    assert (await joining).hello["epoch"] == (await read_feed(bus)).epoch
    await bus.close()


async def test_a_gateway_may_start_before_nats(
    start_gateway: StartGateway, fresh_nats: LocalNats, unique_player: Names
) -> None:
    await fresh_nats.stop()
    gateway = await start_gateway(until_ready=False, STARWAKE_NATS_URL=fresh_nats.url)
    await fresh_nats.start()
    bus = await Bus.connect(BusOptions(url=fresh_nats.url, name="test"))
    await prepare_streams(bus)
    await eventually(gateway.process.is_ready)
    assert (await gateway.connect(unique_player())).hello["seq"] == 0
    await bus.close()


async def test_a_hole_in_the_live_feed_is_filled(fragile: Gateway, unique_player: Names) -> None:
    """A republished message that got lost on the way: the stream's republishing is switched off for one push."""
    player = unique_player()
    ada = await fragile.connect(player)
    first = await fragile.push(player)
    lost = await push_unheard(fragile, player)
    third = await fragile.push(player)
    assert_chained(await pushes(ada, 3), [first, lost, third], 0)
    assert (await fragile.process.metrics())["starwake_gateway_feed_holes_total"] >= 1


async def test_who_was_told_more_by_another_gateway_is_recovered_by_one_that_has_not_heard_of_it(
    fragile: Gateway, unique_player: Names
) -> None:
    """As one that was frozen, or is cut off and does not know it yet."""
    player = unique_player()
    ada = await fragile.connect(player)
    announced = await push_unheard(fragile, None)
    back = await fragile.connect(player, resume=position(ada, all=announced))
    assert (back.hello["recovered"], back.hello["all"]) == (True, announced)
    following = await fragile.push(None)
    (push,) = await pushes(back, 1)
    assert (push["seq"], push["prev"]) == (following, announced)
    assert_chained(await pushes(ada, 2), [announced, following], 0)


async def push_unheard(gateway: Gateway, player: str | None) -> int:
    """Store a push while the stream's republishing is switched off; its sequence."""
    config = (await ask(gateway.bus, "STREAM.INFO.NOTIFICATIONS", {}))["config"]
    await ask(gateway.bus, "STREAM.UPDATE.NOTIFICATIONS", {k: v for k, v in config.items() if k != "republish"})
    seq = await gateway.push(player)
    await ask(gateway.bus, "STREAM.UPDATE.NOTIFICATIONS", config)
    return seq


async def test_a_push_of_any_contents_is_passed_through(gateway: Gateway, unique_player: Names) -> None:
    player = unique_player()
    ada = await gateway.connect(player)
    body = json.dumps({"event": "game.says", "at": "not a time", "data": {"text": "★\u2028\x7f", "n": [1, {}]}})
    await gateway.bus.request(subjects.notify(PlayerId(player)), body.encode(), timeout_s=5)
    (push,) = await pushes(ada, 1)
    assert push["data"] == {"text": "★\u2028\x7f", "n": [1, {}]}
