"""The peers, started as their documentation says."""

import asyncio
import secrets
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg

from starwake.cli.embedded.ports import LOOPBACK, free_ports
from tests.bench.contestants.base import SECRET, Running, listening, nats_server, postgres_server, redis_server
from tests.bench.contestants.floors import bare_responder
from tests.bench.harness.processes import server
from tests.bench.peers.celery_table import TABLE

UVICORN = (sys.executable, "-m", "uvicorn", "--host", LOOPBACK, "--log-level", "warning", "--backlog", "8192")
NO_DEFLATE = ("--ws-per-message-deflate", "false")


@asynccontextmanager
async def fastapi_echo(folder: Path) -> AsyncGenerator[Running]:
    """FastAPI's tutorial loop under uvicorn, compression off."""
    [port] = free_ports(1)
    argv = (*UVICORN, "--port", str(port), *NO_DEFLATE, "tests.bench.peers.fastapi_echo:app")
    async with listening("fastapi", argv, port, folder, {"BENCH_JWT_SECRET": SECRET}) as web:
        source = {"way": "http", "address": f"http://{LOOPBACK}:{port}/broadcast"}
        yield Running(f"ws://{LOOPBACK}:{port}/ws", {"web": web.root}, source=source)


@asynccontextmanager
async def fastapi_nats(folder: Path) -> AsyncGenerator[Running]:
    """FastAPI's loop with nats-py's `request` in it: the obvious way to ask a service behind."""
    [port] = free_ports(1)
    async with nats_server(folder) as (nats_url, nats), bare_responder(nats_url, "cmd.*.bench.echo", folder) as service:
        env = {"BENCH_JWT_SECRET": SECRET, "BENCH_NATS_URL": nats_url}
        argv = (*UVICORN, "--port", str(port), *NO_DEFLATE, "tests.bench.peers.fastapi_nats:app")
        async with listening("fastapi-nats", argv, port, folder, env) as web:
            parts = {"web": web.root, "nats": nats, "service": service.root}
            yield Running(f"ws://{LOOPBACK}:{port}/ws", parts)


@asynccontextmanager
async def node_ws(folder: Path) -> AsyncGenerator[Running]:
    """The package `ws` under node; `npm install ws` is done once beside the peer's file."""
    [port] = free_ports(1)
    script = Path(__file__).parent.parent / "peers" / "node_ws.mjs"
    await install_ws(script.parent, folder)
    async with listening("node", ("node", str(script)), port, folder, {"BENCH_PORT": str(port)}) as web:
        source = {"way": "http", "address": f"http://{LOOPBACK}:{port}/broadcast"}
        yield Running(f"ws://{LOOPBACK}:{port}/ws", {"web": web.root}, source=source)


async def install_ws(beside: Path, folder: Path) -> None:
    """`npm install ws` beside the peer, once.

    Raises:
        RuntimeError: npm failed; its log says why.
    """
    if (beside / "node_modules" / "ws").exists():
        return
    with (folder / "npm.log").open("ab") as log:
        words = ("npm", "install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund", "ws@8")
        npm = await asyncio.create_subprocess_exec(*words, cwd=beside, stdout=log, stderr=log)
        if await asyncio.wait_for(npm.wait(), 120):
            raise RuntimeError("npm install ws failed: " + (folder / "npm.log").read_text()[-300:])


@asynccontextmanager
async def celery(folder: Path, workers: int = 2) -> AsyncGenerator[Running]:
    """The seed design: FastAPI, Celery with `workers` processes, Redis, Postgres."""
    [port] = free_ports(1)
    async with redis_server(folder) as (redis_url, redis), postgres_server(folder) as (postgres, postgres_processes):
        env = {"BENCH_REDIS_URL": redis_url, "BENCH_DATABASE_URL": postgres.url, "BENCH_JWT_SECRET": SECRET}
        async with await psycopg.AsyncConnection.connect(postgres.url, autocommit=True) as connection:
            await connection.execute(TABLE)
        worker = (
            *(sys.executable, "-m", "celery", "-A", "tests.bench.peers.celery_tasks", "worker"),
            *("--concurrency", str(workers), "--loglevel", "WARNING", "--without-gossip", "--without-mingle"),
        )
        web = (*UVICORN, "--port", str(port), *NO_DEFLATE, "tests.bench.peers.celery_web:app")
        async with (
            server("celery-worker", worker, env=env, log_folder=folder) as running_worker,
            listening("celery-web", web, port, folder, env) as running_web,
        ):
            yield Running(
                f"ws://{LOOPBACK}:{port}/ws",
                {
                    "web": running_web.root,
                    "worker": running_worker.root,
                    "redis": redis.root,
                    "postgres": postgres_processes,
                },
                addresses={"redis": redis_url, "postgres": postgres.url},
                source={"way": "redis", "address": redis_url},
            )


