"""Fixtures for everybody: real servers, databases, services as processes, the whole stack.

STARWAKE_TEST_CONTAINERS says where the shared NATS server runs: `auto` (the default: in a container where an engine
is there, else the wheel's program), `require` (in a container or the run fails; CI) or `never`.
"""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support import run_report
from tests.support.chromium import chromium_environment, chromium_program
from tests.support.eventually import eventually as poll
from tests.support.nats import LocalNats, NatsAddress
from tests.support.players import unique_player as new_player
from tests.support.postgres import LocalPostgres
from tests.support.service_process import ServiceProcess
from tests.support.shared_nats import shared_nats
from tests.support.stack import Stack

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from starwake.bus.connection import Bus

# How long an example takes depends on what else the machine does: that is nothing to fail for.
settings.register_profile("starwake", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("starwake")

_TIME_SCALE = "600"
_BROWSER_WAIT_MS = 20_000


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """A directory for servers' data that another user may enter (Postgres does not run as root)."""
    import tempfile  # noqa: PLC0415 - only here: tmp_path is closed to other users

    directory = Path(tempfile.mkdtemp(prefix="starwake-test-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
async def nats_server(request: pytest.FixtureRequest, server_directory: Path) -> AsyncIterator[NatsAddress]:
    """The run's NATS server, in a container where possible; shared, so tests use players of their own."""
    async with shared_nats(server_directory / "shared-nats") as (address, where):
        run_report.note(request.config, where)
        yield address


@pytest.fixture
async def fresh_nats(tmp_path: Path) -> AsyncIterator[LocalNats]:
    """A NATS server of this test's own, which it may kill, restart and rob of its store."""
    server = LocalNats(tmp_path)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture(scope="session")
async def postgres_server(server_directory: Path) -> AsyncIterator[LocalPostgres]:
    """The run's Postgres."""
    server = LocalPostgres(server_directory)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def database_url(postgres_server: LocalPostgres) -> AsyncIterator[str]:
    """A fresh database with the current schema."""
    async with postgres_server.database() as url:
        yield url


@pytest.fixture
async def empty_database_url(postgres_server: LocalPostgres) -> AsyncIterator[str]:
    """A fresh database without any schema."""
    async with postgres_server.database(migrated=False) as url:
        yield url


@pytest.fixture
async def bus(nats_server: NatsAddress) -> "AsyncIterator[Bus]":
    """A connection to the run's NATS server."""
    from starwake.bus.connection import Bus  # noqa: PLC0415 - unit tests need not import the driver
    from starwake.bus.options import BusOptions  # noqa: PLC0415 - as above

    connection = await Bus.connect(BusOptions(url=nats_server.url, name="test"))
    try:
        yield connection
    finally:
        await connection.close()


StartService = Callable[..., Awaitable[ServiceProcess]]


@pytest.fixture
async def service_process(nats_server: NatsAddress, server_directory: Path) -> AsyncIterator[StartService]:
    """Starts one service as a process.

    For example `await service_process("command", STARWAKE_DATABASE_URL=url)`. It speaks to the run's NATS server
    unless STARWAKE_NATS_URL says otherwise; `until_ready=False` returns as soon as its health port is open. What still
    runs at the test's end is stopped.
    """
    async with AsyncExitStack() as running:

        async def begin(name: str, *, until_ready: bool = True, **env: str) -> ServiceProcess:
            service = ServiceProcess(name, {"STARWAKE_NATS_URL": nats_server.url, **env}, server_directory)
            running.push_async_callback(_end, service)
            return await service.start(until_ready=until_ready)

        yield begin


async def _end(service: ServiceProcess) -> None:
    if service.exit_code is None:
        await service.stop()


@pytest.fixture(scope="session")
async def stack(server_directory: Path) -> AsyncIterator[Stack]:
    """The whole stack, shared by the run: catalogue times 600 times shorter, data gone at the end."""
    running = Stack(server_directory / "stack", "--time-scale", _TIME_SCALE, "--no-durable")
    running.output_file.parent.mkdir(mode=0o711)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


@pytest.fixture(scope="session")
async def browser() -> "AsyncIterator[Browser]":
    """A headless Chromium, shared by the run; each test opens contexts of its own."""
    from playwright.async_api import async_playwright, expect  # noqa: PLC0415 - only for tests with a browser

    expect.set_options(timeout=_BROWSER_WAIT_MS)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=chromium_program(),
            env={**chromium_environment()},
            args=[
                *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"),
                # A page that a test makes up comes from no address, and would not be let near a server on this machine.
                "--disable-features=LocalNetworkAccessChecks",
            ],
        )
        try:
            yield chromium
        finally:
            await chromium.close()


@pytest.fixture
def unique_player() -> Callable[[], str]:
    """Names of players that no other test has."""
    return new_player


@pytest.fixture
def eventually() -> Callable[..., Awaitable[object]]:
    """Waits for a condition, see tests/support/eventually.py."""
    return poll


def pytest_configure(config: pytest.Config) -> None:
    """What a run says about itself has hooks of its own."""
    config.pluginmanager.register(run_report, "starwake-run-report")
