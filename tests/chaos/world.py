"""A universe of real processes that can be killed, frozen and held down: servers, gateways, commands, schedulers.

The parts and their keeper are those of `starwake up`, only more of each, and with gates: a part that was killed comes
back at once, as under any supervisor, or when its gate is opened again.
"""

import asyncio
import os
import random
import secrets
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import psutil

from starwake.bus.options import BusOptions
from starwake.cli.embedded.keeper import Ailing, Died, Event, Keeper, NotServing, Part, StartFailed
from starwake.cli.embedded.nats import NatsServer
from starwake.cli.embedded.plan import server_part, service_part
from starwake.cli.embedded.ports import LOOPBACK, free_ports
from starwake.cli.embedded.postgres import PostgresServer
from starwake.cli.embedded.probes import probe
from starwake.cli.embedded.process import Launch
from starwake.store.migrate import migrate
from tests.chaos.history import Happening
from tests.support.eventually import eventually

CATALOGUE = """
[limits]
builds_at_once = 100
queued_per_site = 4
queued_per_player = 20

[kinds.spark]
title = "Spark"
duration = "0.4s"
reschedule = { min_factor = 0.0, max_factor = 20 }

[kinds.beacon]
title = "Beacon"
duration = "1.2s"
reschedule = { min_factor = 0.0, max_factor = 8 }

[kinds.dock]
title = "Dock"
duration = "3s"
reschedule = { min_factor = 0.0, max_factor = 3 }

[kinds.survey]
title = "Survey"
duration = "2s"
reschedule = { min_factor = 0.0, max_factor = 3 }

[kinds.citadel]
title = "Citadel"
duration = "1h"

[kinds.yard]
title = "Yard"
duration = "6s"
reschedule = { min_factor = 0.0, max_factor = 2 }
"""

_ROOT = Path(__file__).resolve().parents[2]
_HEALTHY_S = 120.0
_STOP_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How many of each service there are."""

    gateways: int = 2
    commands: int = 2
    schedulers: int = 2


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a service runs instead of the product: with patches (tests/chaos/broken/patches.py), with further settings.

    `once`: only until it is killed, then it is the product again.
    """

    patches: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    once: bool = False


class _Kept:
    """A part behind a gate."""

    def __init__(self, part: Part, world: "World") -> None:
        self.part = part
        self.gate = asyncio.Event()
        self.gate.set()
        self.changed: Change | None = None
        self.keeper = Keeper(replace(part, prepare=self._prepare), world.tell, _nothing)

    async def _prepare(self) -> Launch:
        await self.gate.wait()
        launch = await self.part.prepare()
        changed = self.changed
        if changed is None:
            return launch
        if changed.once:
            self.changed = None
        service = self.part.name.partition("-")[0]
        broken = (sys.executable, "-m", "tests.chaos.broken", service, *changed.patches)
        argv = broken if changed.patches else launch.argv
        return replace(launch, argv=argv, env={**launch.env, **changed.env})

    @property
    def pid(self) -> int | None:
        return self.keeper.state.pid

    def processes(self) -> list[psutil.Process]:
        """The part's process and its children (Postgres has one for each connection); none where it is down."""
        with suppress(psutil.NoSuchProcess):
            if self.pid is not None:
                process = psutil.Process(self.pid)
                return [process, *process.children(recursive=True)]
        return []

    def send(self, number: signal.Signals) -> bool:
        """Signal the part; whether it was there."""
        for process in self.processes()[:1]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
                return True
        return False


