"""Who waits for which answer: one wildcard inbox for all requests of a connection."""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable

from starwake.bus.errors import BusTimeout, BusUnavailable, NoResponders, PermissionDenied
from starwake.bus.message import Message

Answer = Message | BusUnavailable
"""What a request ends with: the answer, or why there is none."""

OnAnswer = Callable[[Answer], bool | None]
"""Called with each answer; true where more are to come under the same address. An error is the last call."""


class Replies:
    """The requests in flight; each ends by exactly one of: its answer, its timeout, the loss of the connection.

    Args:
        prefix: the inbox's subject, without the last token; unique to this connection.
    """

    def __init__(self, inbox_prefix: str) -> None:
        self.prefix = f"{inbox_prefix}.{secrets.token_hex(8)}."
        self._length = len(self.prefix)
        self._loop = asyncio.get_running_loop()
        self._waiters: dict[str, tuple[str, OnAnswer]] = {}  # by token: what was asked, and who waits
        # The requests with one timeout end in the order in which they were sent: one timer of the event loop for all
        # of them costs a sixth of one for each. Those that were answered leave when they come to the front.
        self._ends: dict[float, deque[tuple[float, str]]] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._waiters)

    def expect(self, subject: str, timeout_s: float, on_answer: OnAnswer) -> str:
        """The address for the answer to a request on `subject`; `on_answer` is called once it is there or late."""
        self._last += 1
        token = str(self._last)
        waiters = self._waiters
        ends = self._ends.get(timeout_s)
        if ends is None:
            ends = self._ends[timeout_s] = deque()
            self._loop.call_later(timeout_s, self._give_up, timeout_s)
        else:
            while ends and ends[0][1] not in waiters:
                ends.popleft()
        ends.append((self._loop.time() + timeout_s, token))
        waiters[token] = (subject, on_answer)
        return self.prefix + token

    def forget(self, address: str) -> None:
        """Expect nothing at `address` any more: the request was not sent."""
        self._waiters.pop(address[self._length :], None)

    def deliver(self, message: Message) -> None:
        """Take an answer; one that nobody waits for (any more) is dropped."""
        token = message.subject[self._length :]
        waiter = self._waiters.get(token)
        if waiter is None:
            return
        subject, on_answer = waiter
        answer: Answer = message
        if message.raw_headers and message.status == 503:  # noqa: PLR2004 - NATS status of a request without listeners
            answer = NoResponders(f"nobody listens on {subject!r}")
        if not on_answer(answer) or answer is not message:
            self._waiters.pop(token, None)

    def refuse(self, subject: str, why: str) -> None:
        """Fail what was asked on `subject`: the server has denied it."""
        self._fail([token for token, (asked, _) in self._waiters.items() if asked == subject], PermissionDenied, why)

    def fail_all(self, why: str) -> None:
        """Fail every request in flight: their answers cannot come any more."""
        self._fail(list(self._waiters), BusUnavailable, why)

    def _fail(self, tokens: list[str], error: type[BusUnavailable], why: str) -> None:
        for token in tokens:
            waiter = self._waiters.pop(token, None)
            if waiter is not None:
                asked, on_answer = waiter
                on_answer(error(f"{asked}: {why}"))

    def _give_up(self, timeout_s: float) -> None:
        """End what is too late of the requests with this timeout, and come back for the next of them."""
        ends = self._ends[timeout_s]
        now = self._loop.time()
        late: list[str] = []
        while ends and (ends[0][0] <= now or ends[0][1] not in self._waiters):
            late.append(ends.popleft()[1])
        if ends:
            self._loop.call_later(ends[0][0] - now, self._give_up, timeout_s)
        else:
            del self._ends[timeout_s]
        for token in late:
            waiter = self._waiters.pop(token, None)
            if waiter is not None:
                asked, on_answer = waiter
                on_answer(BusTimeout(f"{asked}: no answer within {timeout_s:g} s"))
