"""Through a leaf node to the JetStream of its hub, which has a domain of its own: STARWAKE_NATS_JETSTREAM_DOMAIN."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from starwake.bus.alarm_consumer import ConsumerLag, read_lag
from starwake.bus.alarms import AlarmConsumer, Alarms, DueAlarm
from starwake.bus.connection import Bus
from starwake.bus.errors import NoResponders
from starwake.bus.feed import read_feed, read_pushes
from starwake.bus.jetstream import ask, stream_info
from starwake.bus.options import options_from
from starwake.bus.provision import provision
from starwake.bus.publish import JetStreamPublisher
from starwake.bus.revocations import parse_revocation, publish_revocation, read_revocations
from starwake.bus.streams import TIMERS
from starwake.cli.embedded.nats import nats_server_binary
from starwake.cli.embedded.ports import free_ports
from starwake.contracts import subjects
from starwake.contracts.alarms import Alarm
from starwake.contracts.ids import PlayerId, Revision, new_id
from starwake.contracts.subjects import AlarmKey
from starwake.runtime.settings import BusSettings
from tests.support.eventually import eventually
from tests.support.nats import NatsAddress
from tests.support.players import unique_player


@asynccontextmanager
async def server(directory: Path, name: str, config: str) -> AsyncGenerator[None]:
    path = directory / f"{name}.conf"
    store = f'store_dir: "{directory / name}"'
    path.write_text(f"server_name: {name}\njetstream {{ domain: {name}, {store} }}\n{config}\n")
    process = await asyncio.create_subprocess_exec(
        str(nats_server_binary()), "-c", str(path), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def connect(url: str, domain: str | None) -> Bus:
    settings = BusSettings(nats_url=url, nats_jetstream_domain=domain)
    return await Bus.connect(options_from(settings, name="test"), timeout_s=20)


@pytest.fixture
async def hub_and_leaf(tmp_path: Path) -> AsyncIterator[tuple[Bus, Bus]]:
    """A connection to the hub itself, and one to the leaf node that asks for the hub's domain."""
    hub, joint, leaf = free_ports(3)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            server(tmp_path, "hub", f'listen: "127.0.0.1:{hub}"\nleafnodes {{ listen: "127.0.0.1:{joint}" }}')
        )
        remote = f'remotes: [ {{ url: "nats://127.0.0.1:{joint}" }} ]'
        await stack.enter_async_context(
            server(tmp_path, "leaf", f'listen: "127.0.0.1:{leaf}"\nleafnodes {{ {remote} }}')
        )
        buses = [await connect(f"nats://127.0.0.1:{hub}", None), await connect(f"nats://127.0.0.1:{leaf}", "hub")]
        for bus in buses:
            stack.push_async_callback(bus.close)

        async def joined() -> bool:
            try:
                return (await ask(buses[1], "INFO"))["domain"] == "hub"
            except NoResponders:
                return False

        await eventually(joined, within_s=20)
        yield buses[0], buses[1]


async def test_everything_goes_to_the_streams_of_the_domain(hub_and_leaf: tuple[Bus, Bus]) -> None:
    hub, leaf = hub_and_leaf
    await provision(leaf, 1)
    assert await stream_info(hub, TIMERS) is not None
    player, publisher = PlayerId(unique_player()), JetStreamPublisher(leaf)
    await publisher.publish(subjects.notify(player), b"{}", timeout_s=10)
    assert (await read_feed(leaf)).last_seq == (await read_feed(hub)).last_seq == 1
    assert [push.seq for push in await read_pushes(leaf, player, 0)] == [1]
    now = datetime.now(UTC).replace(microsecond=0)
    await publish_revocation(leaf, player, now)
    assert parse_revocation((await read_revocations(leaf, [player]))[player]) == now

    alarms = Alarms(leaf, publisher)
    far = Alarm(AlarmKey("build", new_id(), Revision(1)), now + timedelta(hours=1), b"{}")
    near = Alarm(AlarmKey("build", new_id(), Revision(1)), now + timedelta(seconds=2), b"{}")
    assert await alarms.arm([far, near]) == ["armed", "armed"]
    assert {key for part in [part async for part in alarms.pending()] for key in part.keys} >= {far.key}
    fired: list[DueAlarm] = []

    async def acknowledge(batch: list[DueAlarm]) -> None:
        for alarm in batch:
            fired.append(alarm)
            alarm.ack()

    consuming = asyncio.create_task(AlarmConsumer(leaf, expires_s=2, heartbeat_s=0.5).run(acknowledge))
    try:
        await eventually(lambda: fired, within_s=20)
        assert [(alarm.key, alarm.delivered) for alarm in fired] == [(near.key, 1)]

        async def acknowledged() -> bool:
            return await read_lag(hub) == ConsumerLag(0, 0)

        await eventually(acknowledged, within_s=10)
    finally:
        consuming.cancel()
        await asyncio.wait([consuming])


async def test_a_domain_that_is_not_there_is_named(nats_server: NatsAddress) -> None:
    bus = await connect(nats_server.url, "mars")
    try:
        with pytest.raises(NoResponders, match="domain mars"):
            await ask(bus, "INFO")
    finally:
        await bus.close()
