"""The scheduler's settings; each is an environment variable with the prefix `STARWAKE_`."""

from typing import Annotated

from pydantic import Field

from starwake.runtime.settings import BusSettings, Port, Seconds, ServiceSettings, StoreSettings, about


class SchedulerSettings(ServiceSettings, BusSettings, StoreSettings):
    """The scheduler."""

    health_port: Port = 9103
    commit_ahead_ms: Annotated[
        int,
        Field(ge=0, le=1000),
        about(
            "How long before its due time a row is completed in the table, so that the disk's flush is over when the "
            "push is published (which is never before the due time). 0 completes at the due time itself.",
            unit="ms",
        ),
    ] = 100
    hold_limit: Annotated[int, Field(ge=100, le=1_000_000), about("Rows held in memory at most.")] = 20_000
    batch_size: Annotated[int, Field(ge=1, le=5_000), about("Rows completed in one transaction at most.")] = 200
    lanes: Annotated[int, Field(ge=1, le=16), about("Completing transactions at the same time.")] = 3
    reconcile_seconds: Annotated[
        Seconds,
        about(
            "Between two whole comparisons of table and alarms; they also run at start and after each reconnect.",
            unit="s",
        ),
    ] = 3600.0
    check_seconds: Annotated[
        float,
        Field(gt=0, le=3600),
        about("Between two looks at the configuration of streams and consumer.", unit="s"),
    ] = 5.0
    silence_seconds: Annotated[
        float,
        Field(ge=1, le=3600),
        about(
            "A push that has waited this long to be published, or alarms that could not be set for this long, make the "
            "scheduler not ready.",
            unit="s",
        ),
    ] = 30.0
    inbox_days: Annotated[int, Field(ge=7, le=365), about("How long command ids are remembered.", unit="days")] = 7
    testing: Annotated[bool, about("Allows STARWAKE_FAULT; for tests only.")] = False
    fault: Annotated[
        str | None, about("A crash point, `name` or `name:n` for the n-th time (`starwake.runtime.crash_points`).")
    ] = None
