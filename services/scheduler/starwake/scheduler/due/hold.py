"""PURE: aim early and hold - what is known to come due, kept until its time, each (id, revision) once.

Time is an argument everywhere: seconds since the epoch, by the database's clock.
"""

import heapq
from enum import Enum, auto
from typing import Generic, Protocol, TypeVar

from starwake.contracts.subjects import AlarmKey
from starwake.scheduler.due.fair_queue import FairQueue

Row = TypeVar("Row")


class Numbered(Protocol):
    """A message with its place in the stream."""

    @property
    def sequence(self) -> int:
        """Its place; the same for each delivery of one message."""
        ...


Message = TypeVar("Message", bound=Numbered)

LATE_AFTER_S = 1.0
"""What is overdue by more than this when it comes in counts as backlog, which does not go before fresh work."""


class Held(Generic[Row, Message]):
    """One row that will be due, and the alarm messages that spoke of it (none where the sweep found it)."""

    __slots__ = ("busy", "due", "key", "late", "messages", "not_before", "player", "ready", "row")

    def __init__(self, key: AlarmKey, player: str | None, due: float, row: Row) -> None:
        self.key = key
        self.player = player
        self.due = due
        self.row = row
        self.messages: list[Message] = []
        self.ready = due
        self.not_before = float("-inf")
        self.busy = False
        self.late = False


class Added(Enum):
    """What became of something that was offered to the hold."""

    HELD = auto()
    KNOWN = auto()
    FULL = auto()


class Hold(Generic[Row, Message]):
    """The local heap of a scheduler.

    Args:
        limit: how many rows are held at most; beyond it `add` answers FULL, and the row is left to a later sweep or
            redelivery.
        ahead_s: how long before `due` a row's turn comes that an alarm brought.
        sweep_ahead_s: the same for a row that only the sweep brought. Shorter, so that where several schedulers run
            the one that holds the alarm gets there first and the others find the work done.
    """

    def __init__(self, *, limit: int, ahead_s: float, sweep_ahead_s: float) -> None:
        self._limit = limit
        self._ahead_s = ahead_s
        self._sweep_ahead_s = sweep_ahead_s
        self._held: dict[AlarmKey, Held[Row, Message]] = {}
        self._heap: list[tuple[float, int, Held[Row, Message]]] = []
        self._pushes = 0
        self._fresh: FairQueue[Held[Row, Message]] = FairQueue()
        self._late: FairQueue[Held[Row, Message]] = FairQueue()

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, key: AlarmKey) -> bool:
        return key in self._held

    def crowded(self, share: float) -> bool:
        """Whether less than this share of the limit is free."""
        return self._limit - len(self._held) < share * self._limit

    def add(  # noqa: PLR0913 - a row's own data; a struct for them would be made for each alarm
        self,
        key: AlarmKey,
        player: str | None,
        due: float,
        row: Row,
        message: Message | None = None,
        *,
        now: float = float("-inf"),
        prompt: bool = False,
    ) -> Added:
        """Hold a row until its time; an alarm for a row that is held already joins it.

        A row that is long overdue at `now`, when it comes in, is backlog; one that was in time stays fresh work,
        however busy it gets. With `prompt` its turn comes as early as if an alarm had brought it.
        """
        if key in self._held:
            if message is not None:
                self.join(key, message)
            return Added.KNOWN
        if len(self._held) >= self._limit:
            return Added.FULL
        held: Held[Row, Message] = Held(key, player, due, row)
        held.late = due < now - LATE_AFTER_S
        self._held[key] = held
        if message is not None:
            held.messages.append(message)
        early = prompt or message is not None
        self._push(held, due - (self._ahead_s if early else self._sweep_ahead_s))
        return Added.HELD

    def join(self, key: AlarmKey, message: Message) -> bool:
        """Add an alarm to a row that is held already; False where none is."""
        held = self._held.get(key)
        if held is None:
            return False
        # Delivered again: only the newest delivery can be acknowledged, and the list does not grow.
        held.messages = [each for each in held.messages if each.sequence != message.sequence]
        held.messages.append(message)
        ready = max(held.due - self._ahead_s, held.not_before)
        if not held.busy and ready < held.ready:
            self._push(held, ready)
        return True

    def next_at(self) -> float | None:
        """When `take` will next have something; a moment in the past where it has now."""
        if self._fresh or self._late:
            return 0.0
        while self._heap and self._is_stale(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self, now: float, limit: int, *, early_s: float = 0.0) -> list[Held[Row, Message]]:
        """Up to `limit` rows whose turn has come, in due order; they stay known until `finish` or `put_back`.

        With `early_s` also those whose turn comes within so many seconds, to share a transaction.

        Fresh work and backlog share the batch by halves where there is enough of both, and within each the players
        take turns: neither an outage's backlog nor one player's herd delays what is due just now.
        """
        self._ripen(now, early_s)
        fresh_share = max(limit - len(self._late), (limit + 1) // 2)
        taken = self._fresh.take(fresh_share)
        taken += self._late.take(limit - len(taken))
        for held in taken:
            held.busy = True
        taken.sort(key=_due_order)
        return taken

    def finish(self, held: Held[Row, Message]) -> None:
        """Forget a row that is done with. Alarms that joined it meanwhile are in `held.messages`."""
        if self._held.get(held.key) is held:
            del self._held[held.key]

    def put_back(self, held: Held[Row, Message], ready: float) -> None:
        """Hand `held` out again, not before `ready`."""
        held.busy = False
        held.not_before = ready
        self._push(held, ready)

    def release(self) -> list[Held[Row, Message]]:
        """Give up all that nobody works on: for a stop, so that others can take it over."""
        released = [held for held in self._held.values() if not held.busy]
        for held in released:
            del self._held[held.key]
        self._heap.clear()
        self._fresh.clear()
        self._late.clear()
        return released

    def _push(self, held: Held[Row, Message], ready: float) -> None:
        held.ready = ready
        self._pushes += 1  # breaks ties, so that the heap never compares two `Held`
        heapq.heappush(self._heap, (ready, self._pushes, held))

    def _is_stale(self, entry: tuple[float, int, Held[Row, Message]]) -> bool:
        ready, _, held = entry
        return held.busy or held.ready != ready

    def _ripen(self, now: float, early_s: float) -> None:
        while self._heap and self._heap[0][0] <= now + early_s:
            entry = heapq.heappop(self._heap)
            if self._is_stale(entry):
                continue
            held = entry[2]
            held.ready = float("-inf")  # queued: whatever else the heap holds of it is stale
            queue = self._late if held.late else self._fresh
            queue.put(held.player, held)


def _due_order(held: Held[Row, Message]) -> tuple[float, str]:
    return held.due, held.key.id
