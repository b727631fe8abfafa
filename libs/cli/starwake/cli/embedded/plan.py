"""Which parts a stack has, at which addresses, and how each is started."""

import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from starwake.cli.embedded.keeper import Part
from starwake.cli.embedded.nats import NatsServer
from starwake.cli.embedded.ports import LOOPBACK, free_ports
from starwake.cli.embedded.postgres import PostgresServer
from starwake.cli.embedded.process import Launch
from starwake.cli.embedded.state import PartState, Secrets
from starwake.runtime.logs import without_secrets
from starwake.runtime.settings import DrainSettings, load_settings

# Together, and with what lies between them, they stay below the ten seconds in which everything has to be gone.
_DRAIN_SECONDS: Final = 3.0
_GATEWAY_STOP_SECONDS: Final = 1.0
_SERVICE_STOP_SECONDS: Final = 2.0
_SERVER_STOP_SECONDS: Final = 1.5
# After a crash Postgres and NATS first read back what they had written.
_SERVER_START_SECONDS: Final = 120.0
_SERVICE_START_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the person who runs `up` asked for; `time_scale` 60 makes catalogue durations 60 times shorter."""

    port: int = 8080
    host: str = LOOPBACK
    gateways: int = 1
    time_scale: float = 1.0
    nats_url: str | None = None
    database_url: str | None = None
    durable: bool = True
    sync_always: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A stack before it runs. `nats` and `postgres` are None where somebody else's are used."""

    nats: NatsServer | None
    postgres: PostgresServer | None
    nats_url: str
    database_url: str
    environment: Mapping[str, str]
    logs: Path
    services: tuple[Part, ...]
    url: str

    @property
    def servers(self) -> tuple[Part, ...]:
        """The embedded servers."""
        return tuple(
            server_part(name, server) for name, server in (("nats", self.nats), ("postgres", self.postgres)) if server
        )

    @property
    def others(self) -> tuple[PartState, ...]:
        """Servers that are used and not ours."""
        found: list[PartState] = []
        if self.nats is None:
            found.append(PartState("nats", None, _without_credentials(self.nats_url), self.nats_url, "", ours=False))
        if self.postgres is None:
            found.append(
                PartState("postgres", None, _without_credentials(self.database_url), self.database_url, "", ours=False)
            )
        return tuple(found)

    def command(self, *words: str) -> Launch:
        """How to start one `starwake` command in the stack's environment."""
        return starwake_command(words, self.environment, self.logs)


def starwake_command(words: Sequence[str], environment: Mapping[str, str], logs: Path) -> Launch:
    """How to start `starwake WORD ...`, with this very interpreter."""
    return Launch(
        name=words[0],
        argv=(sys.executable, "-m", "starwake.cli.main", *words),
        log=logs / f"{words[0]}.log",
        env=environment,
    )


def make_plan(options: UpOptions, data: Path, secrets: Secrets) -> Plan:
    """Choose addresses for everything; nothing is started, nothing written.

    Raises:
        SettingsError: STARWAKE_DRAIN_SECONDS has a bad value.
    """
    logs = data / "logs"
    nats_port, monitor_port, postgres_port, *health_ports = free_ports(3 + options.gateways + 2)
    nats = None
    if options.nats_url is None:
        nats = NatsServer(
            directory=data / "nats",
            log=logs / "nats.log",
            port=nats_port,
            monitor_port=monitor_port,
            password=secrets.nats_password,
            sync_always=options.sync_always,
        )
    postgres = None
    if options.database_url is None:
        postgres = PostgresServer(
            directory=data / "postgres",
            log=logs / "postgres.log",
            port=postgres_port,
            password=secrets.postgres_password,
            durable=options.durable,
        )
    nats_url = nats.url if nats else options.nats_url or ""
    database_url = postgres.url if postgres else options.database_url or ""
    environment = _environment(options, secrets, nats_url, database_url)
    gateways = [
        ("gateway" if options.gateways == 1 else f"gateway-{number + 1}", options.port + number)
        for number in range(options.gateways)
    ]
    drain = _DRAIN_SECONDS
    if "STARWAKE_DRAIN_SECONDS" in os.environ:
        drain = load_settings(DrainSettings).drain_seconds
    parts = [
        service_part(
            name,
            starwake_command(("gateway",), environment, logs),
            port=port,
            health_port=health_ports.pop(),
            stop_within_s=drain + _GATEWAY_STOP_SECONDS,
            host=options.host,
        )
        for name, port in gateways
    ]
    parts += [
        service_part(
            name,
            starwake_command((name,), environment, logs),
            port=None,
            health_port=health_ports.pop(),
            stop_within_s=_SERVICE_STOP_SECONDS,
        )
        for name in ("command", "scheduler")
    ]
    return Plan(
        nats=nats,
        postgres=postgres,
        nats_url=nats_url,
        database_url=database_url,
        environment=environment,
        logs=logs,
        services=tuple(parts),
        url=parts[0].url,
    )