class World:
    """All processes of one universe, and what was done to them."""

    def __init__(self, directory: Path, shape: Shape | None = None) -> None:
        shape = shape or Shape()
        self.happenings: list[Happening] = []
        self.directory = directory
        directory.mkdir(mode=0o711, exist_ok=True)
        self._catalogue = directory / "catalogue.toml"
        self._catalogue.write_text(CATALOGUE)
        self._secret = secrets.token_urlsafe(32)
        nats_port, monitor_port, postgres_port = free_ports(3)
        password = secrets.token_urlsafe(12)
        self.nats = NatsServer(directory / "nats", directory / "nats.log", nats_port, monitor_port, password)
        self.postgres = PostgresServer(
            directory / "postgres", directory / "postgres.log", postgres_port, password, durable=False
        )
        self._kept: dict[str, _Kept] = {}
        self._known_deadlocks = 0
        self._frozen: dict[str, list[psutil.Process]] = {}
        self.gateway_urls: dict[str, str] = {}
        for name, server in (("nats", self.nats), ("postgres", self.postgres)):
            self._kept[name] = _Kept(server_part(name, server), self)
        for service, count in (
            ("gateway", shape.gateways),
            ("command", shape.commands),
            ("scheduler", shape.schedulers),
        ):
            for number in range(1, count + 1):
                self._add(service, f"{service}-{number}")

    def _add(self, service: str, name: str) -> None:
        port, health_port = free_ports(2)
        launch = Launch(
            name=name,
            argv=(sys.executable, "-m", "starwake.cli.main", service),
            log=self.directory / f"{name}.log",
            env=self._environment(),
            directory=_ROOT,
        )
        players = port if service == "gateway" else None
        if players is not None:
            self.gateway_urls[name] = f"ws://{LOOPBACK}:{players}/ws"
        self._kept[name] = _Kept(
            service_part(name, launch, port=players, health_port=health_port, stop_within_s=_STOP_S), self
        )

    def _environment(self) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("STARWAKE_")}
        return inherited | {
            "STARWAKE_HOST": LOOPBACK,
            "STARWAKE_HEALTH_HOST": LOOPBACK,
            "STARWAKE_NATS_URL": self.nats.url,
            "STARWAKE_DATABASE_URL": self.postgres.url,
            "STARWAKE_JWT_SECRET": self._secret,
            "STARWAKE_LOG_FORMAT": "json",
            "STARWAKE_DRAIN_SECONDS": "2",
            "STARWAKE_CATALOGUE": str(self._catalogue),
            "STARWAKE_PING_INTERVAL_S": "2",
            "STARWAKE_COMMANDS_PER_S": "200",
            "STARWAKE_COMMAND_BURST": "200",
        }

    # -- life ----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything and wait until it serves."""
        await asyncio.gather(*(self._kept[name].keeper.start() for name in ("nats", "postgres")))
        await self.postgres.ensure_database()
        await asyncio.to_thread(migrate, self.postgres.url)
        await asyncio.gather(*(self._kept[name].keeper.start() for name in self.services()))

    async def stop(self) -> None:
        """End everything, players' side first."""
        self.release()
        for group in (self.services(), ["nats", "postgres"]):
            await asyncio.gather(*(self._kept[name].keeper.stop() for name in group))

    async def restart(self, service: str, change: Change | None = None, *, copies: int | None = None) -> None:
        """Start a service anew, as the product or as something else; with fewer copies, the others stay down."""
        names = self.services(service)
        self.change(service, change)
        async with self.down(*names):
            pass
        for name in names[copies:] if copies is not None else []:
            self.hold_down(name)
        serving = names[:copies]
        await eventually(lambda: self._all_serve(serving), within_s=_HEALTHY_S, every_s=0.1)

    def change(self, service: str, change: Change | None) -> None:
        """From its next start on, a service runs so."""
        for name in self.services(service):
            self._kept[name].changed = change

    async def recover(self) -> None:
        """Everything is the product again, and serves."""
        changed = [name for name in self.parts if self._kept[name].changed is not None]
        for name in changed:
            self._kept[name].changed = None
        async with self.down(*changed):
            pass
        await self.calm()

    async def _all_serve(self, names: Sequence[str]) -> bool:
        return all([await probe(self._kept[name].part.probe) for name in names])

    def services(self, service: str = "") -> list[str]:
        """Names of all parts of a service, of all services by default."""
        return [name for name in self._kept if "-" in name and name.startswith(service)]

    @property
    def parts(self) -> Sequence[str]:
        """Names of all parts."""
        return list(self._kept)

    def tell(self, event: Event) -> None:
        """What the keepers report."""
        if isinstance(event, Died):
            self.happens(f"{event.name} ended ({event.exit_code})")
        elif isinstance(event, StartFailed):
            self.happens(f"{event.name} did not start: {event.reason}")
        elif isinstance(event, NotServing):
            self.happens(f"{event.name} runs, and does not serve: {event.why}")
        elif isinstance(event, Ailing):
            self.happens(f"{event.name} is restarted: {event.reason}")
        else:
            self.happens(f"{event.name} serves, pid {event.pid}")

    def happens(self, what: str) -> None:
        """Note what was done."""
        self.happenings.append(Happening(datetime.now(UTC), what))

    # -- harm ----------------------------------------------------------------------------------------------------------

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """`kill -9`, or another signal; whoever is down already stays so."""
        sent = self._kept[name].send(number)
        self.happens(f"{number.name} to {name}" if sent else f"{name} was down already")

    def kill_child(self, name: str, dice: random.Random) -> None:
        """`kill -9` one of the part's children: for Postgres a connection's backend, after which it recovers."""
        children = self._kept[name].processes()[1:]
        if not children:
            self.kill(name)
            return
        with suppress(psutil.NoSuchProcess):
            dice.choice(children).kill()
        self.happens(f"SIGKILL to a child of {name}")

    def hold_down(self, name: str) -> None:
        """Kill a part and keep it from coming back until `release`."""
        self._kept[name].gate.clear()
        self.kill(name)

    def freeze(self, name: str) -> None:
        """Stop a part where it stands (SIGSTOP), children included."""
        for process in self._kept[name].processes():
            with suppress(psutil.NoSuchProcess):
                process.suspend()
                self._frozen.setdefault(name, []).append(process)
        self.happens(f"{name} is frozen")

    def release(self, *names: str) -> None:
        """Let parts go on and come back; all of them by default."""
        for name in names or self.parts:
            self._kept[name].gate.set()
            frozen = self._frozen.pop(name, [])
            # Each by itself: a postmaster may have been killed meanwhile, and its children would be frozen for ever.
            for process in frozen:
                with suppress(psutil.NoSuchProcess):
                    process.resume()
            if frozen:
                self.happens(f"{name} goes on")

    @asynccontextmanager
    async def down(self, *names: str) -> AsyncGenerator[None]:
        """Meanwhile these parts are dead."""
        for name in names:
            self.hold_down(name)
        await eventually(lambda: not any(self._kept[name].processes() for name in names), within_s=30)
        try:
            yield
        finally:
            self.release(*names)

    def lose_jetstream(self) -> None:
        """Delete everything that JetStream keeps; only while NATS is down."""
        shutil.rmtree(self.nats.directory / "jetstream")
        self.happens("the JetStream store is gone")

    # -- sight ---------------------------------------------------------------------------------------------------------

    async def calm(self, within_s: float = _HEALTHY_S) -> None:
        """Do no more harm, and wait until every part serves."""
        self.release()
        await eventually(lambda: self._all_serve(self.parts), within_s=within_s, every_s=0.2)

    def is_up(self, name: str) -> bool:
        """Whether the part has a process."""
        return bool(self._kept[name].processes())

    async def serves(self, name: str) -> bool:
        """Whether the part says that it is ready."""
        return await probe(self._kept[name].part.probe)

    @property
    def database_url(self) -> str:
        """Where the table is."""
        return self.postgres.url

    @property
    def bus_options(self) -> BusOptions:
        """How to reach the NATS server."""
        return BusOptions(url=self.nats.url, name="oracle")

    def log(self, name: str) -> str:
        """What a part wrote."""
        path = self.directory / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def deadlocks(self) -> int:
        """How often the database found transactions that waited for each other in a circle."""
        return self.log("postgres").count("deadlock detected") - self._known_deadlocks

    async def count_deadlocks(self) -> int:
        """The same, for whoever judges."""
        return self.deadlocks()

    def forget_deadlocks(self) -> None:
        """Count from here on."""
        self._known_deadlocks += self.deadlocks()

    def token(self, player: str) -> str:
        """A token for this player."""
        now = datetime.now(UTC)
        claims = {"sub": player, "iat": now.timestamp(), "exp": now + timedelta(hours=6)}
        return jwt.encode(claims, self._secret, algorithm="HS256")


@asynccontextmanager
async def universe(directory: Path, shape: Shape | None = None) -> AsyncGenerator[World]:
    """A running world, ended with the block."""
    world = World(directory, shape)
    try:
        await world.start()
        yield world
    finally:
        await world.stop()


def _nothing() -> None:
    return
