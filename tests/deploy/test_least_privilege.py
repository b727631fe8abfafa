"""Every service does its whole job with its own key, its own role and the rights that deploy/ gives it."""

import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.support.guarded import GuardedStack, guarded_stack, player
from tests.deploy.support.nats import Identity, NatsServer, eventually, sign_in, single_server
from tests.deploy.support.postgres import guarded_database
from tests.support.players import unique_player
from tests.support.postgres import LocalPostgres
from tests.support.service_process import ServiceProcess


@pytest.fixture(scope="module")
def own_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with single_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(scope="module")
async def stack(
    own_nats: NatsServer, postgres_server: LocalPostgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[GuardedStack]:
    async with (
        guarded_database(postgres_server) as database,
        guarded_stack([own_nats], database, tmp_path_factory.mktemp("services")) as stack,
    ):
        for name in ("scheduler", "command", "gateway", "gateway"):
            await stack.start(name)
        yield stack


def service(stack: GuardedStack, name: str) -> ServiceProcess:
    return next(each for each in stack.running if each.name == name)


async def test_an_order_goes_through_to_its_completion_and_a_resume(stack: GuardedStack) -> None:
    url, token = f"ws://127.0.0.1:{service(stack, 'gateway').port}/ws", stack.token(unique_player())
    async with player(url, token) as one:
        kinds = (await one.command("catalogue.list"))["result"]["kinds"]
        shortest = min((kind for kind in kinds if not kind.get("requires")), key=lambda kind: kind["duration_s"])
        started = await one.command("build.start", kind=shortest["kind"], site="luna-1")
        assert "result" in started, started
        cancelled = (await one.command("build.start", kind=shortest["kind"], site="luna-2"))["result"]["build"]
        assert "result" in await one.command("build.cancel", build_id=cancelled["id"])
        await eventually(lambda: len(one.events("build.completed")) == 1, 20, "the build completes")
        assert len(one.events("build.cancelled")) == 1
        position = one.position
        builds = (await one.command("build.list"))["result"]["builds"]
        assert {build["state"] for build in builds} == {"completed", "cancelled"}
    async with player(url, token, position) as again:
        assert again.hello["recovered"] is True


async def test_two_gateways_tell_each_other_of_a_players_sockets(stack: GuardedStack) -> None:
    name = unique_player()
    first, second = (each.port for each in stack.running if each.name == "gateway")
    async with (
        player(f"ws://127.0.0.1:{first}/ws", stack.token(name)) as one,
        player(f"ws://127.0.0.1:{second}/ws", stack.token(name)) as other,
    ):
        kinds = (await one.command("catalogue.list"))["result"]["kinds"]
        free = next(kind["kind"] for kind in kinds if not kind.get("requires"))
        assert "result" in await one.command("build.start", kind=free, site="luna-1")
        await eventually(lambda: len(other.events("build.started")) == 1, 10, "the other socket hears of it")


async def test_nothing_that_a_service_does_was_denied(stack: GuardedStack, own_nats: NatsServer) -> None:
    denied = re.findall(r"(?:Publish|Subscription) Violation - .*", own_nats.log)
    assert denied == []
    for each in stack.running:
        errors = {name: value for name, value in (await each.metrics()).items() if "starwake_bus_errors_total" in name}
        assert not any("permissions" in name or "authorization" in name for name in errors), errors
        assert "permission denied" not in each.log()


async def test_a_denied_operation_is_logged_and_counted_by_the_service(
    own_nats: NatsServer, stack: GuardedStack, tmp_path: Path
) -> None:
    """A gateway with the operator's key by mistake: what it needs is denied, and it says so."""
    wrong = stack.settings("gateway") | {"STARWAKE_NKEY_SEED_FILE": str(own_nats.vault.seed_file("operator"))}
    gateway = ServiceProcess("gateway", wrong, tmp_path)
    await gateway.start(until_ready=False)
    try:

        async def counted() -> bool:
            metrics = await gateway.metrics()
            return metrics.get('starwake_bus_errors_total{kind="permissions_violation"}', 0) > 0

        await eventually(counted, 15, "the denial is counted")
        assert await gateway.get("/readyz") == 503
        assert "permissions violation" in gateway.log().lower()
    finally:
        await gateway.kill()


async def test_a_consumer_that_cannot_be_updated_is_made_anew_with_the_rights_that_there_are(
    postgres_server: LocalPostgres, tmp_path: Path
) -> None:
    with single_server(tmp_path) as server:
        async with guarded_database(postgres_server) as database, guarded_stack([server], database, tmp_path) as stack:
            provisioner = await sign_in(server, "provision")
            repairs: list[Callable[[], Awaitable[object]]] = [stack.provision, lambda: stack.start("scheduler")]
            for repair in repairs:
                await misconfigure_consumer(provisioner)
                await repair()
                assert (await consumer_config(provisioner))["max_waiting"] > 3
            await provisioner.client.close()
        assert "Violation" not in server.log


async def ask(identity: Identity, name: str, body: object = None) -> dict[str, Any]:
    answer = await identity.client.request(f"$JS.API.{name}", json.dumps(body or {}).encode(), timeout=5)
    decoded: dict[str, Any] = json.loads(answer.data)
    assert "error" not in decoded, decoded
    return decoded


async def consumer_config(identity: Identity) -> dict[str, Any]:
    return (await ask(identity, "CONSUMER.INFO.TIMERS.scheduler"))["config"]


async def misconfigure_consumer(identity: Identity) -> None:
    """Make it one that takes three pulls at once: the server does not let that be changed later."""
    wrong = await consumer_config(identity) | {"max_waiting": 3}
    await ask(identity, "CONSUMER.DELETE.TIMERS.scheduler")
    await ask(identity, "CONSUMER.CREATE.TIMERS.scheduler.timer.due.>", {"stream_name": "TIMERS", "config": wrong})


async def test_no_log_holds_a_token_a_password_or_a_seed(stack: GuardedStack, own_nats: NatsServer) -> None:
    secrets = [path.read_text().strip() for path in own_nats.vault.directory.rglob("*.seed")]
    secrets += [own_nats.vault.jwt_secret_file.read_text(), *stack.database.passwords.values()]
    for each in stack.running:
        text = each.log()
        assert text
        assert not any(secret in text for secret in secrets)
        assert "eyJ" not in text
    assert os.environ.get("STARWAKE_JWT_SECRET") is None
