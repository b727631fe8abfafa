"""Peers that do not read: closed, freed, a delay to nobody else, and nothing is lost to them."""

import asyncio
import statistics
from collections.abc import Callable

import psutil

from tests.contract.gateway.conftest import Gateway, StartGateway
from tests.contract.gateway.raw import CountingClient
from tests.support.eventually import eventually

Names = Callable[[], str]
TEXT = "x" * 4000


async def stalled_client(gateway: Gateway, player: str) -> CountingClient:
    """A live client that reads no more."""
    client = await CountingClient.connect(gateway.process.port, gateway.token(player), receive_buffer=4096)
    client.transport.pause_reading()
    return client


async def closed_as_slow(gateway: Gateway) -> float:
    return (await gateway.process.metrics()).get('starwake_gateway_disconnects_total{code="4008"}', 0)


async def test_a_write_that_is_stuck_ends_the_session_and_a_resume_gives_everything(
    start_gateway: StartGateway, unique_player: Names
) -> None:
    gateway = await start_gateway(STARWAKE_STUCK_WRITE_S="0.5")
    player = unique_player()
    before = await gateway.connect(player)
    stalled = await stalled_client(gateway, player)
    seqs = [await gateway.push(player, text=TEXT) for _ in range(100)]
    got = [await before.frame() for _ in range(100)]
    assert [push["seq"] for push in got] == seqs
    await eventually(lambda: closed_as_slow(gateway))
    hello = before.hello
    position = {"epoch": hello["epoch"], "seq": 0, "all": hello["all"], "at": hello["server_time"]}
    back = await gateway.connect(player, resume=position)
    assert [(await back.frame())["seq"] for _ in range(100)] == seqs
    stalled.transport.abort()


async def test_too_many_pushes_or_bytes_that_wait_end_the_session(
    start_gateway: StartGateway, unique_player: Names
) -> None:
    gateway = await start_gateway(STARWAKE_MAX_OUTBOX_PUSHES="20", STARWAKE_STUCK_WRITE_S="60")
    player = unique_player()
    stalled = await stalled_client(gateway, player)
    for _ in range(120):
        await gateway.push(player, text=TEXT)
    # It is told so behind all that waits; as it does not read that either, it is cut off.
    await eventually(lambda: closed_as_slow(gateway), within_s=15)
    stalled.transport.abort()


async def test_a_reader_that_is_slow_but_reads_is_not_stuck(start_gateway: StartGateway, unique_player: Names) -> None:
    gateway = await start_gateway(STARWAKE_STUCK_WRITE_S="1.5")
    player = unique_player()
    client = await stalled_client(gateway, player)
    for _ in range(100):
        await gateway.push(player, text=TEXT)
    while client.frames < 101:
        client.transport.resume_reading()
        await asyncio.sleep(0.01)
        client.transport.pause_reading()
        await asyncio.sleep(0.05)
        assert not client.closed
    assert await closed_as_slow(gateway) == 0
    client.transport.abort()


async def test_200_stalled_clients_among_2000_cost_the_others_neither_time_nor_memory(
    start_gateway: StartGateway, unique_player: Names
) -> None:
    gateway = await start_gateway(
        STARWAKE_CONNECTIONS_PER_PLAYER="1000", STARWAKE_STUCK_WRITE_S="1", STARWAKE_LOG_LEVEL="warning"
    )
    process = psutil.Process(gateway.process.pid)
    slow, names = unique_player(), [unique_player() for _ in range(18)]
    healthy: list[CountingClient] = []
    for _ in range(100):
        healthy += await asyncio.gather(
            *(CountingClient.connect(gateway.process.port, gateway.token(name)) for name in names)
        )
    stalled = [await stalled_client(gateway, slow) for _ in range(200)]
    idle_bytes = process.memory_info().rss

    async def round_trip(number: int) -> float:
        """From a push's storing to the last of 100 sockets that it goes to."""
        name = names[number % len(names)]
        mine = healthy[number % len(names) :: len(names)]
        before = [client.frames for client in mine]
        begun = asyncio.get_running_loop().time()
        await gateway.push(name)
        await eventually(lambda: all(c.frames > n for c, n in zip(mine, before, strict=True)), every_s=0.001)
        return max(client.last_at for client in mine) - begun

    calm = [await round_trip(number) for number in range(20)]
    peak_bytes, delays = idle_bytes, list[float]()
    for number in range(60):
        for _ in range(5):
            await gateway.push(slow, text=TEXT)
        delays.append(await round_trip(number))
        peak_bytes = max(peak_bytes, process.memory_info().rss)
    await eventually(lambda: all_closed(gateway), within_s=20)

    print(  # noqa: T201 - figures for whoever runs it with -s
        f"calm p50 {statistics.median(calm) * 1000:.1f} ms, "
        f"beside 200 stalled p50 {statistics.median(delays) * 1000:.1f} ms, max {max(delays) * 1000:.1f} ms; "
        f"memory {idle_bytes >> 20} MiB, peak {peak_bytes >> 20} MiB"
    )
    assert not any(client.closed for client in healthy)
    # 200 outboxes of at most 1 MiB, and no more than that.
    assert peak_bytes - idle_bytes < 256 * 1024 * 1024
    assert statistics.median(delays) < statistics.median(calm) + 0.25
    for client in (*healthy, *stalled):
        client.transport.abort()


async def all_closed(gateway: Gateway) -> bool:
    return await closed_as_slow(gateway) == 200
