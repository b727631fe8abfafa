"""Who waits for which answer: one wildcard inbox for all requests of a connection."""

import asyncio
import secrets
from collections.abc import Callable

from libs.bus.errors import BusTimeout, BusUnavailable, NoResponders, PermissionDenied
from libs.bus.message import Message

Answer = Message | BusUnavailable
"""What a request ends with: the answer, or why there is none."""

OnAnswer = Callable[[Answer], bool | None]
"""Called with each answer; true where more are to come under the same address. An error is the last call."""


class _Waiter:
    __slots__ = ("on_answer", "subject", "timer")

    def __init__(self, subject: str, on_answer: OnAnswer, timer: asyncio.TimerHandle) -> None:
        self.subject = subject
        self.on_answer = on_answer
        self.timer = timer


class Replies:
    """The requests in flight; each ends by exactly one of: its answer, its timeout, the loss of the connection.

    Args:
        prefix: the inbox's subject, without the last token; unique to this connection.
    """

    def __init__(self, inbox_prefix: str) -> None:
        self.prefix = f"{inbox_prefix}.{secrets.token_hex(8)}."
        self._length = len(self.prefix)
        self._loop = asyncio.get_running_loop()
        self._waiters: dict[str, _Waiter] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._waiters)

    def expect(self, subject: str, timeout_s: float, on_answer: OnAnswer) -> str:
        """The address for the answer to a request on `subject`; `on_answer` is called once it is there or late."""
        self._last += 1
        token = str(self._last)
        timer = self._loop.call_later(timeout_s, self._give_up, token, timeout_s)
        self._waiters[token] = _Waiter(subject, on_answer, timer)
        return self.prefix + token

    def forget(self, address: str) -> None:
        """Expect nothing at `address` any more: the request was not sent."""
        waiter = self._waiters.pop(address[self._length :], None)
        if waiter is not None:
            waiter.timer.cancel()

    def deliver(self, message: Message) -> None:
        """Take an answer; one that nobody waits for (any more) is dropped."""
        token = message.subject[self._length :]
        waiter = self._waiters.get(token)
        if waiter is None:
            return
        answer: Answer = message
        if message.raw_headers and message.status == 503:  # noqa: PLR2004 - NATS status of a request without listeners
            answer = NoResponders(f"nobody listens on {waiter.subject!r}")
        if not waiter.on_answer(answer) or answer is not message:
            waiter.timer.cancel()
            self._waiters.pop(token, None)

    def refuse(self, subject: str, why: str) -> None:
        """Fail what was asked on `subject`: the server has denied it."""
        self._fail(
            [token for token, waiter in self._waiters.items() if waiter.subject == subject], PermissionDenied, why
        )

    def fail_all(self, why: str) -> None:
        """Fail every request in flight: their answers cannot come any more."""
        self._fail(list(self._waiters), BusUnavailable, why)

    def _fail(self, tokens: list[str], error: type[BusUnavailable], why: str) -> None:
        for token in tokens:
            waiter = self._waiters.pop(token, None)
            if waiter is not None:
                waiter.timer.cancel()
                waiter.on_answer(error(f"{waiter.subject}: {why}"))

    def _give_up(self, token: str, timeout_s: float) -> None:
        waiter = self._waiters.pop(token, None)
        if waiter is not None:
            waiter.on_answer(BusTimeout(f"{waiter.subject}: no answer within {timeout_s:g} s"))
