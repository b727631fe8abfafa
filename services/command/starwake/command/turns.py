"""PURE: whose turn it is. Everybody has a bounded place in a line of their own, and the lines take turns."""

from collections import OrderedDict, deque
from typing import Generic, Literal, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Items that wait, by owner; at most one of each owner is under way.

    Args:
        at_once: how many items are under way at most.
        each: how many items of one owner may wait.
        room: how many items may wait in all.
    """

    def __init__(self, *, at_once: int, each: int, room: int) -> None:
        self._at_once = at_once
        self._each = each
        self._room = room
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()
        self._busy: set[str] = set()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting + len(self._busy)

    def offer(self, owner: str, item: T) -> Literal["taken", "own line full", "full"]:
        """Take `item` in, or say why not."""
        if self._waiting >= self._room:
            return "full"
        line = self._lines.get(owner)
        if line is None:
            line = self._lines[owner] = deque()
        elif len(line) >= self._each:
            return "own line full"
        line.append(item)
        self._waiting += 1
        return "taken"

    def take(self) -> tuple[str, T] | None:
        """The next item and its owner, who is under way until `done`; None where nothing may begin now."""
        if len(self._busy) >= self._at_once:
            return None
        for owner, line in self._lines.items():
            if owner not in self._busy:
                item = line.popleft()
                self._waiting -= 1
                self._busy.add(owner)
                if line:
                    self._lines.move_to_end(owner)
                else:
                    del self._lines[owner]
                return owner, item
        return None

    def done(self, owner: str) -> None:
        """What was under way for `owner` has ended."""
        self._busy.discard(owner)
