"""One service of Starwake as a process of its own, as a container would run it."""

import json
import os
import secrets
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from starwake.cli.embedded.process import Child, Launch, start
from tests.support.eventually import eventually

_HEALTHY_SECONDS = 30.0
_LIMIT = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({0}, {0}))
os.execv(sys.argv[1], sys.argv[1:])
"""


class ServiceProcess:
    """A running service; `health_url` answers /healthz, /readyz and /metrics."""

    def __init__(self, name: str, env: Mapping[str, str], directory: Path, *, descriptors: int | None = None) -> None:
        """A service to be started; with `descriptors` it may never have more of them open (RLIMIT_NOFILE)."""
        self.name = name
        stem = f"{name}-{secrets.token_hex(4)}"
        self._port_file = directory / f"{stem}.ports"
        self.log_file = directory / f"{stem}.log"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("STARWAKE_")}
        own = {
            "STARWAKE_HEALTH_PORT": "0",
            "STARWAKE_PORT_FILE": str(self._port_file),
            "STARWAKE_LOG_FORMAT": "json",
        }
        limited = () if descriptors is None else (sys.executable, "-c", _LIMIT.format(descriptors))
        self._launch = Launch(
            name=name,
            argv=(*limited, sys.executable, "-m", "starwake.cli.main", name),
            log=self.log_file,
            env={**inherited, **own, **env},
        )
        self._child: Child | None = None
        self.ports: dict[str, int] = {}

    async def start(self, *, until_ready: bool = True) -> "ServiceProcess":
        """Start it and wait until /readyz is 200 (or, else, until its health port is open)."""
        self._port_file.unlink(missing_ok=True)
        self.ports = {}
        self._child = await start(self._launch)
        await eventually(self._read_ports, within_s=_HEALTHY_SECONDS)
        if until_ready:
            await eventually(self.is_ready, within_s=_HEALTHY_SECONDS)
            self._read_ports()
        return self

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._child is not None
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        assert self._child is not None
        return self._child.exit_code

    @property
    def health_url(self) -> str:
        """Base of /healthz, /readyz, /metrics."""
        return f"http://127.0.0.1:{self.ports['health']}"

    @property
    def port(self) -> int:
        """The players' port (gateway)."""
        return self.ports["players"]

    async def is_ready(self) -> bool:
        """Whether /readyz answers 200."""
        assert self._child is not None
        assert self._child.exit_code is None, f"{self.name} ended:\n{self.log()}"
        return await self.get("/readyz") == httpx.codes.OK.value

    async def get(self, path: str) -> int:
        """The status of one of the health endpoints, 0 where nothing answers."""
        async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
            try:
                return (await http.get(self.health_url + path)).status_code
            except httpx.TransportError:
                return 0

    async def metrics(self) -> dict[str, float]:
        """Samples by their full name with labels, as Prometheus reads them."""
        async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
            text = (await http.get(self.health_url + "/metrics")).text
        lines = (line for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def log(self) -> str:
        """All that it wrote so far."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def send(self, number: signal.Signals) -> None:
        """Send it a signal (SIGSTOP and SIGCONT too)."""
        assert self._child is not None
        self._child.send(number)

    async def wait(self, within_s: float = 20.0) -> int:
        """Wait for its end; the exit code."""
        assert self._child is not None
        await eventually(lambda: self.exit_code is not None, within_s)
        return await self._child.wait()

    async def stop(self, within_s: float = 20.0) -> int:
        """SIGTERM, and wait; killed when it has not ended in time. The exit code."""
        assert self._child is not None
        await self._child.stop(within=within_s)
        return await self._child.wait()

    async def kill(self) -> None:
        """`kill -9`."""
        self.send(signal.SIGKILL)
        assert self._child is not None
        await self._child.wait()

    def _read_ports(self) -> bool:
        assert self._child is not None
        if self._child.exit_code is not None:
            raise RuntimeError(f"{self.name} ended with {self._child.exit_code}:\n{self.log()}")
        if self._port_file.exists():
            self.ports = json.loads(self._port_file.read_text())
        return bool(self.ports)
