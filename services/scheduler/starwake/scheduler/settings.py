"""The scheduler's settings."""

from typing import Annotated

from pydantic import Field

from starwake.runtime.settings import BusSettings, Seconds, ServiceSettings, StoreSettings


class SchedulerSettings(ServiceSettings, BusSettings, StoreSettings):
    """What the scheduler reads from the environment besides the common blocks.

    STARWAKE_COMMIT_AHEAD_MS: how long before its due time a row is completed in the table, so that the disk's flush
        is over when it is pushed (which is never before the due time). 0 completes at the due time itself.
    STARWAKE_HOLD_LIMIT: rows in memory at most.
    STARWAKE_BATCH_SIZE: rows completed in one transaction at most.
    STARWAKE_LANES: transactions at the same time.
    STARWAKE_RECONCILE_SECONDS: between two whole comparisons of table and alarms; they also run at start and after
        each reconnect.
    STARWAKE_CHECK_SECONDS: between two looks at the configuration of streams and consumer.
    STARWAKE_SILENCE_SECONDS: a push that waits this long to be published, or alarms that cannot be set for this
        long, make the scheduler not ready.
    STARWAKE_INBOX_DAYS: how long command ids are remembered.
    STARWAKE_TESTING, STARWAKE_FAULT: crash points, see `starwake.runtime.crash_points`; for tests only.
    """

    health_port: Annotated[int, Field(ge=0, le=65535)] = 9103
    commit_ahead_ms: Annotated[int, Field(ge=0, le=1000)] = 100
    hold_limit: Annotated[int, Field(ge=100, le=1_000_000)] = 20_000
    batch_size: Annotated[int, Field(ge=1, le=5_000)] = 200
    lanes: Annotated[int, Field(ge=1, le=16)] = 3
    reconcile_seconds: Seconds = 3600.0
    check_seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0
    silence_seconds: Annotated[float, Field(ge=1, le=3600)] = 30.0
    inbox_days: Annotated[int, Field(ge=7, le=365)] = 7
    testing: bool = False
    fault: str | None = None
