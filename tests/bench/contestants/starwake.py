"""Starwake as `starwake up` starts it, fsync on, every process on the server core."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psutil

from tests.bench.contestants.base import Running
from tests.bench.contestants.floors import bare_responder
from tests.bench.harness.processes import SERVER_CORE, pinned
from tests.support.eventually import eventually
from tests.support.stack import Stack

BUILD_SECONDS = 4.0
CATALOGUE = f"""
[limits]
builds_at_once = 100000
[kinds.long]
title = "Does not end during the benchmark"
duration = "1d"
[kinds.quick]
title = "Ends during the benchmark"
duration = "{BUILD_SECONDS:g}s"
"""
# What protects a server from one player would stop a load client, which plays few players very fast.
LIMITS_RAISED = {
    "STARWAKE_COMMANDS_PER_S": "1000000",
    "STARWAKE_COMMAND_BURST": "1000000",
    "STARWAKE_MAX_IN_FLIGHT": "10000",
    "STARWAKE_MAX_UNAUTHENTICATED": "20000",
    "STARWAKE_LOG_LEVEL": "warning",
}


@asynccontextmanager
async def starwake(
    folder: Path, *, echo: bool = False, env: Mapping[str, str] | None = None
) -> AsyncGenerator[Running]:
    """A stack; with `echo` there is a service behind it that answers `bench.echo` and does nothing else."""
    catalogue = folder / "catalogue.toml"
    catalogue.write_text(CATALOGUE)
    stack = Stack(folder, env={**LIMITS_RAISED, "STARWAKE_CATALOGUE": str(catalogue), **(env or {})})
    with pinned(SERVER_CORE):
        await stack.start(until_healthy=False)
    async with AsyncExitStack() as cleanup:
        cleanup.push_async_callback(stack.stop)
        await eventually(stack.is_healthy, within_s=90, every_s=0.2)
        state = stack.state()
        roles = {"gateway": "web"}
        parts = {roles.get(part["name"], part["name"]): [psutil.Process(part["pid"])] for part in await stack.status()}
        if echo:
            responder = await cleanup.enter_async_context(bare_responder(state["nats_url"], "cmd.*.bench.echo", folder))
            parts["service"] = responder.root
            await asyncio.sleep(1)  # it says nothing when it has subscribed
        probes = {part["name"]: str(part["probe"]) for part in state["parts"]}
        yield Running(
            stack.ws_url,
            parts,
            secret=state["secrets"]["jwt_secret"],
            addresses={
                "nats": state["nats_url"],
                "postgres": state["database_url"],
                "monitor": probes["nats"].partition("/healthz")[0],
                "data": str(stack.data),
            },
            source={"way": "starwake", "address": state["nats_url"]},
        )


@asynccontextmanager
async def starwake_echo(folder: Path) -> AsyncGenerator[Running]:
    """A stack with the service that does nothing."""
    async with starwake(folder, echo=True) as running:
        yield running
