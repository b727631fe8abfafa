"""PURE: whose turn it is in a backlog that is read page by page from the table."""

from collections.abc import Mapping

HEAVY_SHARE = 0.1


class Turns:
    """Plain pages, oldest first, alternate with pages that leave out whoever took much of the page before.

    So one player with 50,000 overdue builds takes half of the pages at most while anybody else waits.
    """

    def __init__(self, page: int) -> None:
        self._page = page
        self.without: list[str] = []

    def next(self, players: Mapping[str, int], *, events: int = 0) -> bool:
        """Take in what the last page held; False where the backlog is at its end, else `without` is set anew.

        Args:
            players: how many builds of each player the page held.
            events: how many world events it held beside.
        """
        full = sum(players.values()) >= self._page or events >= self._page
        if self.without:
            self.without = []
            return True
        self.without = [player for player, count in players.items() if count > self._page * HEAVY_SHARE]
        return full
