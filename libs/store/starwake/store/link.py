"""How one connection is made: straight to Postgres, or through a pooler such as PgBouncer, which shows itself.

Through a pooler a session is not ours. In transaction mode each transaction may meet another server process, which
knows the prepared statements of somebody else, and where settings stay for whoever comes next. So nothing is left in
a session there: statements have no names, and settings hold for a transaction.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

import asyncpg
import structlog

_log = structlog.stdlib.get_logger("starwake.store")

_connect: Final = cast("Callable[..., Awaitable[Any]]", asyncpg.connect)  # pyright: ignore[reportUnknownMemberType]
_SAME_PROCESS: Final = "SELECT 1 / (pg_backend_pid() = {pid})::int"
"""In the simple protocol: it needs no statement prepared. A pooler gives out process ids of its own."""
_REFUSED_AT_START: Final = (asyncpg.ProtocolViolationError, asyncpg.FeatureNotSupportedError)
"""PgBouncer's answer to a startup parameter that it does not know (08P01)."""


class Link:
    """Makes connections for one process.

    Attributes:
        pooled: whether there is a pooler in between; known after the first connection.
        on_loss: called when a connection of the pool has ended, whoever ended it.
    """

    def __init__(self, arguments: Mapping[str, Any], name: str, session: Mapping[str, str]) -> None:
        self.pooled = False
        self.on_loss: list[Callable[[], None]] = []
        self._arguments = dict(arguments)
        self._everywhere = {"application_name": name, "timezone": "UTC"}
        self._session = dict(session)
        settings = "".join(f"; SET LOCAL {each} = '{value}'" for each, value in session.items())
        self._begin_pooled = f"BEGIN{settings}"

    @property
    def begin(self) -> str:
        """What begins a transaction: through a pooler, the session's settings come with it."""
        return self._begin_pooled if self.pooled else "BEGIN"

    async def connect_watched(self, _dsn: str | None = None, **pool: Any) -> Any:  # noqa: ANN401 - as `connect`
        """As `connect`, and its end calls `on_loss`."""
        connection = await self.connect(**pool)
        connection.add_termination_listener(self._ended)
        return connection

    def lost(self) -> None:
        """Tell whoever wants to know that the database may have been away, or another one."""
        for listener in self.on_loss:
            listener()

    def _ended(self, _connection: object) -> None:
        self.lost()

    async def connect(self, _dsn: str | None = None, **pool: Any) -> Any:  # noqa: ANN401 - asyncpg's own arguments, and its connection
        """A new connection.

        Raises:
            Whatever asyncpg raises.
        """
        if not self.pooled:
            connection = await self._directly(pool)
            if connection is not None:
                return connection
            if not self.pooled:
                _log.info("database.pooled", note="statements without names, settings per transaction")
            self.pooled = True
        unnamed = {"server_settings": self._everywhere, "statement_cache_size": 0}
        return await _connect(**{**self._arguments, **pool, **unnamed})

    async def _directly(self, pool: Mapping[str, Any]) -> Any | None:  # noqa: ANN401 - as above
        """None where there is a pooler in between."""
        try:
            connection = await _connect(
                **self._arguments, **pool, server_settings={**self._everywhere, **self._session}
            )
        except _REFUSED_AT_START as error:
            if "startup parameter" in str(error):
                return None
            raise
        try:
            await connection.execute(_SAME_PROCESS.format(pid=int(connection.get_server_pid())))
        except asyncpg.DivisionByZeroError:
            connection.terminate()
            return None
        except BaseException:
            connection.terminate()
            raise
        return connection
