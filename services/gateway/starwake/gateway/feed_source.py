"""What all feeds of a gateway share: the bus, and one place each for positions and histories that they ask for."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from starwake.bus.connection import Bus
from starwake.bus.feed import last_seqs
from starwake.contracts.ids import PlayerId
from starwake.gateway.histories import Histories
from starwake.gateway.questions import Questions
from starwake.gateway.tasks import Tasks
from starwake.runtime.tracing import OFF, Tracing

if TYPE_CHECKING:
    from starwake.gateway.feeds import Feed

_POSITIONS_TIMEOUT_S: Final = 3.0


class FeedSource(NamedTuple):
    """What every feed needs."""

    bus: Bus
    positions: Questions[PlayerId | None, int]
    tasks: Tasks
    histories: Histories
    on_regress: Callable[[], None]
    on_stalled: "Callable[[Feed], None]"
    tracing: Tracing


def make_source(  # noqa: PLR0913 - what every feed shares
    bus: Bus,
    tasks: Tasks,
    *,
    on_regress: Callable[[], None],
    on_stalled: "Callable[[Feed], None]",
    patience_s: float,
    tracing: Tracing = OFF,
) -> FeedSource:
    """What every feed of one hub shares.

    Args:
        bus: the connection.
        tasks: the owner of what runs.
        on_regress: hears of a sequence that went backwards: the stream may be another one.
        on_stalled: hears of a feed that could not catch up; it is to be asked again.
        patience_s: who would have to wait for longer to have a history read is told to come later.
        tracing: spans of live pushes, if they are on.
    """

    async def ask(players: list[PlayerId | None]) -> dict[PlayerId | None, int]:
        return await last_seqs(bus, players, timeout_s=_POSITIONS_TIMEOUT_S)

    histories = Histories(bus, tasks, patience_s=patience_s)
    return FeedSource(bus, Questions(tasks, ask), tasks, histories, on_regress, on_stalled, tracing)
