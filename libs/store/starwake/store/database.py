"""The connection pool: asyncpg behind a face that has types, bounds every wait and speaks of errors in our words.

A connection whose work was cancelled, timed out or failed in the driver is terminated, never handed out again: such a
one can be left inside a transaction (seen with asyncpg and SQLAlchemy).
"""

# ruff: noqa: ASYNC109, D102 - the protocols below repeat asyncpg's own signatures
import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar, cast

import asyncpg

from starwake.runtime.urls import database_arguments
from starwake.store.errors import StoreConflict, StoreError, StoreUnavailable
from starwake.store.link import Link

_Result = TypeVar("_Result")

_ATTEMPTS = 5
_FIRST_PAUSE_S = 0.01
_CLOSE_SECONDS = 5.0
_ROLLBACK_SECONDS = 5.0
_LOOKS = 5
_CLOCK = "SELECT clock_timestamp(), current_setting('transaction_read_only'), pg_postmaster_start_time()"
# Idle for as long as it is held; no snapshot and no row is held with it.
_LOCKING = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0"

_REFUSED: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # class 57: shutting down, starting up, statement timeout
    asyncpg.InsufficientResourcesError,  # class 53: disk full, too many connections
    asyncpg.ObjectNotInPrerequisiteStateError,  # class 55: no lock in time; the database takes no connections
    asyncpg.ReadOnlySQLTransactionError,  # a replica, during a failover
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_CONFLICTS: tuple[type[BaseException], ...] = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
)


INDEXES_ONLY: Mapping[str, str] = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""Planner settings for who only ever looks up a bounded number of rows by index. On a young table, which the statistics
call empty, the planner would otherwise cache plans that read it from end to end, and keep them as it grows."""


class Record(Protocol):
    """A row: columns by position and by name."""

    def __getitem__(self, key: int | str, /) -> Any: ...  # noqa: ANN401 - a column may hold anything


class Connection(Protocol):
    """What is used of asyncpg's connection, with types. Parameters are positional (`$1`), timeouts in seconds."""

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str: ...
    async def executemany(self, command: str, args: Iterable[Sequence[object]]) -> None: ...
    async def fetch(self, query: str, *args: object, timeout: float | None = None) -> list[Record]: ...
    async def fetchrow(self, query: str, *args: object, timeout: float | None = None) -> Record | None: ...
    async def fetchval(self, query: str, *args: object, timeout: float | None = None) -> Any: ...  # noqa: ANN401 - as above
    def is_closed(self) -> bool: ...
    def terminate(self) -> None: ...


class _Pool(Protocol):
    async def acquire(self, *, timeout: float) -> Connection: ...
    async def release(self, connection: Connection, *, timeout: float) -> None: ...
    async def expire_connections(self) -> None: ...
    async def close(self) -> None: ...
    def terminate(self) -> None: ...


# asyncpg brings no types.
_create_pool = cast("Callable[..., Awaitable[_Pool]]", asyncpg.create_pool)  # pyright: ignore[reportUnknownMemberType]


def connection_failures() -> tuple[type[BaseException], ...]:
    """The driver's and the system's errors that mean: not available."""
    return _REFUSED


def translated(error: BaseException) -> StoreError | None:
    """The store's error for one of the driver or the system; None for what is neither."""
    if isinstance(error, _CONFLICTS):
        return StoreConflict(str(error))
    if isinstance(error, asyncpg.DataError) or (
        isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)
    ):
        return StoreError(str(error))
    if isinstance(error, _REFUSED):
        return StoreUnavailable(str(error) or type(error).__name__)
    if isinstance(error, asyncpg.PostgresError):
        return StoreError(str(error))
    return None


