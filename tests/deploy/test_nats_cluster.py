"""Three NATS servers under the files of deploy/nats: TLS between them, three replicas, and one dies under load."""

import json
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.deploy.support.guarded import GuardedStack, guarded_stack
from tests.deploy.support.nats import NatsServer, cluster, eventually, sign_in
from tests.deploy.support.postgres import guarded_database
from tests.deploy.support.world import Population
from tests.support.postgres import LocalPostgres

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[NatsServer]]:
    members = cluster(tmp_path_factory.mktemp("cluster"))
    try:
        for member in members:
            member.start()
        for member in members:
            member.wait_until_healthy(30)
        yield members
    finally:
        for member in members:
            member.kill()


@pytest.fixture(scope="module")
async def stack(
    servers: list[NatsServer], postgres_server: LocalPostgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[GuardedStack]:
    async with (
        guarded_database(postgres_server) as database,
        guarded_stack(servers, database, tmp_path_factory.mktemp("services")) as stack,
    ):
        for name in ("scheduler", "scheduler", "command", "gateway", "gateway"):
            await stack.start(name)
        yield stack


async def info(servers: list[NatsServer], stream: str) -> dict[str, dict[str, object]]:
    """What a living member says of a stream."""
    living = next(member for member in servers if member.healthy())
    operator = await sign_in(living, "operator")
    try:
        answer = await operator.client.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=5)
        return json.loads(answer.data)
    finally:
        await operator.client.close()


async def test_every_stream_has_three_replicas(servers: list[NatsServer], stack: GuardedStack) -> None:
    assert stack.running
    for stream in ("TIMERS", "NOTIFICATIONS", "REVOCATIONS"):
        found = await info(servers, stream)
        assert found["config"]["num_replicas"] == 3
        assert found["config"]["storage"] == "file"


@pytest.mark.parametrize("stream", ["TIMERS", "NOTIFICATIONS"])
async def test_the_leader_of_a_stream_is_killed_under_load_and_nothing_is_lost(
    stream: str, servers: list[NatsServer], stack: GuardedStack
) -> None:
    ports = [each.port for each in stack.running if each.name == "gateway"]
    async with Population(stack, ports, 8) as people:
        await eventually(lambda: people.accepted >= 30, 30, "orders are accepted")
        name = (await info(servers, stream))["cluster"]["leader"]
        leader = next(each for each in servers if each.name == name)
        leader.kill()
        before = people.accepted
        await eventually(lambda: people.accepted >= before + 30, 60, "orders are accepted without it")
        leader.start()
        leader.wait_until_healthy(60)
        before = people.accepted
        await eventually(lambda: people.accepted >= before + 30, 60, "orders are accepted with it")
        verdict = await people.judged()
        assert not verdict.violations, verdict.text
        assert len(verdict.history.rows) >= 60
