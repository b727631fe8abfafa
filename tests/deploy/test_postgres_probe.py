"""The probes of the single Postgres, as its manifest has them, against a server with the manifest's access rules."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from starwake.cli.embedded.postgres import PostgresServer, postgres_programs
from starwake.cli.embedded.process import Child, start
from tests.deploy.support.nats import REPOSITORY
from tests.deploy.support.postgres import SQL
from tests.support.eventually import eventually
from tests.support.postgres import LocalPostgres, connect

MANIFEST = REPOSITORY / "deploy/kubernetes/components/postgres-single/stateful-set.yaml"


def probes() -> dict[str, list[str]]:
    """The commands of the manifest's probes."""
    (container,) = yaml.safe_load(MANIFEST.read_text())["spec"]["template"]["spec"]["containers"]
    return {name: value["exec"]["command"] for name, value in container.items() if name.endswith("Probe")}


@pytest.fixture
async def guarded_server(server_directory: Path) -> AsyncIterator[PostgresServer]:
    """A Postgres with roles.sql, the database `starwake` and pg_hba.conf."""
    directory = server_directory / "probed"
    directory.mkdir(mode=0o711)
    local = LocalPostgres(directory)
    await local.start()
    superuser = await connect(local.url)
    await superuser.execute((SQL / "roles.sql").read_text())
    await superuser.execute("CREATE DATABASE starwake OWNER starwake_owner")
    await superuser.close()
    await local.stop()
    data = local.server.directory
    # The wheel's Postgres is built without TLS: who has to come by TLS comes without it here.
    rules = data / "pg_hba.conf"
    rules.write_text((SQL / "pg_hba.conf").read_text().replace("hostssl", "host"))
    local.server.log.unlink()
    child = await start(await local.server.prepare())
    try:
        await eventually(lambda: _is_ready(local.server), within_s=30)
        yield local.server
    finally:
        await _end(child)


def _is_ready(server: PostgresServer) -> bool:
    log = server.log.read_text()
    assert "FATAL" not in log, log
    return "ready to accept connections" in log


async def _end(child: Child) -> None:
    await child.stop(within=20)


async def run(command: list[str], server: PostgresServer) -> int:
    """The exit code of a probe, on this server's port."""
    program = postgres_programs("18") / command[0]
    environment: dict[str, Any] = {"PATH": os.environ["PATH"], "PGPORT": str(server.port)}
    process = await asyncio.create_subprocess_exec(
        str(program), *command[1:], env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    return await asyncio.wait_for(process.wait(), 20)


async def test_a_probe_finds_the_server_and_leaves_no_line_in_its_log(guarded_server: PostgresServer) -> None:
    before = guarded_server.log.read_text()
    assert set(probes()) == {"startupProbe", "readinessProbe", "livenessProbe"}
    for command in probes().values():
        assert await run(command, guarded_server) == 0
    # Whoever is turned away is logged: so the server's log is looked at rightly, and had time to show the probes'.
    await run(["pg_isready", "--host=127.0.0.1", "--username=stranger"], guarded_server)
    await eventually(lambda: "FATAL" in guarded_server.log.read_text(), within_s=10)
    lines = guarded_server.log.read_text().removeprefix(before).splitlines()
    assert all('user "stranger"' in line for line in lines if "FATAL" in line), lines


async def test_a_probe_fails_where_no_server_listens(server_directory: Path) -> None:
    silent = LocalPostgres(server_directory / "silent").server
    for command in probes().values():
        assert await run(command, silent) == 2
