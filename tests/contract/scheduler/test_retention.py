"""What nobody needs any more is forgotten, and nothing before its time."""

from starwake.scheduler.upkeep.retention import delete_expired
from starwake.store.database import Database
from tests.support.postgres import connect

OLD, YOUNG = "7 days 1 minute", "6 days 23 hours"


async def test_command_ids_and_refusals_are_forgotten_after_the_days_that_are_promised(database_url: str) -> None:
    connection = await connect(database_url)
    try:
        for age in (OLD, YOUNG):
            await connection.execute(
                "INSERT INTO inbox (player, command_id, command, fingerprint, outcome, created_at)"
                " VALUES ('ada', $1, 'build.start', '', '{}', now() - $1::text::interval)",
                age,
            )
            await connection.execute(
                "INSERT INTO refusal (player, command_id, times, refused_at)"
                " VALUES ('ada', $1, 1, now() - $1::text::interval)",
                age,
            )
        database = await Database.connect(database_url, name="test")
        try:
            assert await delete_expired(database, 7) == 2
            assert await delete_expired(database, 7) == 0
        finally:
            await database.close()
        left = await connection.fetch("SELECT command_id FROM inbox UNION ALL SELECT command_id FROM refusal")
        assert [row["command_id"] for row in left] == [YOUNG, YOUNG]
    finally:
        await connection.close()
