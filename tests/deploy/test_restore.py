"""Disasters: what was lost or restored old is made consistent by the next start, and the scheduler says what it did."""

import asyncio
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from starwake.cli.embedded.postgres import postgres_programs
from tests.deploy.support.guarded import GuardedStack, Player, guarded_stack, player
from tests.deploy.support.nats import NatsServer, eventually, sign_in, single_server
from tests.deploy.support.postgres import guarded_database
from tests.support.players import unique_player
from tests.support.postgres import LocalPostgres, connect

pytestmark = pytest.mark.timeout(240)

# As the run's server; a dump is read by no older program.
POSTGRES_VERSION = "18"
FEED_INTERRUPTED = 4010


@pytest.fixture
async def stack(postgres_server: LocalPostgres, tmp_path: Path) -> AsyncIterator[GuardedStack]:
    with single_server(tmp_path) as server:
        async with (
            guarded_database(postgres_server) as database,
            guarded_stack([server], database, tmp_path) as stack,
        ):
            await start(stack)
            yield stack


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """One that another user may enter: Postgres does not run as root."""
    with tempfile.TemporaryDirectory(prefix="starwake-restore-") as directory:
        path = Path(directory)
        path.chmod(0o711)
        yield path


@pytest.fixture
async def own_postgres(open_directory: Path) -> AsyncIterator[LocalPostgres]:
    """A Postgres that a test may take back in time."""
    server = LocalPostgres(open_directory)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def own_stack(own_postgres: LocalPostgres, tmp_path: Path) -> AsyncIterator[GuardedStack]:
    """As `stack`, over that Postgres."""
    with single_server(tmp_path) as server:
        async with (
            guarded_database(own_postgres) as database,
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


async def insisted(one: Player, command: str, **args: object) -> dict[str, Any]:
    """The result of a command that is sent again until both stores are there for it."""
    results: list[dict[str, Any]] = []

    async def carried_out() -> bool:
        answer = await one.command(command, **args)
        results.extend([answer["result"]] if "result" in answer else [])
        if not results:
            await asyncio.sleep(0.25)  # a player may ask ten times a second
        return bool(results)

    await eventually(carried_out, 60, f"{command} is carried out")
    return results[0]


async def cancelled(one: Player, build: dict[str, Any]) -> None:
    """Cancel a build: it is confirmed as revision 2, and pushed."""
    result = await insisted(one, "build.cancel", build_id=build["id"])
    assert (result["build"]["state"], result["build"]["revision"]) == ("cancelled", 2)

    async def heard() -> bool:
        return [push["data"]["build"]["id"] for push in one.events("build.cancelled")].count(build["id"]) == 1

    await eventually(heard, 30, "the cancel is pushed")


async def all_is_told(stack: GuardedStack) -> None:
    """Wait until the table, too, knows that all is told: copied before, both stores would be of one moment."""

    async def outbox_is_empty() -> bool:
        connection = await connect(stack.database.superuser_url)
        try:
            return await connection.fetchval("SELECT count(*) FROM outbox") == 0
        finally:
            await connection.close()

    await eventually(outbox_is_empty, 30, "the outbox is empty")


async def copy_of_nats(stack: GuardedStack, target: Path) -> Path:
    """What its store holds now; it is killed for it, and runs again."""
    server = server_of(stack)
    server.kill()
    await asyncio.to_thread(shutil.copytree, server.directory / "store", target)
    server.start()
    await asyncio.to_thread(server.wait_until_healthy)
    return target


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


async def test_postgres_goes_back_under_running_services_and_what_happens_again_is_heard(
    own_stack: GuardedStack, own_postgres: LocalPostgres
) -> None:
    """Its data directory is replaced by an older copy while NATS keeps its streams: revision 2 comes a second time."""
    token = own_stack.token(unique_player())
    async with player(url(own_stack), token) as one:
        [build] = await order(one, ["luna-1"], longest=True)
        await eventually(lambda: len(one.events("build.started")) == 1, 10, "the order is told")
        older = await own_postgres.back_up()
        await cancelled(one, build)
        position = one.position
        await own_postgres.restore(older)
        await eventually(lambda: one.closed_with is not None, 60, "the session of the old epoch ends")
        assert one.closed_with == FEED_INTERRUPTED
    async with player(url(own_stack), token, position) as one:
        assert one.hello["recovered"] is False
        assert one.hello["epoch"] != position["epoch"]
        assert await builds(one) == {build["id"]: "building"}
        await cancelled(one, build)


@pytest.mark.parametrize("older", ["postgres", "nats"])
async def test_both_stores_are_restored_to_different_moments(
    own_stack: GuardedStack, own_postgres: LocalPostgres, tmp_path: Path, older: str
) -> None:
    stack = own_stack
    token = stack.token(unique_player())
    async with player(url(stack), token) as one:
        first, second = await order(one, ["luna-1", "luna-2"], longest=True)
        await eventually(lambda: len(one.events("build.started")) == 2, 10, "the orders are told")
        postgres, nats = await own_postgres.back_up(), await copy_of_nats(stack, tmp_path / "earlier")
        await cancelled(one, first)
        await all_is_told(stack)
        if older == "postgres":
            nats = await copy_of_nats(stack, tmp_path / "later")
        else:
            postgres = await own_postgres.back_up()
        await cancelled(one, second)
        position = one.position
    await stop(stack)
    await own_postgres.restore(postgres)
    await restart_with_store(stack, nats)
    async with player(url(stack), token, position) as one:
        assert one.hello["recovered"] is False
        assert one.hello["epoch"] != position["epoch"]
        assert (await builds(one))[first["id"]] == ("building" if older == "postgres" else "cancelled")
        for build in [first, second] if older == "postgres" else [second]:
            await cancelled(one, build)


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
