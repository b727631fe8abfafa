"""Real nats-servers under the very files of deploy/nats, and clients that sign in as one identity."""

import asyncio
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from nats.aio.client import Client

from deploy.credentials.certificates import Authority, CertificateFiles
from deploy.credentials.identities import Slot
from deploy.credentials.vault import Vault

REPOSITORY = Path(__file__).parents[3]
NATS_FILES = REPOSITORY / "deploy" / "nats"
NATS_SERVER = Path(sys.prefix) / "bin" / "nats-server"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now; all reserved at once, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


@dataclass
class NatsServer:
    """One nats-server process with a copy of deploy/nats and keys of its own."""

    name: str
    directory: Path
    vault: Vault
    tls: CertificateFiles
    port: int
    http_port: int
    cluster_port: int = 0
    routes: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"tls://localhost:{self.port}"

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def environment(self) -> dict[str, str]:
        return {
            "NATS_SERVER_NAME": self.name,
            "NATS_LISTEN": f"127.0.0.1:{self.port}",
            "NATS_HTTP": f"127.0.0.1:{self.http_port}",
            "NATS_STORE": str(self.directory / "store"),
            "NATS_MAX_FILE": "1GB",
            "NATS_TLS_CERT": str(self.tls.certificate),
            "NATS_TLS_KEY": str(self.tls.key),
            "NATS_TLS_CA": str(self.tls.authority),
            "NATS_CLUSTER_LISTEN": f"127.0.0.1:{self.cluster_port}",
            "NATS_ROUTES": f"[{', '.join(self.routes)}]",
        }

    def start(self) -> None:
        """Start the process; returns at once."""
        root = self.directory / "nats"
        if not root.exists():
            shutil.copytree(NATS_FILES, root)
        self.write_keys()
        config = root / "config" / ("cluster.conf" if self.cluster_port else "single.conf")
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [NATS_SERVER, "-c", config], env=os.environ | self.environment(), stdout=log, stderr=log
            )

    def write_keys(self) -> None:
        """Give the server the vault's public keys, as a mounted Secret would; it reads them at start and reload."""
        keys = self.directory / "nats" / "keys"
        keys.mkdir(exist_ok=True)
        shutil.copy(self.vault.keys_file, keys / "keys.conf")

    def reload(self) -> None:
        """Have the server read its files again, as the reloader beside it does, and wait until it has."""
        before = self.log.count("Reloaded server configuration")
        self.signal_reload()
        deadline = time.monotonic() + 10
        while self.log.count("Reloaded server configuration") == before:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} did not reload: {self.log[-2000:]}")
            time.sleep(0.02)

    def signal_reload(self) -> None:
        self.signal(signal.SIGHUP)

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/healthz", timeout=1) as answer:
                return bool(json.load(answer)["status"] == "ok")
        except (OSError, ValueError):
            return False

    def wait_until_healthy(self, within_s: float = 15) -> None:
        deadline = time.monotonic() + within_s
        while not self.healthy():
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} does not get healthy: {self.log[-2000:]}")
            time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_until_healthy()
        except TimeoutError:
            self.kill()
            raise
        return self

    def __exit__(self, _type: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        self.kill()


def single_server(directory: Path) -> NatsServer:
    """One server, not started yet."""
    port, http_port = free_ports(2)
    vault = Vault.create(directory / "vault")
    tls = Authority().issue(["localhost", "127.0.0.1"], directory / "tls")
    return NatsServer("nats-0", directory, vault, tls, port, http_port)


def cluster(directory: Path, size: int = 3) -> list[NatsServer]:
    """Servers that know each other, not started yet, with one vault and one authority."""
    vault = Vault.create(directory / "vault")
    authority = Authority()
    ports = free_ports(3 * size)
    routes = [f'"nats://localhost:{port}"' for port in ports[2 * size :]]
    servers: list[NatsServer] = []
    for number in range(size):
        own = directory / f"nats-{number}"
        own.mkdir()
        servers.append(
            NatsServer(
                own.name,
                own,
                vault,
                authority.issue(["localhost", "127.0.0.1"], own / "tls"),
                ports[number],
                ports[size + number],
                ports[2 * size + number],
                routes,
            )
        )
    return servers


class Denials:
    """What the server refused a client; NATS says it nowhere but in the error callback."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def hear(self, error: Exception) -> None:
        self.texts.append(str(error).lower())

    def of(self, subject: str) -> bool:
        return any("permissions violation" in text and f'"{subject.lower()}"' in text for text in self.texts)


@dataclass
class Identity:
    """A client signed in as one of the identities."""

    name: str
    client: Client
    denials: Denials

    async def settle(self) -> None:
        """Wait until the server has judged all that was sent.

        Twice, because nats-py writes a flush's PING ahead of publishes that still wait in its own buffer.
        """
        await self.client.flush()
        await self.client.flush()


def tls_context(server: NatsServer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(server.tls.authority))


async def sign_in(server: NatsServer, identity: str, slot: Slot = "a") -> Identity:
    """Connect with the identity's seed and inbox prefix, and no more than that."""
    client, denials = Client(), Denials()
    await client.connect(
        server.url,
        name=identity,
        nkeys_seed_str=server.vault.seed_file(identity, slot).read_text(),
        tls=tls_context(server),
        inbox_prefix=f"_INBOX.{identity}",
        error_cb=denials.hear,
        allow_reconnect=False,
        connect_timeout=5,
    )
    return Identity(identity, client, denials)


async def eventually(condition: Callable[[], bool | Awaitable[bool]], within_s: float = 10, what: str = "") -> None:
    """Poll `condition` until it holds."""
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        held = condition()
        if held is True or (not isinstance(held, bool) and await held):
            return
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"did not come true within {within_s} s: {what or condition}")
        await asyncio.sleep(0.02)
