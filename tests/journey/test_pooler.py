"""Everything through a PgBouncer in transaction mode: orders, completions, cancels, and restarts in between."""

import secrets
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import jwt
import pytest

from starwake.client import Starwake
from tests.conftest import StartService
from tests.support.nats import LocalNats
from tests.support.pgbouncer import pgbouncer
from tests.support.players import unique_player

pytestmark = pytest.mark.needs("pgbouncer")


async def test_builds_are_ordered_completed_and_cancelled_over_restarts(
    database_url: str, fresh_nats: LocalNats, service_process: StartService
) -> None:
    secret, player = secrets.token_urlsafe(32), unique_player()
    token = jwt.encode({"sub": player, "exp": datetime.now(UTC).timestamp() + 3600}, secret, algorithm="HS256")
    with tempfile.TemporaryDirectory(prefix="starwake-pgbouncer-") as directory:
        async with pgbouncer(database_url, Path(directory), "transaction") as url:
            env = {
                "STARWAKE_NATS_URL": fresh_nats.url,
                "STARWAKE_DATABASE_URL": url,
                "STARWAKE_TIME_SCALE": "600",
            }
            both = [await service_process(name, until_ready=False, **env) for name in ("scheduler", "command")]
            gateway = await service_process(
                "gateway", STARWAKE_NATS_URL=fresh_nats.url, STARWAKE_JWT_SECRET=secret, STARWAKE_PORT="0"
            )
            address = f"ws://127.0.0.1:{gateway.port}/ws"
            async with Starwake.connect(address, token=token, open_timeout_s=60) as session:
                first = await session.build_start("greenhouse", "luna-1")
                await session.build_start("observatory", "luna-2")
                pushes = session.events()
                told = [(await anext(pushes)).event for _ in range(3)]
                assert told == ["build.started", "build.started", "build.completed"]
                lasting = [build async for build in session.builds() if build.id != first.id]
                assert (await session.build_cancel(lasting[0].id)).state == "cancelled"
                assert (await anext(pushes)).event == "build.cancelled"
                last = await session.build_start("greenhouse", "luna-3")
                assert (await anext(pushes)).event == "build.started"
                for service in both:
                    assert "database.pooled" in service.log()
                    await service.kill()
                    await service.start()
                push = await anext(pushes)
                assert (push.event, push.data["build"]["id"]) == ("build.completed", last.id)
                states = {build.id: build.state async for build in session.builds()}
    assert sorted(states.values()) == ["cancelled", "completed", "completed"]
