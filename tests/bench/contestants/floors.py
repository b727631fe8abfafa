"""The floors as contestants."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from starwake.cli.embedded.ports import LOOPBACK, free_ports
from tests.bench.contestants.base import Running, listening, nats_server, postgres_server
from tests.bench.harness.processes import Server, server

_MODULES = "tests.bench.floors"


@asynccontextmanager
async def bare_responder(nats_url: str, subject: str, folder: Path) -> AsyncGenerator[Server]:
    """A process that answers every request on `subject`, as a service that does nothing would."""
    argv = (sys.executable, "-m", f"{_MODULES}.nats_bare", "respond", subject)
    async with server("responder", argv, env={"BENCH_NATS_URL": nats_url}, log_folder=folder) as running:
        yield running


@asynccontextmanager
async def echo(folder: Path) -> AsyncGenerator[Running]:
    """A picows server that does nothing but answer."""
    [port] = free_ports(1)
    argv = (sys.executable, "-m", f"{_MODULES}.echo_server")
    async with listening("echo", argv, port, folder, {"BENCH_PORT": str(port)}) as web:
        url = f"ws://{LOOPBACK}:{port}/"
        yield Running(url, {"web": web.root}, source={"way": "socket", "address": url})


@asynccontextmanager
async def nats_responder(folder: Path) -> AsyncGenerator[Running]:
    """A nats-server and a responder on nats-py."""
    async with nats_server(folder) as (url, nats), bare_responder(url, "bare", folder) as responder:
        yield Running("", {"web": responder.root, "nats": nats}, addresses={"nats": url})


@asynccontextmanager
async def nats_taker(folder: Path) -> AsyncGenerator[Running]:
    """A nats-server and a subscriber on nats-py that looks at nothing."""
    async with nats_server(folder) as (url, nats):
        argv = (sys.executable, "-m", f"{_MODULES}.nats_bare", "take", "bare")
        async with server("taker", argv, env={"BENCH_NATS_URL": url}, log_folder=folder) as taker:
            yield Running("", {"web": taker.root, "nats": nats}, addresses={"nats": url})


@asynccontextmanager
async def postgres(folder: Path) -> AsyncGenerator[Running]:
    """A Postgres with fsync on, and nothing in front of it."""
    async with postgres_server(folder) as (running, processes):
        yield Running("", {"postgres": processes}, addresses={"postgres": running.url})
