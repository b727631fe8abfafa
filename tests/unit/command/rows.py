"""Players as the rules see them, without a database."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import count

from starwake.contracts.batches import PlayerRows
from starwake.contracts.builds import BuildRecord, BuildState
from starwake.contracts.ids import BuildId, PlayerId, Revision
from starwake.game.catalogue import Catalogue, Kind, Limits, Reschedule
from starwake.game.rules import Completion, Player, World

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
ADA = PlayerId("ada")


def catalogue(**limits: int) -> Catalogue:
    """Three kinds: a dock, an observatory that needs one, and a probe with a command of its own."""
    hour = timedelta(hours=1)
    return Catalogue(
        [
            Kind(name="dock", title="Dock", duration=hour, reschedule=Reschedule(0.5, 2.0)),
            Kind(name="observatory", title="Observatory", duration=2 * hour, requires=("dock",)),
            Kind(name="probe", title="Probe", duration=hour, command="probe.launch"),
        ],
        Limits(**limits),
    )


def world(known: Catalogue | None = None, completions: Mapping[str, Completion] | None = None) -> World:
    """Ids are counted, so that tests can name them."""
    numbers = count(1)
    return World(known or catalogue(), completions or {}, lambda: f"00000000-0000-7000-8000-{next(numbers):012d}")


def player(rows: PlayerRows | None = None, game: World | None = None, now: datetime = NOW) -> Player:
    """Ada, at `now`."""
    return Player(ADA, now, rows or PlayerRows(), game or world())


def building(
    build_id: str = "00000000-0000-7000-8000-00000000000a",
    *,
    kind: str = "dock",
    site: str = "luna-1",
    state: BuildState = BuildState.BUILDING,
    revision: int = 1,
) -> BuildRecord:
    """A build that Ada began half an hour ago."""
    started = NOW - timedelta(minutes=30)
    return BuildRecord(
        id=BuildId(build_id),
        player=ADA,
        kind=kind,
        site=site,
        state=state,
        revision=Revision(revision),
        started_at=started,
        due_at=started + timedelta(hours=1),
        completed_at=started + timedelta(hours=1) if state is BuildState.COMPLETED else None,
        cancelled_at=NOW if state is BuildState.CANCELLED else None,
    )