class Database:
    """A bounded pool of connections to one database."""

    def __init__(self, pool: _Pool, link: Link, acquire_timeout_s: float) -> None:
        self._pool = pool
        self._link = link
        self._acquire_timeout_s = acquire_timeout_s
        self._started_at: object = None

    @classmethod
    async def connect(  # noqa: PLR0913 - the pool's bounds, all keyword-only
        cls,
        url: str,
        *,
        name: str,
        max_connections: int = 4,
        command_timeout_s: float = 10.0,
        connect_timeout_s: float = 5.0,
        acquire_timeout_s: float = 5.0,
        planner: Mapping[str, str] | None = None,
    ) -> "Database":
        """A pool for `url` (postgresql://...). It connects when it is first used, so the database may come later.

        Args:
            url: where, as `starwake.runtime.urls.database_arguments` takes it. Of several hosts the one that can be
                written to is taken; one that became read-only is given up.
            name: shown in pg_stat_activity.
            max_connections: bound of the pool; who needs one more waits up to `acquire_timeout_s`.
            command_timeout_s: bound of each statement, enforced by the server (`statement_timeout`) and, a second
                later, by the client, which then drops the connection.
            connect_timeout_s: bound of making a connection.
            acquire_timeout_s: bound of waiting for a free connection.
            planner: further settings of each session, such as `INDEXES_ONLY`.

        Raises:
            ValueError: the URL cannot be read; the text shows nothing of it.
        """
        milliseconds = str(round(command_timeout_s * 1000))
        link = Link(
            {"timeout": connect_timeout_s, **database_arguments(url), "command_timeout": command_timeout_s + 1},
            name,
            {
                "statement_timeout": milliseconds,
                "lock_timeout": milliseconds,
                "idle_in_transaction_session_timeout": milliseconds,
                "jit": "off",  # compiling pays for none of these statements
                **(planner or {}),
            },
        )
        with _StoreErrors():
            pool = await _create_pool(
                min_size=0,
                max_size=max_connections,
                max_queries=1_000_000_000,  # a connection is renewed when it fails, not after a count
                max_inactive_connection_lifetime=0,  # nor after idle minutes: its end would be taken for a loss
                reset=_nothing_to_reset,
                connect=link.connect_watched,
            )
        return cls(pool, link, acquire_timeout_s)

    def on_loss(self, listener: Callable[[], None]) -> None:
        """Have `listener` called whenever the database may have been away, and may be an older copy of itself now.

        That is when any connection ended, and when `clock` or `now` meet a server that was started anew. It is
        synchronous and must not raise; it may be called for nothing (a statement was cancelled, a pooler closed an idle
        connection).
        """
        self._link.on_loss.append(listener)

    async def pooler(self) -> Literal["transaction", "session"] | None:
        """What kind of pooler (PgBouncer's words) is in between, None where there is none.

        Two connections of ours that meet the same server process show transaction mode; on a busy pooler they may miss
        each other each time, and it is taken for session mode.

        Raises:
            StoreUnavailable: the database is away, or the pooler has no connection to spare.
        """
        async with self.connection() as one, self.connection() as other:
            if not self._link.pooled:
                return None
            met: list[set[int]] = [set(), set()]
            for _ in range(_LOOKS):
                for seen, connection in zip(met, (one, other), strict=True):
                    seen.add(cast("int", await connection.fetchval("SELECT pg_backend_pid()")))
            return "transaction" if met[0] & met[1] or len(met[0]) > 1 or len(met[1]) > 1 else "session"

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection, None]:
        """A connection outside of a transaction: each statement commits by itself.

        Raises:
            StoreUnavailable: the database is away, or no connection came free in time.
            StoreConflict: deadlock, serialisation failure, unique violation.
        """
        with _StoreErrors():
            connection = await self._pool.acquire(timeout=self._acquire_timeout_s)
        try:
            with _StoreErrors():
                yield connection
        except BaseException as error:
            if isinstance(error.__cause__, asyncpg.ReadOnlySQLTransactionError):
                await self._give_up_read_only(connection)
            # A refused statement (class 22, 23, 40) leaves a good connection behind; anything else may not.
            elif not isinstance(error, StoreConflict) and not isinstance(error.__cause__, asyncpg.PostgresError):
                with suppress(asyncpg.InterfaceError):  # the pool takes a connection back by itself when it is lost
                    connection.terminate()
            raise
        finally:
            with suppress(*_REFUSED):
                await self._pool.release(connection, timeout=_CLOSE_SECONDS)  # shields itself from being cancelled

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Connection, None]:
        """A connection inside a READ COMMITTED transaction: committed at the end of the block, else rolled back.

        Raises:
            StoreUnavailable: as above; where COMMIT was under way it may or may not have taken effect.
            StoreConflict: rolled back; see `retrying`.
        """
        async with self.connection() as connection:
            await connection.execute(self._link.begin)
            try:
                yield connection
            except Exception:
                if not connection.is_closed():
                    await connection.execute("ROLLBACK", timeout=_ROLLBACK_SECONDS)
                raise
            if await connection.execute("COMMIT") != "COMMIT":
                raise StoreConflict("the transaction had failed and was rolled back")

    @asynccontextmanager
    async def holding(self, lock: int) -> AsyncGenerator[bool, None]:
        """Whether an advisory lock was free, and is held until the end of the block; it ends with the process, too.

        By a transaction on a connection of its own, which does nothing else: a session's lock would stay behind where a
        pooler (PgBouncer in transaction mode) gives the session to somebody else.

        Raises:
            StoreUnavailable: the database is away.
        """
        with _StoreErrors():
            connection = await self._link.connect()
        try:
            with _StoreErrors():
                await connection.execute(_LOCKING)
                held = cast("bool", await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", lock))
            yield held
        finally:
            connection.terminate()

    async def _give_up_read_only(self, connection: Connection) -> None:
        """The server has become a replica, or takes no writes: all connections are made anew."""
        await self._pool.expire_connections()
        with suppress(asyncpg.InterfaceError):
            connection.terminate()

    async def retrying(self, work: Callable[[], Awaitable[_Result]]) -> _Result:
        """`work()`, again where it met a conflict, after short growing pauses; a few times at most.

        Raises:
            StoreConflict: it met one each time.
        """
        for attempt in range(_ATTEMPTS - 1):
            try:
                return await work()
            except StoreConflict:
                await asyncio.sleep(_FIRST_PAUSE_S * 2**attempt)
        return await work()

    async def now(self) -> datetime:
        """The database's clock, which alone decides what is due.

        Raises:
            StoreUnavailable: the database is away, or cannot be written to.
        """
        moment, _ = await self.clock()
        return moment

    async def clock(self) -> tuple[datetime, float]:
        """The database's time, and `time.monotonic()` of the same moment: the middle of the round trip.

        Raises:
            StoreUnavailable: as `now`.
        """
        async with self.connection() as connection:
            before = time.monotonic()
            row = await connection.fetchrow(_CLOCK)
            at = (before + time.monotonic()) / 2
            if row is None or row[1] != "off":
                await self._give_up_read_only(connection)
                raise StoreUnavailable("the database is read-only")
            if row[2] != self._started_at:  # behind a pooler, connections stay when the server is another one
                known, self._started_at = self._started_at is not None, row[2]
                if known:
                    self._link.lost()
            return cast("datetime", row[0]), at

    async def close(self) -> None:
        """Close all connections, waiting a bounded time for work in hand."""
        try:
            await asyncio.wait_for(self._pool.close(), _CLOSE_SECONDS)
        except _REFUSED:
            self._pool.terminate()


async def _nothing_to_reset(_connection: object) -> None:
    # asyncpg would send RESET ALL and the like after each use, a round trip. Nothing here sets anything on a session
    # (advisory locks are the transaction's), and asyncpg itself rolls back first.
    return


class _StoreErrors:
    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None and not isinstance(error, StoreError):
            store_error = translated(error)
            if store_error is not None:
                raise store_error from error
