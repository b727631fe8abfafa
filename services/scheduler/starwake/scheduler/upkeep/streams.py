"""Stream repair: the configuration of the streams, and the epoch of the feed.

The epoch belongs to one life of the notification stream. A stream that has gone backwards (recreated, restored from
an older copy, its unsynced tail lost) would give old sequence numbers to new pushes, and a resume over them would lie.
The mark in the table is the highest sequence that was ever published: a stream below it has gone backwards.
The other way round, the newest stored pushes are a mark of the table: where it lacks what they announce, the
table was restored from an older copy, and what clients know is no longer true; that begins a new epoch as well.
"""

from dataclasses import dataclass

from starwake.bus.connection import Bus
from starwake.bus.feed import FeedState, begin_epoch, read_feed
from starwake.bus.provision import Change, provision
from starwake.bus.streams import NOTIFICATIONS
from starwake.contracts import subjects
from starwake.contracts.ids import PlayerId
from starwake.outbox.guard import COMPARED, newest_published, why_gone_back, why_new_epoch
from starwake.runtime.logs import get_logger
from starwake.scheduler import metrics
from starwake.scheduler.upkeep import revocations
from starwake.store import high_water_mark
from starwake.store.database import Database
from starwake.store.gather import STREAMS_LOCK, lock

log = get_logger("streams")

EVERYBODY = PlayerId("all")
_GLANCED = 8


@dataclass(frozen=True)
class Repaired:
    """What had to be changed; `epoch` says why a new one was begun, None where the old one goes on."""

    changes: list[Change]
    epoch: str | None


class StreamRepair:
    """Repairs streams and epoch; safe to run at any time, by any number of schedulers."""

    def __init__(self, database: Database, bus: Bus, replicas: int) -> None:
        self._database = database
        self._bus = bus
        self._replicas = replicas

    async def compare_revocations(self) -> None:
        """Bring table and stream of revocations into agreement.

        Raises:
            BusError, StoreError: one of them does not answer.
        """
        await revocations.compare(self._database, self._bus)

    async def repair(self, *, in_doubt: bool = True) -> Repaired:
        """Create or repair the streams, and begin a new epoch where the feed has gone backwards.

        Args:
            in_doubt: whether a connection was lost since the last time, so that table or stream may be older ones;
                otherwise only a few pushes are compared, for what was exchanged without any connection's end.

        Raises:
            StreamRefused: something cannot be repaired without loss; its text says what to do.
            BusError: JetStream does not answer.
            StoreError: the database does not answer.
        """
        async with self._database.transaction() as connection:
            await lock(connection, STREAMS_LOCK)
            mark = await high_water_mark.read_mark(connection, NOTIFICATIONS)
            changes = await provision(
                self._bus,
                self._replicas,
                feed_above=0 if mark is None else mark.last_seq,
                refill=lambda: revocations.refill(connection, self._bus),
            )
            state = await read_feed(self._bus)
            reason = why_new_epoch(state, mark)
            above = max(state.last_seq, 0 if mark is None else mark.last_seq)
            unknown = await high_water_mark.find_unknown(
                connection, NOTIFICATIONS, await newest_published(self._bus, state, COMPARED if in_doubt else _GLANCED)
            )
            if unknown is not None:
                reason = why_gone_back(unknown)
                above += 1  # drops what is stored: it announces rows that are no more, and would be found again
            if reason is not None:
                state = await begin_epoch(self._bus, above=above)
            if reason is not None or mark is None:
                await high_water_mark.begin_epoch(connection, NOTIFICATIONS, state.epoch or "", state.last_seq)
            elif state.last_seq > mark.last_seq:
                await high_water_mark.raise_mark(connection, NOTIFICATIONS, state.last_seq)
        self._report(changes, reason, state)
        return Repaired(changes, reason)

    def _report(self, changes: list[Change], reason: str | None, state: FeedState) -> None:
        for change in changes:
            metrics.CHANGES.labels("stream" if change.consumer is None else "consumer").inc()
        if reason is None:
            return
        metrics.CHANGES.labels("epoch").inc()
        log.warning("epoch.begun", epoch=state.epoch, above=state.last_seq, reason=reason)
        # Gateways look at the epoch when they connect; those that did so before it changed hear of it here.
        self._bus.publish(subjects.control(EVERYBODY, subjects.EPOCH_ACTION), (state.epoch or "").encode())
