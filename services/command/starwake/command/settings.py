"""The command service's settings; each is an environment variable with the prefix `STARWAKE_`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from starwake.game import catalogue
from starwake.runtime.settings import Block, BusSettings, ReadableFile, ServiceSettings, StoreSettings


class GameSettings(Block):
    """What can be built.

    STARWAKE_CATALOGUE is a TOML file like `starwake/game/default/catalogue.toml`; STARWAKE_ORDERS a directory with
    order modules of one's own besides those in `starwake/game/default/`. STARWAKE_TIME_SCALE 60 makes all durations 60
    times shorter, for trying out.
    """

    catalogue: ReadableFile = catalogue.DEFAULT
    orders: Path | None = None
    time_scale: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = 1.0


class BatchSettings(Block):
    """How orders are gathered.

    While one batch commits the next one collects, STARWAKE_ORDERS_PER_BATCH at most; beyond STARWAKE_ORDERS_WAITING
    that wait, orders are answered `unavailable`. STARWAKE_BATCHES_AT_ONCE is the number of transactions under way.
    """

    orders_per_batch: Annotated[int, Field(ge=1, le=1000)] = 128
    orders_waiting: Annotated[int, Field(ge=1, le=1_000_000)] = 4096
    batches_at_once: Annotated[int, Field(ge=1, le=16)] = 1


class ReadSettings(Block):
    """What reads may take; orders never wait for it.

    STARWAKE_READ_POOL is the number of database connections for reads alone, besides STARWAKE_DATABASE_POOL, and with
    it of reads under way; the others wait, one player's after the other's.
    """

    read_pool: Annotated[int, Field(ge=1, le=100)] = 2


class CommandSettings(ServiceSettings, BusSettings, StoreSettings, GameSettings, BatchSettings, ReadSettings):
    """All blocks of the command service."""

    health_port: Annotated[int, Field(ge=0, le=65535)] = 9102
    database_timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
