"""The command service's settings; each is an environment variable with the prefix `STARWAKE_`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from starwake.game import catalogue
from starwake.runtime.settings import Block, BusSettings, Port, ReadableFile, ServiceSettings, StoreSettings, about


class GameSettings(Block):
    """The game.

    What can be built, and which orders there are.
    """

    catalogue: Annotated[
        ReadableFile,
        about(
            'A TOML file like `starwake/game/default/catalogue.toml`, which it may extend (`extends = "default"`).',
            default="the catalogue that comes with it",
        ),
    ] = catalogue.DEFAULT
    orders: Annotated[
        Path | None,
        about("A directory with order modules of one's own, besides those that come with it; `_*.py` are helpers."),
    ] = None
    time_scale: Annotated[
        float,
        Field(gt=0, le=1_000_000, allow_inf_nan=False),
        about("60 makes all durations of the catalogue 60 times shorter, for trying out."),
    ] = 1.0


class BatchSettings(Block):
    """Batches of orders.

    While one batch commits the next one collects.
    """

    orders_per_batch: Annotated[int, Field(ge=1, le=1000), about("Orders of one transaction at most.")] = 128
    orders_waiting: Annotated[
        int, Field(ge=1, le=1_000_000), about("Orders that wait at most; those beyond are answered `unavailable`.")
    ] = 4096
    batches_at_once: Annotated[
        int,
        Field(ge=1, le=16),
        about("Transactions under way at the same time; more than one pays on slow disks, and costs CPU."),
    ] = 1


class ReadSettings(Block):
    """Reads.

    What lists and other reads may take; orders never wait for them.
    """

    read_pool: Annotated[
        int,
        Field(ge=1, le=100),
        about(
            "Database connections for reads alone, besides STARWAKE_DATABASE_POOL, and with it reads under way at the "
            "same time; the others wait, one player's after the other's."
        ),
    ] = 2


class CommandSettings(ServiceSettings, BusSettings, StoreSettings, GameSettings, BatchSettings, ReadSettings):
    """The command service."""

    health_port: Port = 9102
    database_timeout_s: Annotated[
        float,
        Field(gt=0, le=60),
        about("How long a statement may take.", unit="s"),
    ] = 5.0
