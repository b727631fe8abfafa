"""Whether the migrations end in the tables that the code declares, tried on a Postgres of its own.

`python -m tests.support.check_schema` compares; with `--revision MESSAGE` it writes the missing migration.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from starwake.store.migrate import main as migrate_command
from tests.support.postgres import LocalPostgres


async def check(arguments: list[str]) -> int:
    """Migrate a fresh database, then compare it (or write what is missing)."""
    with tempfile.TemporaryDirectory(prefix="starwake-schema-") as scratch:
        directory = Path(scratch)
        directory.chmod(0o711)  # noqa: ASYNC240 - nothing else runs in this loop
        server = LocalPostgres(directory)
        await server.start()
        try:
            async with server.database() as url:
                command = ["--url", url, *(arguments or ["--check"])]
                return await asyncio.to_thread(migrate_command, command)
        finally:
            await server.stop()


if __name__ == "__main__":
    sys.exit(asyncio.run(check(sys.argv[1:])))
