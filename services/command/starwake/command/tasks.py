"""Bounded concurrency for what waits on the database and is no order: reads, and the operators' commands."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from opentelemetry.trace import use_span

from starwake.bus.service import Request as Call
from starwake.command import metrics, spans
from starwake.command.turns import Turns
from starwake.contracts.reasons import ErrorCode, Refusal
from starwake.game.decide import ACCEPTED, refused
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger
from starwake.runtime.tracing import OFF, Tracing
from starwake.store.errors import StoreError, StoreUnavailable

log = RateLimitedLogger(get_logger("tasks"))

Answering = Callable[[Call], Awaitable[bytes]]
_BUSY = Refusal(ErrorCode.UNAVAILABLE, "too much is asked at the moment, try again")
_OWN_TURN = Refusal(ErrorCode.RATE_LIMITED, "too much is asked for this player at once; slow down", retry_after_ms=1000)
_AWAY = Refusal(ErrorCode.UNAVAILABLE, "the database does not answer at the moment, try again")
_FAILED = Refusal(ErrorCode.INTERNAL, "this could not be carried out")


class CallTasks:
    """Runs each call in a task of its own, `limit` of them at most, and sees that each is answered."""

    def __init__(self, tracing: Tracing = OFF, *, limit: int = 256) -> None:
        self._tracing = tracing
        self._limit = limit
        self._running: set[asyncio.Task[str]] = set()

    def handler(self, name: str, answering: Answering) -> Callable[[Call], None]:
        """An endpoint's handler that answers with what `answering` returns, or with its `Refusal`."""

        def handle(call: Call) -> None:
            if len(self._running) >= self._limit:
                _refuse(call, name, _BUSY)
                return
            self.start(call, name, answering)

        return handle

    def start(
        self, call: Call, name: str, answering: Answering, ended: "Callable[[asyncio.Task[str]], None] | None" = None
    ) -> None:
        """Answer `call` in a task, whatever the limit; `ended` is called at its end."""
        answer = self._traced(call, name, answering) if self._tracing.enabled else _answer(call, name, answering)
        task = asyncio.create_task(answer, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        if ended is not None:
            task.add_done_callback(ended)

    def instant(self, name: str, handle: Callable[[Call], None]) -> Callable[[Call], None]:
        """An endpoint's handler that answers before it returns."""
        if not self._tracing.enabled:
            return handle

        def traced(call: Call) -> None:
            span = spans.begin(self._tracing, call, f"call {name}")
            try:
                handle(call)
            finally:
                span.end()

        return traced

    async def drain(self, timeout_s: float) -> None:
        """Wait until all are answered; break off what takes longer than `timeout_s` seconds."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        # What waits for its turn begins as others end.
        while self._running and (left_s := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._running, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        for task in tuple(self._running):
            task.cancel()

    async def _traced(self, call: Call, name: str, answering: Answering) -> str:
        span = spans.begin(self._tracing, call, f"call {name}")
        outcome = "broken off"
        try:
            with use_span(span):
                outcome = await _answer(call, name, answering)
        finally:
            spans.end(span, outcome)
        return outcome


class ReadTasks:
    """Runs reads in turns: one of each player at a time, `at_once` in all, and a bounded number waits.

    Over all gateways this is the one place that a player with many sockets cannot get round.
    """

    def __init__(self, tasks: CallTasks, *, at_once: int, each: int = 8, room: int = 1024) -> None:
        self._tasks = tasks
        self._turns: Turns[tuple[Call, str, Answering]] = Turns(at_once=at_once, each=each, room=room)

    def handler(self, name: str, answering: Answering) -> Callable[[Call], None]:
        """An endpoint's handler that answers in its player's turn."""

        def handle(call: Call) -> None:
            taken = self._turns.offer(call.subject.split(".", 2)[1], (call, name, answering))
            if taken != "taken":
                _refuse(call, name, _BUSY if taken == "full" else _OWN_TURN)
                return
            self._begin()

        return handle

    def _begin(self) -> None:
        while (turn := self._turns.take()) is not None:
            owner, (call, name, answering) = turn
            self._tasks.start(call, name, answering, partial(self._ended, owner))

    def _ended(self, owner: str, _task: "asyncio.Task[str]") -> None:
        self._turns.done(owner)
        self._begin()


async def _answer(call: Call, name: str, answering: Answering) -> str:
    """How it ended."""
    try:
        body = await answering(call)
    except Refusal as refusal:
        return _refuse(call, name, refusal)
    except StoreUnavailable as error:
        log.warning("call.unavailable", kind=name, command=name, error=str(error))
        return _refuse(call, name, _AWAY)
    except StoreError:
        log.exception("call.refused_by_database", kind=name, command=name)
        return _refuse(call, name, _FAILED)
    except Exception:
        # Whoever asked has to be answered whatever is wrong.
        log.exception("call.failed", kind=name, command=name)
        return _refuse(call, name, _FAILED)
    metrics.ORDERS.labels(command=name, outcome=ACCEPTED).inc()
    call.respond(body)
    return ACCEPTED


def _refuse(call: Call, name: str, refusal: Refusal) -> str:
    answer = refused(refusal)
    metrics.ORDERS.labels(command=name, outcome=answer.outcome).inc()
    call.respond(answer.body, answer.error)
    return answer.outcome
