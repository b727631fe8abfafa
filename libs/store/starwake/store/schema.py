"""Where a database's schema stands, compared with the migrations of this program; without importing alembic.

Alembic and SQLAlchemy take longer to import than a service takes to start; services only look, and leave migrating
to `starwake.store.migrate`.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from starwake.store.database import Database
from starwake.store.errors import SchemaBehind
from starwake.store.sql import load

MIGRATIONS = Path(__file__).parent / "migrations"
_REVISION = re.compile(r"^revision: str = ['\"]([^'\"]+)['\"]$", re.MULTILINE)
_BEFORE = re.compile(r"^down_revision: str \| None = ['\"]([^'\"]+)['\"]$", re.MULTILINE)
_SQL = load("schema")


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Where a database's schema stands: alembic revisions, `current` None where there is no schema at all."""

    current: str | None
    head: str
    is_newer: bool = False
    """A later version of the program has migrated it. Migrations only add at first, so this version still works."""

    @property
    def is_current(self) -> bool:
        """Whether the schema is the one that this program was written for."""
        return self.current == self.head

    @property
    def is_usable(self) -> bool:
        """Whether this program can work with it: current, or newer (an upgrade is under way)."""
        return self.is_current or self.is_newer

    @property
    def described(self) -> str:
        """Where it stands, in a line for people."""
        if self.is_newer:
            return (
                f"the schema is at revision {self.current}, newer than this version's {self.head}: "
                "a later version has migrated it, and this one works with it"
            )
        if self.is_current:
            return f"the schema is at revision {self.current}"
        return f"the schema is at revision {self.current or 'none'}, this version needs {self.head}"


async def check_schema(database: Database) -> SchemaState:
    """Where the schema of `database` stands. A service starts only where it is usable.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    async with database.connection() as connection:
        exists = await connection.fetchval(_SQL.has_version_table)
        current = await connection.fetchval(_SQL.current_version) if exists else None
    revision = cast("str | None", current)
    return SchemaState(revision, head(), is_newer=revision is not None and revision not in known_revisions())


def head() -> str:
    """The newest revision that this program knows.

    Raises:
        SchemaBehind: there are no migrations in this installation, or they do not form one line.
    """
    revisions = known_revisions()
    newest = set(revisions) - set(revisions.values())
    if len(newest) != 1:
        raise SchemaBehind(f"the migrations of this installation end in {len(newest)} revisions instead of one")
    return newest.pop()


@cache
def known_revisions() -> dict[str, str | None]:
    """All revisions of this program, and the one before each."""
    texts = [path.read_text(encoding="utf-8") for path in (MIGRATIONS / "versions").glob("*.py")]
    found = [(_REVISION.search(text), _BEFORE.search(text)) for text in texts]
    return {revision[1]: before[1] if before else None for revision, before in found if revision}
