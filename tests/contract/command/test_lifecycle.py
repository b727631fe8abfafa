"""The service as a process: what it waits for, what it survives, how it ends."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from starwake.bus.connection import Bus
from starwake.bus.errors import BusError, BusTimeout, NoResponders
from starwake.bus.options import BusOptions
from starwake.bus.provision import provision
from starwake.contracts import subjects
from starwake.store.migrate import migrate
from tests.contract.command.universe import CATALOGUE, Refused, Universe
from tests.support.eventually import eventually
from tests.support.nats import LocalNats
from tests.support.postgres import LocalPostgres, connect
from tests.support.service_process import ServiceProcess

StartService = Callable[..., Awaitable[ServiceProcess]]


@pytest.fixture
async def own_bus(fresh_nats: LocalNats) -> AsyncIterator[Bus]:
    """A NATS server and an observer of this test's own: no other copy of the service takes its orders."""
    bus = await Bus.connect(BusOptions(url=fresh_nats.url, name="observer"))
    await provision(bus, 1)
    yield bus
    await bus.close()


@pytest.fixture
def begin(
    service_process: StartService, fresh_nats: LocalNats, own_bus: Bus, tmp_path: Path
) -> Callable[..., Awaitable[ServiceProcess]]:
    """Starts the command service on this test's own NATS server."""
    assert own_bus.connected
    catalogue = tmp_path / "catalogue.toml"
    catalogue.write_text(CATALOGUE)

    async def start(database_url: str, **more: Any) -> ServiceProcess:  # noqa: ANN401 - passed on
        env = {"STARWAKE_NATS_URL": fresh_nats.url, "STARWAKE_CATALOGUE": str(catalogue), **more}
        return await service_process("command", STARWAKE_DATABASE_URL=database_url, **env)

    return start


@pytest.fixture
async def own_universe(own_bus: Bus, database_url: str) -> AsyncIterator[Universe]:
    async with Universe.over(own_bus, database_url) as view:
        yield view


async def test_it_is_ready_only_once_the_schema_is_there(
    begin: StartService, own_bus: Bus, empty_database_url: str
) -> None:
    service = await begin(empty_database_url, until_ready=False)
    await eventually(lambda: "starwake migrate" in service.log())
    assert await service.get("/healthz") == 200
    assert await service.get("/readyz") == 503
    with pytest.raises(NoResponders):
        await own_bus.request("cmd.ada.build.list", b"{}", timeout_s=2)
    await asyncio.to_thread(migrate, empty_database_url)
    await eventually(service.is_ready)


async def test_it_is_not_ready_while_its_database_takes_no_writes(begin: StartService, database_url: str) -> None:
    service = await begin(database_url)
    name = urlsplit(database_url).path[1:]
    operator = await connect(database_url)
    try:
        for switch, status in (("on", 503), ("off", 200)):
            await operator.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {switch}')
            await operator.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

            async def answers(expected: int = status) -> bool:
                return await service.get("/readyz") == expected

            await eventually(answers, within_s=60)
        assert service.exit_code is None
    finally:
        await operator.close()


async def test_it_waits_for_a_bus_that_stalls_while_it_starts(
    begin: StartService, fresh_nats: LocalNats, own_bus: Bus, empty_database_url: str
) -> None:
    service = await begin(empty_database_url, until_ready=False)
    await eventually(lambda: "starwake migrate" in service.log())
    os.kill(fresh_nats.pid, signal.SIGSTOP)
    try:
        await asyncio.to_thread(migrate, empty_database_url)
        await eventually(lambda: "bus.awaited" in service.log(), within_s=20)
        assert await service.get("/healthz") == 200
        assert await service.get("/readyz") == 503
    finally:
        os.kill(fresh_nats.pid, signal.SIGCONT)
    await eventually(service.is_ready, within_s=30)
    await eventually(lambda: own_bus.connected)
    async with Universe.over(own_bus, empty_database_url) as universe:
        await universe.start()


async def test_it_is_ready_only_once_the_streams_are_there_and_takes_orders_before(
    begin: StartService, own_universe: Universe, database_url: str
) -> None:
    for stream in ("TIMERS", "NOTIFICATIONS"):
        await own_universe.bus.request(f"$JS.API.STREAM.DELETE.{stream}", b"", timeout_s=5)
    service = await begin(database_url, until_ready=False)

    async def taken() -> bool:
        try:
            return (await own_universe.order("build.list"))["builds"] == []
        except BusError:
            return False

    await eventually(taken, within_s=30)
    build = await own_universe.start()
    assert await service.get("/readyz") == 503
    await provision(own_universe.bus, 1)
    await eventually(service.is_ready)
    (row,) = await own_universe.builds()
    assert str(row["id"]) == build["id"]
    metrics = await service.metrics()
    assert metrics['starwake_command_left_to_sweep_total{what="armed"}'] == 1


async def test_orders_are_counted_and_measured(begin: StartService, own_universe: Universe, database_url: str) -> None:
    service = await begin(database_url)
    await own_universe.start()
    with pytest.raises(Refused):
        await own_universe.start()
    metrics = await service.metrics()
    assert metrics['starwake_command_orders_total{command="build.start",outcome="accepted"}'] == 1
    assert metrics['starwake_command_orders_total{command="build.start",outcome="site_busy"}'] == 1
    assert metrics["starwake_command_batch_size_count"] == 2
    assert metrics["starwake_command_commit_seconds_count"] == 2
    assert metrics["starwake_command_queue"] == 0


