"""One timer for all connections: a wheel of slots, so that ten thousand idle connections cost no tasks and no heap."""

from typing import Final, Protocol

RESOLUTION_S: Final = 0.25


class Timed(Protocol):
    """Something with a next moment; the wheel keeps its place in `slot`."""

    slot: int | None

    def tick(self, now: float) -> None:
        """Its moment has come (or just passed); it puts itself back where it wants another."""
        ...


class TimerWheel:
    """Items by the slot of their next moment; late by at most one resolution, never early."""

    def __init__(self, now: float) -> None:
        self._slots: dict[int, set[Timed]] = {}
        self._next = int(now / RESOLUTION_S)

    def put(self, item: Timed, at: float) -> None:
        """Have `item` ticked once `at` (monotonic seconds) has passed; an earlier wish is forgotten."""
        slot = max(int(at / RESOLUTION_S) + 1, self._next) if at < float("inf") else None
        if slot == item.slot:
            return
        self.remove(item)
        if slot is not None:
            self._slots.setdefault(slot, set()).add(item)
            item.slot = slot

    def remove(self, item: Timed) -> None:
        """Forget `item`."""
        if item.slot is not None:
            items = self._slots.get(item.slot)
            if items is not None:
                items.discard(item)
            item.slot = None

    def advance(self, now: float) -> None:
        """Tick every item whose moment has passed."""
        current = int(now / RESOLUTION_S)
        while self._next <= current:
            slot = self._next
            self._next += 1
            for item in self._slots.pop(slot, ()):
                # Somebody's tick may have moved or ended another of the same slot.
                if item.slot == slot:
                    item.slot = None
                    item.tick(now)
