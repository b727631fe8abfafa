"""One service in the foreground, as containers run it; and which settings there are altogether."""

import importlib
from typing import TYPE_CHECKING, Final, Literal, cast

from starwake.runtime.settings import load_settings, names_of, refuse_unknown_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_settings import BaseSettings

ServiceName = Literal["gateway", "command", "scheduler"]
SERVICES: Final[tuple[ServiceName, ...]] = ("gateway", "command", "scheduler")

# What commands and tests read besides the services' own settings, and what it does.
OWN_SETTINGS: Final[dict[str, str]] = {
    "STARWAKE_DATA": "Where `starwake up` keeps its data and commands find the running stack; else `.starwake`.",
    "STARWAKE_URL": "The page that `starwake play` speaks to; the running stack's by default.",
    "STARWAKE_TOKEN": "The token that `starwake play` shows, instead of signing in.",
    "STARWAKE_TEST_CONTAINERS": "Tests: whether NATS runs in a container (`auto`, `require`, `never`).",
    "STARWAKE_TEST_CHROMIUM": "Tests: the browser's program.",
    "STARWAKE_TEST_NEEDS": "Tests: `require` fails where the machine lacks something, `auto` leaves tests out.",
    "STARWAKE_TEST_WORKERS": "Tests: how many run at the same time.",
    "STARWAKE_TEST_CHAOS_FOR": "Tests: how long chaos goes on (`90s`, `30m`, `2h`).",
    "STARWAKE_TEST_CHAOS_SEED": "Tests: the round that chaos begins with.",
}


def serve(name: ServiceName) -> int:
    """Run one service until it is asked to stop; its exit code.

    Raises:
        SettingsError: a setting is unknown or bad.
    """
    refuse_unknown_settings()
    # Imported by name: only the service that is asked for is loaded, and only by the process that runs it.
    run = cast("Callable[[], int]", importlib.import_module(f"starwake.{name}.app").run)
    return run()


def refuse_unknown_settings() -> None:
    """Refuse a STARWAKE_ variable that no service reads.

    Raises:
        SettingsError: there is one.
    """
    refuse_unknown_names(known_names())


def refuse_bad_settings() -> None:
    """Refuse bad values before anything starts, as far as they do not depend on what `up` itself decides.

    Raises:
        SettingsError: there is one.
    """
    for name in ("command", "scheduler"):
        load_settings(settings_class(name))


def known_names() -> frozenset[str]:
    """Every setting of every service."""
    return frozenset(OWN_SETTINGS).union(*(names_of(settings_class(name)) for name in SERVICES))


def settings_class(name: ServiceName) -> "type[BaseSettings]":
    """The class that a service loads its settings into: `<Name>Settings` in its `settings` module."""
    module = importlib.import_module(f"starwake.{name}.settings")
    return cast("type[BaseSettings]", getattr(module, f"{name.capitalize()}Settings"))