@asynccontextmanager
async def socketio(folder: Path) -> AsyncGenerator[Running]:
    """python-socketio with its Redis manager under uvicorn."""
    [port] = free_ports(1)
    async with redis_server(folder) as (redis_url, redis):
        env = {"BENCH_REDIS_URL": redis_url, "BENCH_JWT_SECRET": SECRET}
        argv = (*UVICORN, "--port", str(port), *NO_DEFLATE, "tests.bench.peers.socketio_redis:app")
        async with listening("socketio", argv, port, folder, env) as web:
            url = f"ws://{LOOPBACK}:{port}/socket.io/?EIO=4&transport=websocket"
            source = {"way": "socketio", "address": redis_url}
            yield Running(url, {"web": web.root, "redis": redis.root}, dialect="socketio", source=source)


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
            source = {"way": "channels", "address": redis_url}
            yield Running(url, {"web": web.root, "redis": redis.root}, source=source)


@asynccontextmanager
async def centrifugo(folder: Path) -> AsyncGenerator[Running]:
    """Centrifugo v6 on its Redis engine; each player's own channel and everybody's keep a history and are recovered."""
    [port] = free_ports(1)
    api_key = secrets.token_hex(16)
    async with redis_server(folder) as (redis_url, redis):
        channel = "CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_"
        env = {
            "CENTRIFUGO_HTTP_SERVER_ADDRESS": LOOPBACK,
            "CENTRIFUGO_HTTP_SERVER_PORT": str(port),
            "CENTRIFUGO_HTTP_API_KEY": api_key,
            "CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY": SECRET,
            "CENTRIFUGO_ENGINE_TYPE": "redis",
            "CENTRIFUGO_ENGINE_REDIS_ADDRESS": redis_url,
            f"{channel}HISTORY_SIZE": "256",
            f"{channel}HISTORY_TTL": "168h",
            f"{channel}FORCE_RECOVERY": "true",
        }
        async with listening("centrifugo", ("centrifugo",), port, folder, env) as web:
            url = f"ws://{LOOPBACK}:{port}/connection/websocket"
            source = {
                "way": "centrifugo",
                "address": f"http://{LOOPBACK}:{port}/api/publish?api_key={api_key}",
            }
            yield Running(url, {"web": web.root, "redis": redis.root}, dialect="centrifugo", source=source)


@asynccontextmanager
async def procrastinate(folder: Path) -> AsyncGenerator[Running]:
    """The worker of procrastinate over Postgres; each job that ran is a line in a file."""
    async with postgres_server(folder) as (postgres, postgres_processes):
        env = {"BENCH_DATABASE_URL": postgres.url, "BENCH_COMPLETIONS": str(folder / "completions.jsonl")}
        words = (sys.executable, "-m", "procrastinate", "--app", "tests.bench.peers.procrastinate_tasks.app")
        async with server("schema", (*words, "schema", "--apply"), env=env, log_folder=folder) as schema:
            if await asyncio.wait_for(schema.process.wait(), 60):
                raise RuntimeError("procrastinate's schema could not be applied")
        worker = (*words, "worker", "--concurrency", "8")
        async with server("procrastinate", worker, env=env, log_folder=folder) as running:
            yield Running(
                "",
                {"worker": running.root, "postgres": postgres_processes},
                addresses={"postgres": postgres.url, "completions": env["BENCH_COMPLETIONS"]},
            )
