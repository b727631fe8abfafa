"""PURE: which rows of the outbox are published next: each not before its time, those of one source in their order.

The second row of a source is handed out only when the first is known to be published: two publishes in flight could
change places where the connection breaks between them, and "completed" would overtake "started". What is due just now
goes before a backlog, however old that is. Time is an argument (seconds since the epoch, by the database's clock).
"""

import heapq
from collections import deque
from typing import Protocol

from starwake.store.outbox import OutboxRow

LATE_AFTER_S = 10.0
"""What is overdue by more than this when its turn comes counts as backlog."""


class Waiter(Protocol):
    """The caller that waits for the outcome of some rows."""

    def settle(self, *, published: bool) -> None:
        """Called once for each row that this waiter was added with."""


class Job:
    """A row on its way into the stream."""

    __slots__ = ("at", "handed_out", "late", "row", "waiters")

    def __init__(self, row: OutboxRow) -> None:
        self.row = row
        self.at = row.tell_at.timestamp()
        self.handed_out = False
        self.late = False
        self.waiters: list[Waiter] = []

    def settle(self, *, published: bool) -> None:
        """Report the outcome of this row to all who wait for it."""
        for waiter in self.waiters:
            waiter.settle(published=published)


class OutboxQueue:
    """The rows that wait to be published, `limit` at most."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: dict[int, Job] = {}
        self._sources: dict[str, deque[Job]] = {}  # what stands first is in the heap, or handed out
        self._heap: list[tuple[float, int, Job]] = []  # whose time has not come, as far as anybody looked
        self._fresh: deque[Job] = deque()
        self._late: deque[Job] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, row_id: int) -> bool:
        return row_id in self._jobs

    def add(self, row: OutboxRow, waiter: Waiter | None = None) -> bool:
        """Take a row in; one that is here already only gets the waiter. False: it does not fit."""
        job = self._jobs.get(row.id)
        if job is None:
            if len(self._jobs) >= self._limit:
                return False
            job = Job(row)
            self._jobs[row.id] = job
            self._enqueue(job)
        if waiter is not None:
            job.waiters.append(waiter)
        return True

    def next_at(self, *, late: bool = True) -> float | None:
        """When `take` next has something to hand out; without `late`, something that is no backlog."""
        if self._fresh or (late and self._late):
            return 0.0
        return self._heap[0][0] if self._heap else None

    def take(self, now: float, limit: int, *, late_limit: int | None = None) -> list[Job]:
        """Up to `limit` rows whose time has come, or, where only backlog waits, up to `late_limit` of that.

        Each is to be answered by `published` or `fail`.
        """
        self._ripen(now)
        queue = self._fresh
        if not queue:
            queue = self._late
            limit = limit if late_limit is None else late_limit
        taken: list[Job] = []
        while queue and len(taken) < limit:
            job = queue.popleft()
            if self._is_next(job):
                job.handed_out = True
                taken.append(job)
        return taken

    def published(self, job: Job) -> None:
        """`job` is in the stream: the next row of its source may follow."""
        del self._jobs[job.row.id]
        behind = self._sources[job.row.source_id]
        behind.popleft()
        if behind:
            self._push(behind[0])
        else:
            del self._sources[job.row.source_id]

    def fail(self, job: Job) -> list[Job]:
        """`job` could not be published: it and all behind it of its source leave the queue, and stay in the outbox."""
        left = list(self._sources.pop(job.row.source_id))
        for each in left:
            del self._jobs[each.row.id]
        return left

    def give_up(self) -> list[Job]:
        """Take everything out that is not handed out, with what stands behind it."""
        left: list[Job] = []
        for job in [*self._fresh, *self._late, *(entry[2] for entry in self._heap)]:
            if self._is_next(job):
                left += self.fail(job)
        self._fresh.clear()
        self._late.clear()
        self._heap.clear()
        return left

    def _ripen(self, now: float) -> None:
        while self._heap and self._heap[0][0] <= now:
            job = heapq.heappop(self._heap)[2]
            job.late = job.at < now - LATE_AFTER_S
            (self._late if job.late else self._fresh).append(job)

    def _enqueue(self, job: Job) -> None:
        row = job.row
        behind = self._sources.get(row.source_id)
        if behind is None:
            self._sources[row.source_id] = deque((job,))
            self._push(job)
            return
        place = len(behind)
        while place > 0 and behind[place - 1].row.id > row.id and not behind[place - 1].handed_out:
            place -= 1  # found later than what follows it: still published first
        behind.insert(place, job)
        if place == 0:
            self._push(job)

    def _push(self, job: Job) -> None:
        heapq.heappush(self._heap, (job.at, job.row.id, job))

    def _is_next(self, job: Job) -> bool:
        """Whether an entry still counts: a row before which another was put is entered more than once."""
        behind = self._sources.get(job.row.source_id)
        return behind is not None and behind[0] is job and not job.handed_out
