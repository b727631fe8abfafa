"""How far the feeds were handled: what is next, what was seen already, where something is missing. Pure.

Each feed is a chain: a push names its own `seq` and, as `prev`, that of the one before it. There are two, the
player's own and the one that everybody has.
"""

from datetime import datetime
from enum import Enum, auto
from typing import Literal

from starwake.client.frames import Hello, Ping, PushFrame
from starwake.contracts.frames import Position
from starwake.contracts.times import from_rfc3339, to_rfc3339

Feed = Literal["player", "all"]


class Verdict(Enum):
    """What a push is to somebody who has come this far."""

    NEXT = auto()
    SEEN = auto()
    HOLE = auto()
    """Something before it is missing: resuming from the position brings it."""
    LOSS = auto()
    """Something before it is missing, and resuming from here has not brought it: it never will."""


class Cursor:
    """The position in both feeds. It moves only by what was really taken, so resuming from it loses nothing."""

    def __init__(self, position: Position | None = None) -> None:
        self._epoch = None if position is None else position.epoch
        self._seq: dict[Feed, int] = {"player": 0, "all": 0}
        if position is not None:
            self._seq = {"player": position.seq, "all": position.all}
        self._at = None if position is None or position.at is None else from_rfc3339(position.at)
        self._replay_until: dict[Feed, int] = {"player": 0, "all": 0}
        self._hole: tuple[str | None, int, int] | None = None
        self._behind = (0, 0)

    @property
    def position(self) -> Position | None:
        """What to resume from; None before the first `hello`."""
        if self._epoch is None:
            return None
        at = None if self._at is None else to_rfc3339(self._at)
        return Position(self._epoch, self._seq["player"], self._seq["all"], at)

    def welcome(self, hello: Hello) -> bool:
        """Take the feeds' positions from `hello`; whether pushes were lost for good.

        After a recovery the position stays: the replay moves it, and a line that breaks during the replay must
        resume from where the replay had come.
        """
        resumed = self._epoch is not None
        self._behind = (0, 0)
        if resumed and hello.recovered and hello.epoch == self._epoch:
            self._replay_until = {"player": hello.seq, "all": hello.all}
            if self._reaches(hello.seq, hello.all):
                self._saw(hello.server_time)
            return False
        self._epoch = hello.epoch
        self._seq = {"player": hello.seq, "all": hello.all}
        self._replay_until = {"player": 0, "all": 0}
        self._at = hello.server_time
        return resumed

    def judge(self, push: PushFrame) -> Verdict:
        """What `push` is from here; changes nothing but the memory of holes."""
        last = self._seq[push.feed]
        if push.seq <= last:
            return Verdict.SEEN
        # 0 says that the server keeps nothing older, not that we have missed something.
        return Verdict.NEXT if push.prev in (0, last) else self._hole_found()

    def advance(self, push: PushFrame) -> None:
        """`push` was taken."""
        self._seq[push.feed] = push.seq
        # While a replay lasts, the later push's time would claim more than was handled in the other feed.
        if self._reaches(self._replay_until["player"], self._replay_until["all"]):
            self._saw(push.at)

    def pinged(self, ping: Ping) -> Verdict:
        """What the positions in a ping say: NEXT where we are as far, HOLE where we stayed behind twice in a row.

        A ping may overtake pushes that are being sent, so a single one proves nothing; and LOSS it never proves.
        """
        player = self._seq["player"] if ping.seq is None else ping.seq
        everybody = self._seq["all"] if ping.all is None else ping.all
        behind, self._behind = self._behind, (player, everybody)
        if self._reaches(player, everybody):
            if ping.server_time is not None:
                self._saw(ping.server_time)
            return Verdict.NEXT
        if self._reaches(*behind) or self._hole_found() is Verdict.LOSS:
            return Verdict.NEXT
        return Verdict.HOLE

    def is_replay(self, push: PushFrame) -> bool:
        """Whether `push` belongs to what the last `hello` announced as replayed."""
        return push.seq <= self._replay_until[push.feed]

    def _hole_found(self) -> Verdict:
        here = (self._epoch, self._seq["player"], self._seq["all"])
        # Twice at one position means that a resume did not help; a third try would be a loop without end.
        verdict = Verdict.LOSS if here == self._hole else Verdict.HOLE
        self._hole = here
        return verdict

    def _reaches(self, seq: int, all_seq: int) -> bool:
        return self._seq["player"] >= seq and self._seq["all"] >= all_seq

    def _saw(self, moment: datetime) -> None:
        if self._at is None or moment > self._at:
            self._at = moment
