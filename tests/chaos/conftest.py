"""A fleet of a run's own, and how long chaos lasts: `--chaos 30m` (3 minutes by default), `--seed N` for one seed."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from libs.cli.durations import parse_duration
from tests.chaos.fleet import Fleet
from tests.chaos.run import PARTS
from tests.support.nats import LocalNats
from tests.support.postgres import LocalPostgres

StartFleet = Callable[..., Awaitable[Fleet]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos", default="3m", help="how long the random runs last together, such as 90s or 30m")
    parser.addoption("--seed", type=int, default=None, help="begin with this seed instead of a fresh one")


@pytest.fixture
def chaos_seconds(request: pytest.FixtureRequest) -> float:
    return parse_duration(str(request.config.getoption("--chaos")))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    given = request.config.getoption("--seed")
    return secrets.randbelow(10**9) if given is None else int(given)


@pytest.fixture
async def fleet(server_directory: Path, tmp_path: Path) -> AsyncIterator[StartFleet]:
    """Starts a fleet; `parts` by name, `variants` and `env` as `Fleet` takes them."""
    async with AsyncExitStack() as stack:

        async def begin(
            *,
            parts: tuple[str, ...] = PARTS,
            variants: dict[str, str] | None = None,
            env: dict[str, str] | None = None,
        ) -> Fleet:
            directory = server_directory / f"fleet-{secrets.token_hex(4)}"
            directory.mkdir()
            directory.chmod(0o711)
            nats, postgres = LocalNats(tmp_path), LocalPostgres(directory)
            await nats.start()
            stack.push_async_callback(nats.stop)
            await postgres.start()
            stack.push_async_callback(postgres.stop)
            database_url = await stack.enter_async_context(postgres.database())
            running = Fleet(directory, nats, postgres, database_url, variants=variants, env=env)
            stack.push_async_callback(running.stop)
            await running.start(*parts)
            return running

        yield begin
