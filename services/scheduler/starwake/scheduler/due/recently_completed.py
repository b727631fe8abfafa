"""PURE: remembers rows that were just completed, so that an alarm that comes later costs no query."""

from collections import deque

from starwake.contracts.subjects import AlarmKey

REMEMBERED = 65_536


class RecentlyCompleted:
    """The last `limit` keys that were completed here. Forgetting one only costs a question to the table.

    Of plain strings and numbers, which the garbage collector does not look into: going through so many tuples would
    hold up what is due meanwhile. A row ends once, so that its last revision is all there is to remember of it.
    """

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._revisions: dict[str, int] = {}
        self._order: deque[str] = deque()

    def __contains__(self, key: AlarmKey) -> bool:
        return self._revisions.get(key.id) == key.revision

    def add(self, key: AlarmKey) -> None:
        """Remember `key`, and forget the oldest where there are too many."""
        if key.id not in self._revisions:
            self._order.append(key.id)
        self._revisions[key.id] = key.revision
        if len(self._order) > self._limit:
            del self._revisions[self._order.popleft()]
