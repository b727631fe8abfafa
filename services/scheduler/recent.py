"""PURE: what was completed a short while ago, so that its alarm, when it comes after, costs no look at the table."""

from collections import deque

from libs.contracts.subjects import AlarmKey

REMEMBERED = 65_536


class Recent:
    """The last `limit` keys that were completed here. Forgetting one only costs a question to the table."""

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._keys: set[AlarmKey] = set()
        self._order: deque[AlarmKey] = deque()

    def __contains__(self, key: AlarmKey) -> bool:
        return key in self._keys

    def add(self, key: AlarmKey) -> None:
        """Remember `key`, and forget the oldest where there are too many."""
        if key in self._keys:
            return
        self._keys.add(key)
        self._order.append(key)
        if len(self._order) > self._limit:
            self._keys.discard(self._order.popleft())
