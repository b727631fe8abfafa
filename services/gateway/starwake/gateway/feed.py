"""PURE: a player's pushes as one chain: live ones joined with replay, each once, in order, without holes.

What is live comes with `prev`, the sequence before it on the same subject, so a hole shows by itself. While history is
being read, live pushes are held; `settle` then joins the two by sequence.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final, NamedTuple

from starwake.contracts import retention
from starwake.contracts.retention import KEPT_PUSHES
from starwake.contracts.times import from_rfc3339

SURELY_KEPT_FOR: Final = retention.KEPT_FOR - timedelta(hours=1)
"""How long the stream keeps a push, less what its clean-up and clocks may differ by."""

MAX_HELD: Final = 1024
"""Live pushes held during one reading of history; beyond it, history is read once more instead."""


class Push(NamedTuple):
    """One push: its sequence, that of the one before it in the same feed (0: none is kept), and its stored body."""

    seq: int
    prev: int
    body: bytes


class Verdict(Enum):
    """What to do with a live push."""

    DELIVER = auto()
    HELD = auto()
    HOLE = auto()
    REPEATED = auto()


class Settled(NamedTuple):
    """History and held pushes, joined.

    Attributes:
        pushes: in order, each once, each with the sequence before it.
        end: the position after them.
        whole: False where something is known to be missing after `end`; read history again.
    """

    pushes: list[Push]
    end: int
    whole: bool


class Chain:
    """How far one feed has been handed out.

    Attributes:
        last: the sequence handed out last; None while nobody listens.
        catching_up: whether live pushes are held.
    """

    __slots__ = ("_held", "_overflowed", "catching_up", "last")

    def __init__(self) -> None:
        self.last: int | None = None
        self.catching_up = True
        self._held: list[Push] = []
        self._overflowed = False

    def offer(self, push: Push) -> Verdict:
        """A live push came."""
        if self.catching_up:
            self._hold(push)
            return Verdict.HELD
        last = self.last or 0
        if push.seq <= last:
            return Verdict.REPEATED
        if push.prev not in (0, last):
            self._hold(push)
            return Verdict.HOLE
        self.last = push.seq
        return Verdict.DELIVER

    def settle(self, stored_last: int, history: Sequence[Push] | None) -> Settled:
        """Join what was read with what was held.

        Args:
            stored_last: the last sequence in the stream, asked for before `history` was read.
            history: everything stored from the lowest position of interest on, or None where nobody needed any.
        """
        pushes: list[Push] = []
        end = max(stored_last, self.last or 0) if history is None else 0
        for push in history or ():
            pushes.append(Push(push.seq, end, push.body))
            end = push.seq
        if history is not None and not history:
            end = self.last or 0
        whole = not self._overflowed
        held = sorted(self._held)
        self._held, self._overflowed = [], False
        for number, push in enumerate(held):
            if push.seq <= end:
                continue
            if push.prev not in (0, end):
                self._held = held[number:]
                whole = False
                break
            pushes.append(push if push.prev else Push(push.seq, end, push.body))
            end = push.seq
        # A lagging replica may answer with less than what was handed out already.
        return Settled(pushes, end, whole and end >= max(stored_last, self.last or 0))

    def move(self, end: int) -> None:
        """Everything up to `end` has been handed out; what was held and is not joined yet stays held."""
        self.last = max(end, self.last or 0)

    def go_live(self) -> None:
        """Nothing is missing: live pushes are handed out as they come."""
        self.catching_up = False

    def _hold(self, push: Push) -> None:
        if len(self._held) < MAX_HELD:
            self._held.append(push)
        else:
            self._overflowed = True


def missed(seq: int, *, known_recent: bool, pushes: Iterable[Push], end: int) -> list[Push] | None:
    """The pushes after a client's position, or None where they cannot be told whole.

    Args:
        seq: the position.
        known_recent: whether the client was there recently enough that nothing after it can have expired (`is_recent`).
        pushes: all that are kept from the position on, in order.
        end: the feed's present position.
    """
    if seq == end:
        return []
    if seq > end:
        # Everything up to the position has expired; a position beyond a feed that has pushes was never handed out.
        return [] if end == 0 and known_recent else None
    kept = [push for push in pushes if push.seq >= seq]
    if kept and kept[0].seq == seq:
        return kept[1:]
    # The push at the position is gone: expired, which is no loss as long as nothing after it was dropped as well.
    return kept if known_recent and len(kept) < KEPT_PUSHES else None


def is_recent(seq: int, at: str | None, now: datetime) -> bool:
    """Whether every push since a client's position is young enough to be kept still.

    Without `at`, a client that has seen no push yet is believed: new players' feeds are empty, and resume must work.
    """
    if at is None:
        return seq == 0
    try:
        return now - from_rfc3339(at) < SURELY_KEPT_FOR
    except ValueError:
        return False
