"""PURE: which players the next page of a backlog leaves out, so that one player cannot occupy it."""

from collections.abc import Mapping

HEAVY_SHARE = 0.1


class FairPager:
    """Plain pages, oldest first, alternate with pages that exclude the players who took much of the page before.

    So one player with 50,000 overdue builds gets half of the pages at most while anybody else waits.
    """

    def __init__(self, page: int) -> None:
        self._page = page
        self.excluded: list[str] = []

    def next(self, players: Mapping[str, int], *, events: int = 0) -> bool:
        """Account for the last page: False at the end of the backlog, else `excluded` is set for the next page.

        Args:
            players: how many builds of each player the page held.
            events: how many world events it held beside.
        """
        full = sum(players.values()) >= self._page or events >= self._page
        if self.excluded:
            self.excluded = []
            return True
        self.excluded = [player for player, count in players.items() if count > self._page * HEAVY_SHARE]
        return full