async def test_orders_in_hand_are_answered_and_told_before_it_ends(
    begin: StartService, own_universe: Universe, database_url: str
) -> None:
    service = await begin(database_url)
    orders = [asyncio.create_task(own_universe.start(player=f"{own_universe.player}-{n}")) for n in range(200)]
    await eventually(lambda: own_universe.rows("SELECT 1 FROM build LIMIT 1"), every_s=0.001)
    service.send(signal.SIGTERM)
    answers = await asyncio.gather(*orders, return_exceptions=True)
    assert await service.wait() == 0
    answered = {answer["id"] for answer in answers if isinstance(answer, dict)}
    assert answered
    assert all(isinstance(answer, dict | NoResponders) for answer in answers), "refused at once, or carried out"
    rows = await own_universe.rows("SELECT id FROM build")
    assert {str(row["id"]) for row in rows} == answered
    assert await own_universe.rows("SELECT 1 FROM outbox") == []


async def test_without_the_database_orders_are_unavailable_and_go_on_afterwards(
    begin: StartService, own_bus: Bus, server_directory: Path
) -> None:
    directory = server_directory / "own-postgres"
    directory.mkdir(mode=0o711)
    postgres = LocalPostgres(directory)
    async with AsyncExitStack() as stack:
        await postgres.start()
        stack.push_async_callback(postgres.stop)
        url = await stack.enter_async_context(postgres.database())
        service = await begin(url)
        async with Universe.over(own_bus, url) as universe:
            await universe.start()
            player = universe.player
        await postgres.stop()
        lost = Universe(own_bus, universe.database, player)
        asked: dict[str, dict[str, Any]] = {"build.start": {"kind": "dock", "site": "luna-2"}, "build.list": {}}
        for command, args in asked.items():
            with pytest.raises(Refused) as caught:
                await lost.order(command, command_id="one", **args)
            assert caught.value.code == "unavailable"
        await eventually(lambda: _status(service, 503))
        assert (await lost.order("catalogue.list"))["kinds"], "what needs no database is answered all the same"
        await postgres.start()
        await eventually(service.is_ready)
        again = await lost.order("build.start", command_id="one", kind="dock", site="luna-2")
        assert again["build"]["site"] == "luna-2"
        assert len((await lost.order("build.list"))["builds"]) == 2


async def _status(service: ServiceProcess, expected: int) -> bool:
    return await service.get("/readyz") == expected


async def test_it_goes_on_after_the_bus_was_lost(
    begin: StartService, own_universe: Universe, fresh_nats: LocalNats, database_url: str
) -> None:
    service = await begin(database_url)
    await own_universe.start()
    await fresh_nats.kill()
    await eventually(lambda: _status(service, 503))
    assert await service.get("/healthz") == 200
    await fresh_nats.start()
    await eventually(service.is_ready)
    await eventually(lambda: own_universe.bus.connected)
    await own_universe.start("luna-2")
    assert len(await own_universe.builds()) == 2


async def test_a_crash_after_the_commit_changes_nothing_for_who_asks_again(
    begin: StartService, own_universe: Universe, database_url: str
) -> None:
    crashing = await begin(database_url, STARWAKE_TESTING="1", STARWAKE_FAULT="after_commit")
    with pytest.raises(BusError):
        await own_universe.bus.request(
            f"cmd.{own_universe.player}.build.start",
            b'{"id": "one", "command": "build.start", "args": {"kind": "dock", "site": "luna-1"}}',
            timeout_s=3,
        )
    assert await crashing.wait() == -signal.SIGKILL
    (row,) = await own_universe.builds()
    await begin(database_url)
    assert (await own_universe.start(command_id="one"))["id"] == str(row["id"])
    assert len(await own_universe.builds()) == 1


async def test_an_order_that_lay_in_a_frozen_copy_is_not_carried_out_after_it_was_refused(
    begin: StartService, own_universe: Universe, database_url: str
) -> None:
    frozen = await begin(database_url)
    await begin(database_url)
    busy = await own_universe.start()
    frozen.send(signal.SIGSTOP)
    stuck = 0

    async def ask(command: str, **args: str) -> dict[str, Any]:
        """Ask until a copy answers that is not frozen; what the frozen one got stays there."""
        nonlocal stuck
        frame = json.dumps({"id": uuid4().hex, "command": command, "args": args}).encode()
        while True:
            try:
                subject = subjects.command(own_universe.player, command)
                return json.loads((await own_universe.bus.request(subject, frame, timeout_s=0.2)).payload)
            except BusTimeout:
                stuck += command == "build.start"

    while stuck < 3:
        answer = await ask("build.start", kind="dock", site="luna-1")
        assert answer["error"]["code"] == "site_busy"
    assert "result" in await ask("build.cancel", build_id=busy["id"])
    frozen.send(signal.SIGCONT)

    async def asked_back() -> bool:
        counted = await frozen.metrics()
        return counted.get('starwake_command_orders_total{command="build.start",outcome="asked_back"}') == stuck

    await eventually(asked_back)
    assert [row["state"] for row in await own_universe.builds()] == ["cancelled"]


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("STARWAKE_TIME_SCALE", "0", "STARWAKE_TIME_SCALE"),
        ("STARWAKE_CATALOGUE", "/nowhere.toml", "STARWAKE_CATALOGUE"),
        ("STARWAKE_ORDERS", "/nowhere", "STARWAKE_ORDERS"),
        ("STARWAKE_ORDERS_PER_BATCH", "many", "STARWAKE_ORDERS_PER_BATCH"),
    ],
)
async def test_a_bad_setting_ends_it_with_one_readable_line(
    begin: StartService, database_url: str, name: str, value: str, why: str
) -> None:
    try:
        service = await begin(database_url, until_ready=False, **{name: value})
        assert await service.wait() != 0
        said = service.log()
    except RuntimeError as error:  # it ended before its health port was open
        said = str(error)
    assert why in said
    assert "Traceback" not in said
