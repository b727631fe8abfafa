"""Two gateways restarted one after the other under load: no push is lost, none comes twice, no order counts double."""

import asyncio
import contextlib
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from starwake.cli.embedded.ports import free_ports, is_free
from starwake.client import Starwake
from tests.support.eventually import eventually
from tests.support.players import unique_player
from tests.support.stack import Stack

PLAYERS = 12


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="starwake-drain-"))
    path.chmod(0o711)  # Postgres runs as another user where the tests run as root
    yield path
    shutil.rmtree(path, ignore_errors=True)


def two_ports() -> int:
    """The first of two free ports side by side."""
    for _ in range(50):
        (port,) = free_ports(1)
        if port < 65_535 and is_free(port + 1, "127.0.0.1"):
            return port
    raise AssertionError("no two free ports side by side")


@pytest.fixture
async def two_gateways(directory: Path) -> AsyncIterator[Stack]:
    """A stack with two gateways; a beacon takes 0.2 s."""
    stack = Stack(directory, "--no-durable", "--time-scale", "600", "--gateways", "2", port=two_ports())
    await stack.start()
    yield stack
    await stack.stop()


@asynccontextmanager
async def balancer(*ports: int) -> AsyncGenerator[str]:
    """What stands before several gateways: each connection goes to the next one that takes it."""
    turn = 0
    writers: set[asyncio.StreamWriter] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turn
        writers.add(writer)
        for _ in ports:
            turn += 1
            try:
                back, upstream = await asyncio.open_connection("127.0.0.1", ports[turn % len(ports)])
            except OSError:
                continue
            writers.add(upstream)
            copies = {asyncio.create_task(copy(reader, upstream)), asyncio.create_task(copy(back, writer))}
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            for each in copies:
                each.cancel()
            await asyncio.wait(copies)
            upstream.transport.abort()
            writers.discard(upstream)
            break
        writer.transport.abort()
        writers.discard(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


class Campaign:
    """One player who builds beacons until told to stop, and notes what was accepted and what was heard."""

    def __init__(self, url: str, stack: Stack) -> None:
        self.name = unique_player()
        self.accepted: list[str] = []
        self.heard: Counter[str] = Counter()
        self._url = url
        self._token = stack.token(self.name)

    async def run(self, stop: asyncio.Event) -> None:
        """Order, listen, and at the end wait for every completion."""
        async with Starwake.connect(self._url, token=self._token, open_timeout_s=30) as session:
            listening = asyncio.create_task(self._listen(session))
            site = 0
            while not stop.is_set():
                site += 1
                build = await session.build_start("beacon", f"site-{site}")
                self.accepted.append(build.id)
                await asyncio.sleep(0.1)
            await eventually(lambda: set(self.heard) >= set(self.accepted), within_s=30)
            built = [build.id async for build in session.builds()]
            assert sorted(built) == sorted(self.accepted), "an order counted double, or not at all"
            listening.cancel()
            await asyncio.wait((listening,))
            assert listening.cancelled(), "the stream of pushes had a hole"

    async def _listen(self, session: Starwake) -> None:
        async for push in session.events():
            if push.event == "build.completed":
                self.heard[push.data["build"]["id"]] += 1


async def test_a_rolling_restart_of_both_gateways_loses_no_push_and_doubles_no_effect(two_gateways: Stack) -> None:
    stack = two_gateways
    stop = asyncio.Event()
    async with balancer(stack.port, stack.port + 1) as url:
        campaigns = [Campaign(url, stack) for _ in range(PLAYERS)]
        running = asyncio.gather(*(campaign.run(stop) for campaign in campaigns))
        await eventually(lambda: all(campaign.heard for campaign in campaigns), within_s=30)
        for name in ("gateway-1", "gateway-2"):
            old = await stack.kill(name, signal.SIGTERM)

            async def is_back(name: str = name, old: int = old) -> bool:
                part = await stack.part(name)
                return part["pid"] != old and part["healthy"]

            await eventually(is_back, within_s=40, every_s=0.1)
        ordered = [len(campaign.accepted) for campaign in campaigns]
        await eventually(
            lambda: all(len(campaign.accepted) > before for campaign, before in zip(campaigns, ordered, strict=True)),
            within_s=30,
        )
        stop.set()
        await running
    for campaign in campaigns:
        assert set(campaign.heard.values()) == {1}
        assert set(campaign.heard) == set(campaign.accepted)
