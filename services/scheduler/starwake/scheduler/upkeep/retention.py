"""Retention: deletes old command ids, refusals and revocations, and world events long ended."""

from datetime import timedelta

from starwake.runtime.logs import get_logger
from starwake.store import revocations
from starwake.store.database import Database
from starwake.store.gather import RETENTION_LOCK, forget_events, forget_inbox, forget_refusals

log = get_logger("retention")

_ROWS = 5_000
_EVENTS_KEPT = timedelta(days=30)


async def delete_expired(database: Database, inbox_days: int) -> int:
    """Delete page by page what is too old; how many rows. One scheduler at a time, the others have nothing to do.

    Raises:
        StoreError: the database does not answer.
    """
    deleted = 0
    async with database.holding(RETENTION_LOCK) as held, database.connection() as connection:
        if not held:
            return 0
        while page := await forget_inbox(connection, timedelta(days=inbox_days), _ROWS):
            deleted += page
        while page := await forget_refusals(connection, timedelta(days=inbox_days), _ROWS):
            deleted += page
        while page := await forget_events(connection, _EVENTS_KEPT, _ROWS):
            deleted += page
        while page := await revocations.forget(connection, _ROWS):
            deleted += page
    if deleted:
        log.info("retention.deleted", deleted=deleted)
    return deleted
