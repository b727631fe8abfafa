"""A database that was set up as an operator does it: roles.sql, the owner's migrations, grants.sql."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from deploy.credentials.identities import DATABASE_ROLES
from starwake.store.migrate import migrate
from tests.deploy.support.nats import REPOSITORY
from tests.support.postgres import LocalPostgres, connect

SQL = REPOSITORY / "deploy" / "postgres"
ROLES = tuple(role.role for role in DATABASE_ROLES)


@dataclass(frozen=True, slots=True)
class GuardedDatabase:
    """A database with least privileges, and the URL by which each role reaches it."""

    superuser_url: str
    passwords: dict[str, str]

    def url(self, role: str) -> str:
        parts = urlsplit(self.superuser_url)
        return urlunsplit(parts._replace(netloc=f"{role}:{self.passwords[role]}@{parts.hostname}:{parts.port}"))

    async def grant(self) -> None:
        """Run grants.sql as the Job does, after the migrations."""
        owner = await connect(self.url("starwake_owner"))
        try:
            await owner.execute((SQL / "grants.sql").read_text())
        finally:
            await owner.close()


@asynccontextmanager
async def guarded_database(server: LocalPostgres) -> AsyncGenerator[GuardedDatabase]:
    """A fresh database of the run's Postgres; the roles are the whole server's."""
    async with server.database(migrated=False) as url:
        database = GuardedDatabase(url, {role: secrets.token_hex(12) for role in ROLES})
        superuser = await connect(url)
        try:
            await superuser.execute((SQL / "roles.sql").read_text())
            for role, password in database.passwords.items():
                await superuser.execute(f"ALTER ROLE {role} PASSWORD '{password}'")
            name = urlsplit(url).path.removeprefix("/")
            await superuser.execute(f'ALTER DATABASE "{name}" OWNER TO starwake_owner')
        finally:
            await superuser.close()
        await asyncio.to_thread(migrate, database.url("starwake_owner"))
        await database.grant()
        yield database