def server_part(name: str, server: NatsServer | PostgresServer) -> Part:
    """An embedded server as a part."""
    if isinstance(server, NatsServer):
        nats = server

        async def prepare() -> Launch:
            return nats.prepare()

        return Part(
            name,
            nats.address,
            nats.probe_url,
            prepare,
            _SERVER_START_SECONDS,
            _SERVER_STOP_SECONDS,
            health=nats.health_url,
            ailment=nats.ailment,
        )
    return Part(
        name,
        server.address,
        server.database_url("postgres"),
        server.prepare,
        _SERVER_START_SECONDS,
        _SERVER_STOP_SECONDS,
    )


def reachable(host: str) -> str:
    """The address at which this machine reaches a server that listens on `host`, as it is written in a URL."""
    address = {"0.0.0.0": LOOPBACK, "": LOOPBACK, "::": "::1"}.get(host, host)
    return f"[{address}]" if ":" in address else address


def is_open_to_others(host: str) -> bool:
    """Whether other machines may reach a server that listens on `host`."""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def service_part(  # noqa: PLR0913 - one a property of the process
    name: str, launch: Launch, *, port: int | None, health_port: int, stop_within_s: float, host: str = LOOPBACK
) -> Part:
    """One process of a service as a part; `port` is the players' one, where it has one."""
    health_url = f"http://{LOOPBACK}:{health_port}"
    own = {"STARWAKE_HEALTH_PORT": str(health_port)}
    if port is not None:
        own["STARWAKE_PORT"] = str(port)
    launch = replace(launch, name=name, log=launch.log.with_name(f"{name}.log"), env={**launch.env, **own})
    return Part(
        name=name,
        url=health_url if port is None else f"http://{reachable(host)}:{port}",
        probe=f"{health_url}/readyz",
        prepare=_always(launch),
        start_within_s=_SERVICE_START_SECONDS,
        stop_within_s=stop_within_s,
    )


def _always(launch: Launch) -> Callable[[], Awaitable[Launch]]:
    async def prepare() -> Launch:
        return launch

    return prepare


def _environment(options: UpOptions, secrets: Secrets, nats_url: str, database_url: str) -> dict[str, str]:
    """The services' environment: the caller's own settings, and what this stack decides."""
    defaults = {
        "STARWAKE_DRAIN_SECONDS": str(_DRAIN_SECONDS),
        "STARWAKE_LOG_FORMAT": "json",
        "STARWAKE_DEV_SIGN_IN": "true",
    }
    decided = {
        "STARWAKE_HOST": options.host,
        "STARWAKE_HEALTH_HOST": LOOPBACK,
        "STARWAKE_NATS_URL": nats_url,
        "STARWAKE_DATABASE_URL": database_url,
        "STARWAKE_JWT_SECRET": secrets.jwt_secret,
        "STARWAKE_TIME_SCALE": f"{options.time_scale:g}",
    }
    if options.nats_url is None:  # what the caller's environment says of another NATS
        decided |= {"STARWAKE_NATS_TLS_FIRST": "", "STARWAKE_NATS_JETSTREAM_DOMAIN": ""}
    return {**defaults, **os.environ, **decided}


def _without_credentials(url: str) -> str:
    if "://" not in url.partition("=")[0]:  # libpq's `host=... password=...`
        return without_secrets(url)
    # After the first, hosts of a Postgres URL stand without a scheme.
    servers = (
        f"{scheme}{mark}{rest.rpartition('@')[2]}"
        for scheme, mark, rest in (one.rpartition("://") for one in url.split(","))
    )
    return without_secrets(",".join(servers))
