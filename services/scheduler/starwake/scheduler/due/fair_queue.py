"""PURE: who is served next when many wait - players in turn, each player's own work in the order it came."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """A queue of queues: one turn a player, so that 50,000 items of one player delay nobody else's single one.

    Players who wait with nothing before them are served in the order they came, which for work that is put in by due
    time means oldest first.
    """

    def __init__(self) -> None:
        self._turns: OrderedDict[str | None, deque[Item]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, player: str | None, item: Item) -> None:
        """Append `item` to what `player` (None: everybody) waits for."""
        waiting = self._turns.get(player)
        if waiting is None:
            self._turns[player] = waiting = deque[Item]()
        waiting.append(item)
        self._size += 1

    def take(self, limit: int) -> list[Item]:
        """Up to `limit` items, one of each player in turn."""
        taken: list[Item] = []
        while self._turns and len(taken) < limit:
            player, waiting = next(iter(self._turns.items()))
            taken.append(waiting.popleft())
            if waiting:
                self._turns.move_to_end(player)
            else:
                del self._turns[player]
        self._size -= len(taken)
        return taken

    def clear(self) -> list[Item]:
        """Everything that waits, taken out at once."""
        return self.take(self._size)
