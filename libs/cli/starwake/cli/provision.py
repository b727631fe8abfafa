"""`starwake provision`: the streams as they have to be, made by an identity that may do nothing else."""

from collections.abc import Callable

from starwake.bus.connection import Bus
from starwake.bus.errors import BusUnavailable, StreamRefused
from starwake.bus.options import options_from
from starwake.bus.provision import Change, provision, refilled_by_another
from starwake.cli.errors import CliError
from starwake.runtime.settings import BusSettings, load_settings


async def provision_streams(*, wait_s: float, progress: Callable[[str], None]) -> None:
    """Create what is missing, repair what differs, and tell of each change.

    Args:
        wait_s: how long to wait for a NATS server that is not there yet.
        progress: gets a line for each change.

    Raises:
        CliError: no server, or a difference that cannot be repaired without loss.
        SettingsError: a setting has a bad value.
    """
    settings = load_settings(BusSettings)
    try:
        bus = await Bus.connect(options_from(settings, name="starwake-provision"), timeout_s=max(wait_s, 1.0))
    except (BusUnavailable, ValueError, OSError) as error:
        raise CliError(str(error)) from error
    try:
        changes = await provision(bus, settings.stream_replicas, refill=refilled_by_another)
    except (StreamRefused, BusUnavailable) as error:
        raise CliError(str(error)) from error
    finally:
        await bus.close()
    for change in changes:
        progress(_told(change))
    progress("the streams are as they have to be")


def _told(change: Change) -> str:
    what = change.stream if change.consumer is None else f"{change.stream}'s consumer {change.consumer}"
    return (
        f"{change.kind} {what}"
        if change.was is None
        else f"{change.kind} {what}: {change.field}, {change.was!r} -> {change.now!r}"
    )
