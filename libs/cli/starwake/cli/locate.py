"""Where the servers of the stack are that a command speaks to: the running one's, else the settings'."""

import os
from dataclasses import dataclass
from pathlib import Path

from starwake.cli.embedded.state import read_state
from starwake.runtime.settings import BusSettings, StoreSettings, load_settings


@dataclass(frozen=True, slots=True)
class Location:
    """Addresses with credentials; never printed."""

    nats_url: str
    database_url: str
    from_data: bool


def locate(data: Path) -> Location:
    """What the settings name comes first, then what runs on `data`, then the settings' defaults.

    Raises:
        SettingsError: a setting has a bad value.
    """
    state = read_state(data)
    bus, store = load_settings(BusSettings), load_settings(StoreSettings)
    running = state if state is not None and state.is_alive else None
    ask_state = running is not None
    return Location(
        nats_url=running.nats_url if running and "STARWAKE_NATS_URL" not in os.environ else bus.nats_url,
        database_url=running.database_url
        if running and "STARWAKE_DATABASE_URL" not in os.environ
        else store.database_url.get_secret_value(),
        from_data=ask_state,
    )
