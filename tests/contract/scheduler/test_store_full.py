"""The disk of the streams is full: builds still end on time in the table, and are told as soon as there is room."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import pytest
from typing_extensions import override

from starwake.bus.errors import JetStreamError
from starwake.bus.jetstream import ask
from starwake.bus.publish import JetStreamPublisher
from starwake.bus.streams import NOTIFICATIONS
from starwake.cli.embedded.nats import NatsServer
from tests.contract.scheduler.conftest import StartScheduler
from tests.contract.scheduler.universe import Universe
from tests.support.eventually import eventually
from tests.support.nats import LocalNats
from tests.support.players import unique_player

_JUNK = "notify.player.junk"


class SmallNats(NatsServer):
    """A server that may keep 4 MB on its disk."""

    @override
    def _config(self, store: Path) -> str:
        return super()._config(store).replace("sync_interval:", "max_file_store: 4MB, sync_interval:")


@pytest.fixture
async def fresh_nats(tmp_path: Path) -> AsyncIterator[LocalNats]:
    """Takes the place of the ordinary one."""
    server = LocalNats(tmp_path)
    server._server = SmallNats(**asdict(server._server))  # pyright: ignore[reportPrivateUsage]
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def test_with_the_streams_disk_full_builds_end_on_time_and_are_told_once_there_is_room(
    universe: Universe, scheduler: StartScheduler
) -> None:
    await scheduler()
    player = unique_player()
    builds = [await universe.build(player, 4.0 + n / 10) for n in range(5)]
    await eventually(lambda: _told(universe, player, 5))
    await _fill_up(universe)
    unarmed = await universe.build(player, 1.0, armed=False)
    builds.append(unarmed)

    async def all_completed() -> bool:
        rows = await universe.sql("SELECT state FROM build")
        return {row["state"] for row in rows} == {"completed"}

    await eventually(all_completed)
    assert await universe.events(player) == ["build.started"] * 5, "there is no room to tell anything"

    await ask(universe.bus, f"STREAM.PURGE.{NOTIFICATIONS}", {"filter": _JUNK})
    await universe.completed(*builds, within_s=15)
    await universe.outbox_empty()
    pushes = await universe.pushes(player)
    for build in builds:
        own = [push.message_id for push in pushes if push.message_id.startswith(build.id)]
        assert own == [f"{build.id}.1", f"{build.id}.2"]


async def _told(universe: Universe, player: str, count: int) -> bool:
    return len(await universe.events(player)) == count


async def _fill_up(universe: Universe) -> None:
    publisher = JetStreamPublisher(universe.bus)
    for size in (100_000, 1_000, 100):
        await _until_refused(publisher, size)


async def _until_refused(publisher: JetStreamPublisher, size: int) -> None:
    for _ in range(100):
        try:
            await publisher.publish(_JUNK, b"x" * size)
        except JetStreamError:
            return
    pytest.fail("there is still room")
