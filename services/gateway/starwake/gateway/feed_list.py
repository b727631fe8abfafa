"""`feed.list`: what a feed still keeps, a page at a time, read without consumers and within bounds."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from starwake.bus.connection import Bus
from starwake.bus.errors import BusError
from starwake.bus.feed import read_pushes
from starwake.contracts import frames
from starwake.contracts.commands import FeedList
from starwake.contracts.ids import PlayerId
from starwake.contracts.reasons import ErrorCode
from starwake.gateway import metrics
from starwake.gateway.effects import Forward
from starwake.gateway.feed import Push
from starwake.gateway.forwarding import Asker
from starwake.gateway.tasks import Tasks
from starwake.runtime.logs import get_logger

COMMAND: Final = "feed.list"
MAX_PAGE_BYTES: Final = 262_144
"""Of one page's pushes, the first of them apart: a quarter of what may wait for a slow client."""

_log = get_logger("gateway.feed_list")

_READS_AT_ONCE: Final = 4
"""A feed may have 257 pushes of 64 KiB: what all readings hold in memory is bounded with their number."""
_READS_WAITING: Final = 256
_A_PLAYERS: Final = 2
_WITHIN_S: Final = 5.0
_RETRY_MS: Final = 1000

_args_decoder = msgspec.json.Decoder(FeedList)


class FeedLists:
    """Answers `feed.list` for all sessions of a gateway.

    A player's own feed is read from the stream: a few at a time, at most two for one player, and not for those who have
    gone. Everybody's is at hand already, since the gateway holds it for those who resume.
    """

    def __init__(self, bus: Bus, tasks: Tasks, everybodys: Callable[[], Sequence[Push]]) -> None:
        """Over `bus`; `everybodys` gives the last pushes of everybody's feed, oldest first."""
        self._bus = bus
        self._tasks = tasks
        self._everybodys = everybodys
        self._room = asyncio.Semaphore(_READS_AT_ONCE)
        self._reading: Counter[PlayerId] = Counter()

    def ask(self, player: PlayerId, command: Forward, asker: Asker) -> None:
        """Answer one command; `asker.answered` is called exactly once, possibly before this returns."""
        try:
            args = _args_decoder.decode(frames.decode_command(command.frame).args)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            _answer(command, asker, frames.error_body(ErrorCode.BAD_REQUEST, f"args: {error}"), "bad_request")
            return
        if args.feed == "all":
            _answer(command, asker, page(self._everybodys(), args))
        elif self._reading[player] >= _A_PLAYERS or self._reading.total() >= _READS_WAITING:
            message = "too many pages at once; ask for the next when the one before has come"
            body = frames.error_body(ErrorCode.RATE_LIMITED, message, _RETRY_MS)
            _answer(command, asker, body, "rate_limited")
        else:
            self._reading[player] += 1
            self._tasks.spawn(self._read(player, args, command, asker), COMMAND)

    async def _read(self, player: PlayerId, args: FeedList, command: Forward, asker: Asker) -> None:
        body = frames.error_body(ErrorCode.UNAVAILABLE, "the feed cannot be read at the moment; try again")
        outcome = "unavailable"
        try:
            async with asyncio.timeout(_WITHIN_S), self._room:
                if asker.waits_for(command):
                    stored = await read_pushes(self._bus, player, 1)
                    body, outcome = page([Push(each.seq, 0, each.body) for each in stored], args), "ok"
        except (BusError, TimeoutError) as error:
            _log.warning("feed.not_listed", player=player, error=str(error) or "no answer in time")
        finally:
            self._reading[player] -= 1
            if not self._reading[player]:
                del self._reading[player]
        _answer(command, asker, body, outcome)


def page(pushes: Sequence[Push], args: FeedList) -> bytes:
    """The body of the answer: the newest of `pushes` (oldest first, all that are kept) before `args.before`. PURE."""
    join = frames.push_all_frame if args.feed == "all" else frames.push_frame
    listed: list[bytes] = []
    size = 0
    oldest = 0
    following: int | None = None
    for number in range(len(pushes) - 1, -1, -1):
        push = pushes[number]
        if (args.before is not None and push.seq >= args.before) or not frames.is_push_body(push.body):
            continue
        size += len(push.body)
        if listed and (len(listed) == args.limit or size > MAX_PAGE_BYTES):
            following = oldest
            break
        listed.append(join(push.seq, pushes[number - 1].seq if number else 0, push.body))
        oldest = push.seq
    listed.reverse()
    told = b"null" if following is None else b"%d" % following
    return b'{"result":{"pushes":[%b],"next":%b}}' % (b",".join(listed), told)


def _answer(command: Forward, asker: Asker, body: bytes, outcome: str = "ok") -> None:
    metrics.count_command(COMMAND, outcome)
    asker.answered(command, frames.answer_frame(command.command_id, command.command, body))
