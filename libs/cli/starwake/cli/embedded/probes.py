"""Is it there? One question for every kind of server, asked by its URL, with an answer within two seconds."""

import asyncio
import json
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol, cast
from urllib.parse import urlsplit

import asyncpg

from starwake.runtime.urls import database_arguments

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_SECONDS: Final = 2.0
_SILENT_SECONDS: Final = 0.7
_TLS_PORT: Final = 443
_MAX_BODY: Final = 16_384
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
    """Whether the server at this URL serves; see `trouble`."""
    return await trouble(url) is None


async def trouble(url: str) -> str | None:
    """Why the server at this URL does not serve, in its own words where it has some; None where it does.

    http(s): answers with status 200. nats, tls: greets with its INFO. postgresql: lets the user in and answers a
    query. Several NATS servers may be given, separated by commas: the first is asked.
    """
    scheme = urlsplit(url).scheme
    try:
        async with asyncio.timeout(_SECONDS):
            if scheme in {"http", "https"}:
                status, body = await _http_answer(url)
                return None if status == 200 else _reason(body) or f"HTTP {status}"  # noqa: PLR2004 - OK (RFC 9110)
            if scheme in {"nats", "tls"}:
                serves = await _nats_greets(url.split(",", maxsplit=1)[0])
            else:
                serves = await _postgres_answers(url)
            return None if serves else "it is something else"
    except _FAILURES:
        return "it does not answer"


async def create_database(server_url: str, name: str) -> None:
    """Create a database unless it is there; `server_url` names another database of the same server."""
    connection = await _connect(**{"timeout": 10, **database_arguments(server_url)})
    try:
        if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name) is None:
            await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        connection.terminate()


def _reason(body: bytes) -> str:
    """What a service's `/readyz` (`reasons`) or NATS's `/healthz` (`error`) says."""
    try:
        told = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(told, dict):
        return ""
    answer = cast("dict[str, object]", told)
    reasons = answer.get("reasons")
    if isinstance(reasons, dict):
        return "; ".join(f"{name}: {why}" for name, why in cast("dict[str, object]", reasons).items())
    return str(answer.get("error", ""))


async def _http_answer(url: str) -> tuple[int, bytes]:
    # Without an HTTP library: building its client takes longer than the answer, and `up` asks often.
    parts = urlsplit(url)
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or (_TLS_PORT if tls else 80), ssl=tls)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.read(_MAX_BODY)
        return int(head.split(b" ", 2)[1]), body
    except IndexError:
        return 0, b""
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _nats_greets(url: str) -> bool:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or _NATS_PORT)
    try:
        greeting = asyncio.ensure_future(reader.readuntil(b" "))
        await asyncio.wait((greeting,), timeout=_SILENT_SECONDS)
        if not greeting.done():
            # A server that wants TLS first. Who it is does not matter here: nothing is told to it.
            greeting.cancel()
            await asyncio.wait((greeting,))
            await writer.start_tls(_unchecked(), server_hostname=parts.hostname)
            return (await reader.readuntil(b" ")) == b"INFO "
        return greeting.result() == b"INFO "
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _unchecked() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _postgres_answers(url: str) -> bool:
    # Without a cache of statements: there may be a pooler in between, where names could meet those of somebody else.
    connection = await _connect(**{**database_arguments(url), "timeout": _SECONDS, "statement_cache_size": 0})
    try:
        return await connection.fetchval("SELECT 1") == 1
    finally:
        connection.terminate()
