"""Disasters: what was lost or restored old is made consistent by the next start, and the scheduler says what it did."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from libs.cli.embedded.postgres import postgres_programs
from tests.deploy.support.guarded import GuardedStack, Player, guarded_stack, player
from tests.deploy.support.nats import NatsServer, eventually, sign_in, single_server
from tests.deploy.support.postgres import guarded_database
from tests.support.players import unique_player
from tests.support.postgres import LocalPostgres, connect

pytestmark = pytest.mark.timeout(240)

# As the run's server; a dump is read by no older program.
POSTGRES_VERSION = "18"


@pytest.fixture
async def stack(postgres_server: LocalPostgres, tmp_path: Path) -> AsyncIterator[GuardedStack]:
    with single_server(tmp_path) as server:
        async with (
            guarded_database(postgres_server) as database,
            guarded_stack([server], database, tmp_path) as stack,
        ):
            await start(stack)
            yield stack


async def start(stack: GuardedStack) -> None:
    """The services, with builds long enough for a disaster to come in between, and short enough to see the end."""
    await stack.start("scheduler")
    await stack.start("command", {"STARWAKE_TIME_SCALE": "20"})
    await stack.start("gateway")


async def stop(stack: GuardedStack) -> None:
    await stack.stop()
    stack.running.clear()


def url(stack: GuardedStack) -> str:
    return f"ws://127.0.0.1:{stack.running[-1].port}/ws"


async def order(one: Player, sites: list[str], *, longest: bool = False) -> list[dict[str, Any]]:
    """Start the shortest kind, or the longest, on each site."""
    kinds = (await one.command("catalogue.list"))["result"]["kinds"]
    free = sorted((kind for kind in kinds if not kind.get("requires")), key=lambda kind: kind["duration_s"])
    kind = free[-1 if longest else 0]["kind"]
    return [(await one.command("build.start", kind=kind, site=site))["result"]["build"] for site in sites]


async def builds(one: Player) -> dict[str, str]:
    """State by id, as the player sees it."""
    return {b["id"]: b["state"] for b in (await one.command("build.list", limit=100))["result"]["builds"]}


async def mended(stack: GuardedStack) -> dict[str, float]:
    """What reconciliation said that it changed."""
    metrics = await stack.running[0].metrics()
    prefix = 'starwake_scheduler_reconcile_changes_total{kind="'
    changes = {
        name.removeprefix(prefix).rstrip('"}'): value for name, value in metrics.items() if name.startswith(prefix)
    }
    return {kind: value for kind, value in changes.items() if value}


async def stored_pushes(stack: GuardedStack, name: str, expected: int) -> bool:
    """Whether the stream holds this many pushes for a player."""
    operator = await sign_in(server_of(stack), "operator")
    try:
        question = json.dumps({"subjects_filter": f"notify.player.{name}"}).encode()
        answer = await operator.client.request("$JS.API.STREAM.INFO.NOTIFICATIONS", question, timeout=5)
    finally:
        await operator.client.close()
    return json.loads(answer.data)["state"].get("subjects", {}).get(f"notify.player.{name}", 0) == expected


async def all_complete(one: Player, expected: set[str]) -> None:
    async def done() -> bool:
        await asyncio.sleep(0.25)  # a player may ask ten times a second
        states = await builds(one)
        return expected == {build for build, state in states.items() if state == "completed"}

    await eventually(done, 60, "every build of the table completes")


async def epoch_of(stack: GuardedStack, token: str) -> str:
    async with player(url(stack), token) as one:
        return one.hello["epoch"]


def server_of(stack: GuardedStack) -> NatsServer:
    [server] = stack.servers
    return server


async def restart_with_store(stack: GuardedStack, store: Path | None) -> None:
    """NATS dies and comes back with another store, or with none."""
    server = server_of(stack)
    await stop(stack)
    server.kill()
    await asyncio.to_thread(shutil.rmtree, server.directory / "store")
    if store is not None:
        await asyncio.to_thread(shutil.copytree, store, server.directory / "store")
    server.start()
    await asyncio.to_thread(server.wait_until_healthy)
    await start(stack)


async def test_all_of_nats_is_lost_and_every_build_completes_and_is_told(stack: GuardedStack) -> None:
    name = unique_player()
    token = stack.token(name)
    async with player(url(stack), token) as one:
        ordered = await order(one, ["luna-1", "luna-2"])
        position = one.position
    await restart_with_store(stack, None)
    async with player(url(stack), token, position) as one:
        assert one.hello["recovered"] is False
        assert one.hello["epoch"] != position["epoch"]
        await all_complete(one, {build["id"] for build in ordered})
    # Told to the new stream, whoever was connected at that moment: both completions, each once.
    await eventually(lambda: stored_pushes(stack, name, 2), 10, "both completions are stored")
    said = await mended(stack)
    assert {"stream", "epoch"} <= said.keys(), said


async def test_nats_comes_back_with_an_older_store(stack: GuardedStack, tmp_path: Path) -> None:
    token = stack.token(unique_player())
    async with player(url(stack), token) as one:
        first = await order(one, ["luna-1"])
    server = server_of(stack)
    await stop(stack)
    server.kill()
    await asyncio.to_thread(shutil.copytree, server.directory / "store", tmp_path / "old")
    server.start()
    await asyncio.to_thread(server.wait_until_healthy)
    await start(stack)
    async with player(url(stack), token) as one:
        later = await order(one, ["luna-2", "luna-3"])
        await eventually(lambda: len(one.events("build.started")) == 2, 10, "the later orders are told")
        position = one.position
    await restart_with_store(stack, tmp_path / "old")
    async with player(url(stack), token, position) as one:
        assert one.hello["recovered"] is False
        assert one.hello["epoch"] != position["epoch"]
        assert one.hello["seq"] > position["seq"] or one.hello["seq"] == 0
        await all_complete(one, {build["id"] for build in first + later})


async def test_postgres_is_restored_to_a_time_before_the_streams(stack: GuardedStack, tmp_path: Path) -> None:
    token = stack.token(unique_player())
    async with player(url(stack), token) as one:
        kept = await order(one, ["luna-1", "luna-2"])
        dump = tmp_path / "starwake.dump"
        await asyncio.to_thread(run_tool, "pg_dump", stack, f"--file={dump}", "--format=custom")
        forgotten = await order(one, ["luna-3", "luna-4", "luna-5"], longest=True)
    await stop(stack)
    await asyncio.to_thread(run_tool, "pg_restore", stack, "--clean", "--if-exists", str(dump))
    await stack.database.grant()
    await start(stack)
    async with player(url(stack), token) as one:
        assert set(await builds(one)) == {build["id"] for build in kept}
        await all_complete(one, {build["id"] for build in kept})
        again = await order(one, ["luna-3"])
        assert again[0]["id"] not in {build["id"] for build in forgotten}
        await all_complete(one, {build["id"] for build in kept + again})
        ghosts = {build["id"] for build in forgotten}
        assert not ghosts & {push["data"]["build"]["id"] for push in one.events("build.completed")}

    async def said() -> bool:
        return (await mended(stack)).get("tombstone", 0) >= len(forgotten)

    await eventually(said, 20, "the alarms without a row are removed, and counted")


def run_tool(tool: str, stack: GuardedStack, *arguments: str) -> None:
    program = postgres_programs(POSTGRES_VERSION) / tool
    done = subprocess.run(
        [program, f"--dbname={stack.database.superuser_url}", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


async def test_a_consistent_world_is_left_alone(stack: GuardedStack) -> None:
    async with player(url(stack), stack.token(unique_player())) as one:
        await order(one, ["luna-1"], longest=True)
    await stop(stack)
    await start(stack)
    assert await mended(stack) == {}
    connection = await connect(stack.database.superuser_url)
    assert await connection.fetchval("SELECT count(*) FROM build WHERE state = 'building'") == 1
    await connection.close()
