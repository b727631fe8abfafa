"""Is it there? One question for every kind of server, asked by its URL, with an answer within two seconds."""

import asyncio
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol, cast
from urllib.parse import urlsplit

import asyncpg

from libs.runtime.urls import database_arguments

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_SECONDS: Final = 2.0
_TLS_PORT: Final = 443
_NATS_PORT: Final = 4222


class _Connection(Protocol):
    async def execute(self, query: str, *args: object) -> str: ...
    async def fetchval(self, query: str, *args: object) -> object: ...
    def terminate(self) -> None: ...


# asyncpg brings no types.
_connect: Final = cast("Callable[..., Awaitable[_Connection]]", asyncpg.connect)  # pyright: ignore[reportUnknownMemberType]
_FAILURES: Final = (
    *(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError),
    *(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError),
)


async def probe(url: str) -> bool:
    """Whether the server at this URL serves.

    http(s): answers with status 200. nats, tls: greets with its INFO. postgresql: lets the user in and answers a
    query. Several NATS servers may be given, separated by commas: the first is asked.
    """
    scheme = urlsplit(url).scheme
    try:
        async with asyncio.timeout(_SECONDS):
            if scheme in {"http", "https"}:
                return await _http_status(url) == 200  # noqa: PLR2004 - OK (RFC 9110 section 15.3.1)
            if scheme in {"nats", "tls"}:
                return await _nats_greets(url.split(",", maxsplit=1)[0])
            return await _postgres_answers(url)
    except _FAILURES:
        return False


async def create_database(server_url: str, name: str) -> None:
    """Create a database unless it is there; `server_url` names another database of the same server."""
    connection = await _connect(**{"timeout": 10, **database_arguments(server_url)})
    try:
        if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name) is None:
            await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        connection.terminate()


async def _http_status(url: str) -> int:
    # Without an HTTP library: building its client takes longer than the answer, and `up` asks often.
    parts = urlsplit(url)
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or (_TLS_PORT if tls else 80), ssl=tls)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        status_line = await reader.readuntil(b"\r\n")
        return int(status_line.split(b" ")[1])
    except IndexError:
        return 0
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _nats_greets(url: str) -> bool:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or _NATS_PORT)
    try:
        return (await reader.readuntil(b" ")) == b"INFO "
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _postgres_answers(url: str) -> bool:
    # Without a cache of statements: there may be a pooler in between, where names could meet those of somebody else.
    connection = await _connect(**{**database_arguments(url), "timeout": _SECONDS, "statement_cache_size": 0})
    try:
        return await connection.fetchval("SELECT 1") == 1
    finally:
        connection.terminate()
