"""PURE: one player's connections over all gateways, and which of them is one too many.

Each connect is announced on the bus with the sessions that its gateway holds for the player; gateways that hold some
too answer with theirs. So all of them see the same crowd within milliseconds, and each ends its own among the oldest.
Nothing is remembered for longer than that: a gateway that died is not in the next roll-call.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

ROLL_CALL_S: Final = 2.0
"""How long a gateway's word counts: longer than the answers to a connect take, shorter than a gateway stays dead."""


class Present(msgspec.Struct, frozen=True):
    """The body of `control.<player>.connected` and `control.<player>.present`: who speaks, and what it holds."""

    gateway: str
    sessions: tuple[str, ...]


class Crowd:
    """What other gateways said about one player; this gateway's own sessions are always passed in fresh."""

    __slots__ = ("_heard",)

    def __init__(self) -> None:
        self._heard: dict[str, tuple[float, tuple[str, ...]]] = {}

    def hear(self, present: Present, now: float) -> None:
        """Another gateway spoke, `now` (monotonic seconds)."""
        self._heard[present.gateway] = (now, present.sessions)

    def to_evict(self, own: Iterable[str], limit: int, now: float) -> list[str]:
        """Those of `own` that are among the oldest beyond `limit`. Session ids sort by the time of connecting."""
        self._heard = {gateway: heard for gateway, heard in self._heard.items() if now - heard[0] <= ROLL_CALL_S}
        mine = set(own)
        everywhere = mine.union(*(sessions for _, sessions in self._heard.values()))
        excess = len(everywhere) - limit
        return [session for session in sorted(everywhere)[: max(0, excess)] if session in mine]
