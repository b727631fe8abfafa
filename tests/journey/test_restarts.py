"""The whole stack goes down and comes back: what was ordered before ends as ordered, and its player hears of it."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from starwake.client import Build, Position, Starwake
from starwake.client.errors import SessionEnded
from tests.support.eventually import eventually
from tests.support.players import unique_player
from tests.support.stack import Stack

# Six hundred times faster than the catalogue: a greenhouse takes 6 s, a habitat 18 s, an observatory 48 s.
OPTIONS = ("--no-durable", "--time-scale", "600")


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="starwake-restarts-"))
    path.chmod(0o711)  # Postgres runs as another user where the tests run as root
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
async def own_stack(directory: Path) -> AsyncIterator[Stack]:
    """A stack of this test's own, which it may stop, rob and start again."""
    stack = Stack(directory, *OPTIONS)
    await stack.start()
    yield stack
    if stack.exit_code is None:
        await stack.stop()


async def order(stack: Stack, player: str, *kinds: str) -> tuple[list[Build], Position]:
    """Order these kinds, each on a site of its own; the builds, and the position after hearing that they started."""
    async with Starwake.connect(stack.ws_url, token=stack.token(player)) as session:
        builds = [await session.build_start(kind, f"site-{number}") for number, kind in enumerate(kinds)]
        heard = 0
        async for push in session.events():
            heard += push.event == "build.started"
            if heard == len(kinds):
                break
        position = session.position
    assert position is not None
    return builds, position


async def completed(stack: Stack, player: str, count: int, resume: Position | None = None) -> dict[str, datetime]:
    """When each of `count` completions was heard, by build id; fails where one is told twice."""
    heard: dict[str, datetime] = {}
    async with Starwake.connect(stack.ws_url, token=stack.token(player), resume=resume, open_timeout_s=30) as session:
        async for push in session.events():
            if push.event == "build.completed":
                build = push.data["build"]["id"]
                assert build not in heard
                heard[build] = datetime.now(UTC)
            if len(heard) == count:
                break
    return heard


async def state_of(stack: Stack, player: str, state: str) -> set[str]:
    async with Starwake.connect(stack.ws_url, token=stack.token(player), open_timeout_s=30) as session:
        return {build.id async for build in session.builds() if build.state == state}


async def test_what_came_due_while_all_was_down_completes_at_once_and_is_heard_by_resume(own_stack: Stack) -> None:
    player = unique_player()
    builds, position = await order(own_stack, player, "greenhouse", "habitat")
    due_while_down, due_later = builds
    await own_stack.stop()

    async def is_overdue() -> bool:
        return datetime.now(UTC) > due_while_down.due_at

    await eventually(is_overdue, within_s=15)
    await own_stack.start()
    assert due_while_down.id in await state_of(own_stack, player, "completed")
    heard = await completed(own_stack, player, 2, resume=position)
    # In no order: what is told just in time goes before what is long overdue.
    assert heard.keys() == {due_while_down.id, due_later.id}
    assert heard[due_later.id] >= due_later.due_at


async def test_with_the_jetstream_store_deleted_every_pending_build_still_completes_on_time(own_stack: Stack) -> None:
    player = unique_player()
    builds, position = await order(own_stack, player, "observatory", "observatory", "observatory")
    await own_stack.stop()
    shutil.rmtree(own_stack.data / "nats" / "jetstream")
    await own_stack.start()
    async with Starwake.connect(own_stack.ws_url, token=own_stack.token(player)) as session:
        assert session.position is not None
        assert session.position.epoch != position.epoch, "the feed was lost, so its counting begins anew"
        assert session.now() < builds[0].due_at, "the start took so long that there is nothing left to see"
        heard: dict[str, datetime] = {}
        async for push in session.events():
            heard[push.data["build"]["id"]] = datetime.now(UTC)
            assert push.event == "build.completed"
            if len(heard) == len(builds):
                break
    for build in builds:
        assert heard[build.id] >= build.due_at
        # The alarm was armed anew from the table; were it only the sweep's, or a later start's, this would be seconds.
        assert (heard[build.id] - build.due_at).total_seconds() < 1


async def test_a_revoked_token_stays_refused_with_the_jetstream_store_deleted(own_stack: Stack) -> None:
    player = unique_player()
    token = own_stack.token(player)
    async with Starwake.connect(own_stack.ws_url, token=token):
        pass
    process = await asyncio.create_subprocess_exec(*own_stack.run("revoke", player))
    assert await asyncio.wait_for(process.wait(), 60) == 0
    await own_stack.stop()
    shutil.rmtree(own_stack.data / "nats" / "jetstream")
    await own_stack.start()
    with pytest.raises(SessionEnded, match="4503"):
        async with Starwake.connect(own_stack.ws_url, token=token):
            pass
    async with Starwake.connect(own_stack.ws_url, token=own_stack.token(player)):
        pass


async def test_an_order_survives_the_kill_of_every_service_in_the_middle(own_stack: Stack) -> None:
    player = unique_player()
    [build], position = await order(own_stack, player, "habitat")
    for part in ("gateway", "command", "scheduler", "nats", "postgres"):
        await own_stack.killed_and_back(part)
    heard = await completed(own_stack, player, 1, resume=position)
    assert heard[build.id] >= build.due_at
