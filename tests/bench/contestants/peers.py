"""The peers, started as their documentation says."""

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg

from libs.cli.embedded.ports import LOOPBACK, free_ports
from tests.bench.contestants.base import SECRET, Running, listening, postgres_server, redis_server
from tests.bench.harness.processes import server

UVICORN = (sys.executable, "-m", "uvicorn", "--host", LOOPBACK, "--log-level", "warning", "--backlog", "8192")


@asynccontextmanager
async def fastapi_echo(folder: Path) -> AsyncGenerator[Running]:
    """FastAPI's tutorial loop under uvicorn, compression off."""
    [port] = free_ports(1)
    argv = (*UVICORN, "--port", str(port), "--ws-per-message-deflate", "false", "tests.bench.peers.fastapi_echo:app")
    async with listening("fastapi", argv, port, folder, {"BENCH_JWT_SECRET": SECRET}) as web:
        yield Running(f"ws://{LOOPBACK}:{port}/ws", {"web": web.tree}, addresses={"http": f"http://{LOOPBACK}:{port}"})


@asynccontextmanager
async def node_ws(folder: Path) -> AsyncGenerator[Running]:
    """The package `ws` under node; `npm install ws` is done once beside the peer's file."""
    [port] = free_ports(1)
    script = Path(__file__).parent.parent / "peers" / "node_ws.mjs"
    async with listening("node", ("node", str(script)), port, folder, {"BENCH_PORT": str(port)}) as web:
        yield Running(f"ws://{LOOPBACK}:{port}/ws", {"web": web.tree}, addresses={"http": f"http://{LOOPBACK}:{port}"})


@asynccontextmanager
async def celery(folder: Path, workers: int = 2) -> AsyncGenerator[Running]:
    """The seed design: FastAPI, Celery with `workers` processes, Redis, Postgres."""
    [port] = free_ports(1)
    async with redis_server(folder) as (redis_url, redis), postgres_server(folder) as (postgres, postgres_processes):
        env = {"BENCH_REDIS_URL": redis_url, "BENCH_DATABASE_URL": postgres.url, "BENCH_JWT_SECRET": SECRET}
        os.environ.update(env)  # the tasks' module reads it where they are sent from, here too
        from tests.bench.peers.celery_tasks import TABLE  # noqa: PLC0415 - reads its addresses at import, as Celery apps do

        async with await psycopg.AsyncConnection.connect(postgres.url, autocommit=True) as connection:
            await connection.execute(TABLE)
        worker = (
            *(sys.executable, "-m", "celery", "-A", "tests.bench.peers.celery_tasks", "worker"),
            *("--concurrency", str(workers), "--loglevel", "WARNING", "--without-gossip", "--without-mingle"),
        )
        web = (*UVICORN, "--port", str(port), "--ws-per-message-deflate", "false", "tests.bench.peers.celery_web:app")
        async with (
            server("celery-worker", worker, env=env, log_folder=folder) as running_worker,
            listening("celery-web", web, port, folder, env) as running_web,
        ):
            yield Running(
                f"ws://{LOOPBACK}:{port}/ws",
                {
                    "web": running_web.tree,
                    "worker": running_worker.tree,
                    "redis": redis.tree,
                    "postgres": postgres_processes,
                },
                addresses={"redis": redis_url, "postgres": postgres.url},
            )


@asynccontextmanager
async def socketio(folder: Path) -> AsyncGenerator[Running]:
    """python-socketio with its Redis manager under uvicorn."""
    [port] = free_ports(1)
    async with redis_server(folder) as (redis_url, redis):
        env = {"BENCH_REDIS_URL": redis_url, "BENCH_JWT_SECRET": SECRET}
        argv = (
            *UVICORN,
            "--port",
            str(port),
            "--ws-per-message-deflate",
            "false",
            "tests.bench.peers.socketio_redis:app",
        )
        async with listening("socketio", argv, port, folder, env) as web:
            url = f"ws://{LOOPBACK}:{port}/socket.io/?EIO=4&transport=websocket"
            yield Running(url, {"web": web.tree, "redis": redis.tree}, addresses={"redis": redis_url})


@asynccontextmanager
async def channels(folder: Path) -> AsyncGenerator[Running]:
    """Django Channels with channels-redis under Daphne."""
    [port] = free_ports(1)
    async with redis_server(folder) as (redis_url, redis):
        env = {"BENCH_REDIS_URL": redis_url, "BENCH_JWT_SECRET": SECRET}
        argv = (
            *(sys.executable, "-m", "daphne", "-b", LOOPBACK, "-p", str(port), "-v", "0"),
            "tests.bench.peers.channels_redis_app:app",
        )
        async with listening("channels", argv, port, folder, env) as web:
            url = f"ws://{LOOPBACK}:{port}/ws"
            yield Running(url, {"web": web.tree, "redis": redis.tree}, addresses={"redis": redis_url})
