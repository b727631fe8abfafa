"""A new version comes while players play: it expands the schema, both versions run side by side, nobody notices."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from starwake.store.schema import head
from tests.deploy.support.guarded import GuardedStack, guarded_stack
from tests.deploy.support.nats import REPOSITORY, eventually, single_server
from tests.deploy.support.postgres import guarded_database
from tests.deploy.support.world import Population
from tests.support.postgres import LocalPostgres, connect

pytestmark = pytest.mark.timeout(240)

# What an expanding migration does: a column with a default, a table, an index made without locking writers out.
NEXT = '''
"""A column, a table and an index more; what was there stays as it is."""

from alembic import op

revision: str = "9999_next"
down_revision: str | None = "{head}"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE build ADD COLUMN nickname text NOT NULL DEFAULT ''")
    op.execute("CREATE TABLE medal (player text PRIMARY KEY, given_at timestamptz NOT NULL DEFAULT now())")
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY build_nickname ON build (nickname) WHERE nickname <> ''")


def downgrade() -> None:
    op.execute("DROP INDEX build_nickname; DROP TABLE medal; ALTER TABLE build DROP COLUMN nickname")
'''


@pytest.fixture
async def stack(postgres_server: LocalPostgres, tmp_path: Path) -> AsyncIterator[GuardedStack]:
    with single_server(tmp_path) as server:
        async with guarded_database(postgres_server) as database, guarded_stack([server], database, tmp_path) as stack:
            for name in ("scheduler", "command", "gateway"):
                await stack.start(name)
            yield stack


def next_version(directory: Path) -> dict[str, str]:
    """A copy of the sources with one migration more; the environment in which Python runs that one."""
    for folder in ("libs", "services"):
        shutil.copytree(REPOSITORY / folder, directory / folder, ignore=shutil.ignore_patterns("__pycache__", "web"))
    shutil.copytree(
        REPOSITORY / "services/gateway/starwake/gateway/web", directory / "services/gateway/starwake/gateway/web"
    )
    versions = directory / "libs/store/starwake/store/migrations/versions"
    (versions / "9999_next.py").write_text(NEXT.format(head=head()))
    portions = [str(each.parent) for each in sorted(directory.glob("*/*/starwake"))]
    return {"PYTHONPATH": os.pathsep.join(portions), "PYTHONSAFEPATH": "1"}


def migrate(stack: GuardedStack, environment: dict[str, str]) -> None:
    """The new version's Job, as the owner."""
    done = subprocess.run(
        [sys.executable, "-m", "starwake.cli.main", "migrate"],
        env=os.environ | environment | {"STARWAKE_DATABASE_URL": stack.database.url("starwake_owner")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search("9999_next", done.stdout + done.stderr)


async def test_old_and_new_run_side_by_side_and_no_player_notices(stack: GuardedStack, tmp_path: Path) -> None:
    new = next_version(tmp_path / "next")
    old = list(stack.running)
    async with Population(stack, [old[-1].port], 4) as people:
        await eventually(lambda: people.accepted >= 15, 90, "orders before the upgrade")
        await asyncio.to_thread(migrate, stack, new)
        await stack.database.grant()
        before = people.accepted
        await eventually(lambda: people.accepted >= before + 15, 90, "the old version serves on the new schema")
        for name in ("scheduler", "command"):
            await stack.start(name, new)
        before = people.accepted
        await eventually(lambda: people.accepted >= before + 15, 90, "both versions serve")
        for service in old[:2]:
            assert await service.stop() == 0
        before = people.accepted
        await eventually(lambda: people.accepted >= before + 15, 90, "the new version serves alone")
        verdict = await people.judged()
        assert not verdict.violations, verdict.text
    connection = await connect(stack.database.superuser_url)
    assert await connection.fetchval("SELECT version_num FROM alembic_version") == "9999_next"
    await connection.close()


async def test_the_old_version_starts_on_the_new_schema_so_that_an_upgrade_can_be_taken_back(
    stack: GuardedStack, tmp_path: Path
) -> None:
    await asyncio.to_thread(migrate, stack, next_version(tmp_path / "next"))
    await stack.database.grant()
    for name in ("scheduler", "command", "gateway"):
        assert await (await stack.start(name)).is_ready()
