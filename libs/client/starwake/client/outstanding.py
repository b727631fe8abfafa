"""The commands that wait for their answer: when each may be sent, again after a broken line or a busy server. Pure.

Every command bears an id under which it takes effect once, however often it is sent; so sending again is always safe.
"""

from dataclasses import dataclass, replace

from starwake.client.backoff import Dice
from starwake.client.errors import Refused, Unsendable
from starwake.client.frames import Limits, encode_command
from starwake.contracts.frames import is_command_id
from starwake.contracts.reasons import ErrorCode

CAPACITY = 1024
"""Commands that may wait at once."""

PACE = 0.95
"""Share of the allowed rate that is used: clocks differ a little, and pongs count too."""

ENOUGH = 1 - 1e-6
"""What counts as one command's allowance: sums of floating point numbers arrive a hair below 1."""

RETRY_LEAST_S = 0.1
RETRY_MOST_S = 5.0

ANSWER_S = 6.0
"""How long an answer may take on a live line before the command is sent again, times the tries so far. The gateway
itself answers `unavailable` after 5 s, so a later answer was lost on the way."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One command, to be sent (again) at `ready_at` (monotonic seconds) unless it is answered before."""

    id: str
    command: str
    frame: str
    ready_at: float = 0.0
    tries: int = 0
    refusals: int = 0
    refused: Refused | None = None


class Outstanding:
    """Commands by id, in the order in which they were given, and the pace that the gateway allows."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._waiting: dict[str, Waiting] = {}
        self._limits = Limits()
        self._tokens = 0.0
        self._counted_at = 0.0
        self._held_until = 0.0

    def __contains__(self, command_id: str) -> bool:
        return command_id in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, command_id: str, command: str, args: object) -> None:
        """Accept a command; the very same one under the same id joins the one that waits already.

        Raises:
            Unsendable: its id is no id or names another command, it is too large or not JSON, or too many wait.
        """
        try:
            frame = encode_command(command_id, command, args)
        except (TypeError, ValueError) as error:
            raise Unsendable(f"not JSON: {error}", command=command, id=command_id) from error
        waiting = self._waiting.get(command_id)
        if waiting is not None and waiting.frame == frame:
            return
        if problem := self._problem(command_id, frame):
            raise Unsendable(problem, command=command, id=command_id)
        self._waiting[command_id] = Waiting(command_id, command, frame)

    def _problem(self, command_id: str, frame: str) -> str | None:
        if not is_command_id(command_id):
            return "a command's id has 1 to 64 characters"
        if command_id in self._waiting:
            return "another command with this id is still waiting for its answer"
        if len(self._waiting) >= CAPACITY:
            return f"{CAPACITY} commands are waiting already"
        size, limit = len(frame.encode()), self._limits.max_frame_bytes
        return f"{size} bytes, and the server takes {limit}" if size > limit else None

    def remove(self, command_id: str) -> bool:
        """Forget a command: it was answered, or nobody waits for it any more. Whether it was known."""
        return self._waiting.pop(command_id, None) is not None

    def last_refusal(self, command_id: str) -> Refused | None:
        """How the server last put this command off, if it did."""
        waiting = self._waiting.get(command_id)
        return None if waiting is None else waiting.refused

    def ids(self) -> list[str]:
        """All that wait."""
        return list(self._waiting)

    def idle(self, now: float) -> bool:
        """Whether no answer is under way."""
        return all(one.ready_at <= now or not one.tries for one in self._waiting.values())

    def welcomed(self, limits: Limits, now: float) -> None:
        """A session stands: everything unanswered is to be sent again, at this gateway's pace."""
        self._limits = limits
        # One is kept back: an application's pong or refresh at the wrong moment must not cost a refusal.
        self._tokens = max(1.0, limits.burst - 1.0)
        self._counted_at = now
        self._held_until = now
        self._waiting = {key: replace(one, ready_at=0.0) for key, one in self._waiting.items()}

    def refused(self, command_id: str, refusal: Refused, now: float) -> bool:
        """Whether this refusal only puts the command off; it is then sent again by itself, a little later."""
        waiting = self._waiting.get(command_id)
        if waiting is None or not refusal.transient:
            return False
        ceiling = min(RETRY_MOST_S, RETRY_LEAST_S * 2.0 ** min(waiting.refusals + 1, 10))
        wait_s = (refusal.retry_after_ms or 0) / 1000
        if refusal.code == ErrorCode.RATE_LIMITED:
            self._tokens = 0.0
            self._held_until = max(self._held_until, now + wait_s)
        self._waiting[command_id] = replace(
            waiting,
            ready_at=now + wait_s + self._dice(RETRY_LEAST_S, ceiling),
            refusals=waiting.refusals + 1,
            refused=refusal,
        )
        return True

    def due(self, now: float) -> list[Waiting]:
        """The commands that go out now; they count as sent."""
        self._refill(now)
        sent: list[Waiting] = []
        for waiting in list(self._waiting.values()):
            if self._tokens < ENOUGH or now < self._held_until:
                break
            if waiting.ready_at <= now:
                self._tokens -= 1
                tries = waiting.tries + 1
                self._waiting[waiting.id] = replace(waiting, tries=tries, ready_at=now + ANSWER_S * tries)
                sent.append(waiting)
        return sent

    def wakeup(self, now: float) -> float | None:
        """When `due` should be asked next (monotonic seconds); None where nothing waits."""
        if not self._waiting:
            return None
        ready = min(one.ready_at for one in self._waiting.values())
        refilled = self._counted_at + max(0.0, 1.0 - self._tokens) / self._rate
        return max(ready, refilled, self._held_until, now)

    @property
    def _rate(self) -> float:
        return max(0.1, self._limits.commands_per_s * PACE)

    def _refill(self, now: float) -> None:
        most = max(1.0, self._limits.burst - 1.0)
        self._tokens = min(most, self._tokens + (now - self._counted_at) * self._rate)
        self._counted_at = now
