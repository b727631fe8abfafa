"""`starwake migrate`: the schema, also of a database that is only just being started."""

import time
from collections.abc import Callable
from typing import Final

from starwake.store.errors import StoreUnavailable
from starwake.store.migrate import SchemaState, migrate

_AGAIN_SECONDS: Final = 0.2


def migrate_when_there(url: str, *, wait_s: float, progress: Callable[[str], None]) -> SchemaState:
    """Migrate as soon as the database can be reached.

    Raises:
        StoreUnavailable: it could not within `wait_s` seconds.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return migrate(url, progress=progress)
        except StoreUnavailable:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_AGAIN_SECONDS)
