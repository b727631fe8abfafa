"""Least privilege in Postgres, on a real database that was set up by the very files of deploy/postgres."""

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from starwake.store.migrate import migrate
from tests.deploy.support.postgres import ROLES, SQL, GuardedDatabase, guarded_database
from tests.support.postgres import LocalPostgres, connect

SERVICES = ("starwake_command", "starwake_scheduler")
PRIVILEGES = ("select", "insert", "update", "delete", "truncate", "references", "trigger", "maintain")


@pytest.fixture(scope="module")
async def database(postgres_server: LocalPostgres) -> AsyncIterator[GuardedDatabase]:
    async with guarded_database(postgres_server) as database:
        yield database


def documented() -> dict[str, dict[str, set[str]]]:
    """The table of deploy/postgres/README.md: table -> role -> privileges."""
    rows = re.findall(r"^\| (\w+) \| ([a-z, ]+) \| ([a-z, ]+) \|$", (SQL / "README.md").read_text(), re.MULTILINE)
    return {
        table: {role: set(cell.split(", ")) for role, cell in zip(SERVICES, cells, strict=True)}
        for table, *cells in rows
    }


async def granted(database: GuardedDatabase) -> dict[str, dict[str, set[str]]]:
    superuser = await connect(database.superuser_url)
    try:
        found = await superuser.fetch(
            """
            SELECT t.tablename::text AS name, r.role, array_remove(array_agg(
                CASE WHEN has_table_privilege(r.role, 'public.' || t.tablename, p.privilege) THEN p.privilege END
            ), NULL) AS privileges
            FROM pg_tables t, unnest($1::text[]) AS r(role), unnest($2::text[]) AS p(privilege)
            WHERE t.schemaname = 'public' GROUP BY 1, 2
            """,
            list(SERVICES),
            list(PRIVILEGES),
        )
    finally:
        await superuser.close()
    rights: dict[str, dict[str, set[str]]] = {}
    for row in found:
        privileges = row["privileges"]
        assert isinstance(privileges, list)
        rights.setdefault(str(row["name"]), {})[str(row["role"])] = set(privileges)  # pyright: ignore[reportUnknownArgumentType] - a row's value
    return rights


async def test_each_role_has_the_privileges_of_the_table_and_no_other(database: GuardedDatabase) -> None:
    assert await granted(database) == documented()


async def test_migrations_and_grants_may_be_repeated(database: GuardedDatabase) -> None:
    migrate(database.url("starwake_owner"))
    await database.grant()
    assert await granted(database) == documented()


async def test_what_was_granted_by_hand_is_withdrawn_by_the_next_grants(database: GuardedDatabase) -> None:
    owner = await connect(database.url("starwake_owner"))
    await owner.execute("GRANT DELETE ON build TO starwake_command; GRANT SELECT ON build TO PUBLIC")
    await owner.close()
    await database.grant()
    assert await granted(database) == documented()


@pytest.mark.parametrize("role", SERVICES)
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM build",
        "TRUNCATE build",
        "DROP TABLE build",
        "ALTER TABLE build ADD COLUMN spare int",
        "CREATE TABLE own (id int)",
        "CREATE TEMPORARY TABLE own (id int)",
        "UPDATE alembic_version SET version_num = 'x'",
        "UPDATE outbox SET payload = ''",
        "UPDATE inbox SET outcome = ''",
        "COPY build TO PROGRAM 'cat'",
        "SET ROLE starwake_owner",
        "SELECT * FROM pg_authid",
    ],
)
async def test_a_service_is_denied(database: GuardedDatabase, role: str, statement: str) -> None:
    connection = await connect(database.url(role))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()


async def test_nobody_sets_the_id_of_what_is_to_be_told(database: GuardedDatabase) -> None:
    connection = await connect(database.url("starwake_scheduler"))
    with pytest.raises(asyncpg.GeneratedAlwaysError):
        await connection.execute("UPDATE outbox SET id = 1")
    await connection.close()


async def test_only_the_services_enter_the_database(database: GuardedDatabase) -> None:
    superuser = await connect(database.superuser_url)
    await superuser.execute("DROP ROLE IF EXISTS stranger; CREATE ROLE stranger LOGIN")
    may = await superuser.fetch(
        "SELECT rolname::text AS role, has_database_privilege(oid, current_database(), 'CONNECT') AS may FROM pg_roles "
        "WHERE rolname = 'stranger' OR rolname = ANY($1)",
        list(ROLES),
    )
    await superuser.execute("DROP ROLE stranger")
    await superuser.close()
    assert {row["role"]: row["may"] for row in may} == dict.fromkeys(ROLES, True) | {"stranger": False}


async def test_connections_are_limited_and_statements_end(database: GuardedDatabase) -> None:
    superuser = await connect(database.superuser_url)
    limits = await superuser.fetch(
        "SELECT rolname::text, rolconnlimit, rolsuper FROM pg_roles WHERE rolname = ANY($1)", ROLES
    )
    assert {row["rolname"]: (row["rolconnlimit"], row["rolsuper"]) for row in limits} == {
        "starwake_owner": (5, False),
        "starwake_command": (80, False),
        "starwake_scheduler": (40, False),
    }
    await superuser.close()
    for role, statement, idle in (
        ("starwake_owner", "0", "1min"),
        ("starwake_command", "10s", "10s"),
        ("starwake_scheduler", "30s", "10s"),
    ):
        connection = await connect(database.url(role))
        assert await connection.fetchval("SHOW statement_timeout") == statement
        assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == idle
        await connection.close()


async def test_the_owner_is_refused_beyond_its_connections(database: GuardedDatabase) -> None:
    connections = [await connect(database.url("starwake_owner")) for _ in range(5)]
    with pytest.raises(asyncpg.TooManyConnectionsError):
        await connect(database.url("starwake_owner"))
    for connection in connections:
        await connection.close()
