"""Bounded concurrency for what waits on the database and is no order: reads, and the operators' commands."""

import asyncio
from collections.abc import Awaitable, Callable

from libs.bus.service import Request as Call
from libs.contracts.reasons import ErrorCode, Refusal
from libs.runtime.logs import get_logger
from libs.store.errors import StoreError, StoreUnavailable
from services.command import metrics
from services.command.decide import ACCEPTED, refused

log = get_logger("tasks")

Answering = Callable[[Call], Awaitable[bytes]]
_BUSY = Refusal(ErrorCode.UNAVAILABLE, "too much is asked at the moment, try again")
_AWAY = Refusal(ErrorCode.UNAVAILABLE, "the database does not answer at the moment, try again")
_FAILED = Refusal(ErrorCode.INTERNAL, "this could not be carried out")


class CallTasks:
    """Runs each call in a task of its own, `limit` of them at most, and sees that each is answered."""

    def __init__(self, limit: int = 256) -> None:
        self._limit = limit
        self._running: set[asyncio.Task[None]] = set()

    def handler(self, name: str, answering: Answering) -> Callable[[Call], None]:
        """An endpoint's handler that answers with what `answering` returns, or with its `Refusal`."""

        def handle(call: Call) -> None:
            if len(self._running) >= self._limit:
                _refuse(call, name, _BUSY)
                return
            task = asyncio.create_task(_answer(call, name, answering), name=name)
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        return handle

    async def drain(self, timeout_s: float) -> None:
        """Wait until all are answered; break off what takes longer than `timeout_s` seconds."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)
        for task in tuple(self._running):
            task.cancel()


async def _answer(call: Call, name: str, answering: Answering) -> None:
    try:
        body = await answering(call)
    except Refusal as refusal:
        _refuse(call, name, refusal)
    except StoreUnavailable as error:
        log.warning("call.unavailable", command=name, error=str(error))
        _refuse(call, name, _AWAY)
    except StoreError:
        log.exception("call.refused_by_database", command=name)
        _refuse(call, name, _FAILED)
    except Exception:
        # Whoever asked has to be answered whatever is wrong.
        log.exception("call.failed", command=name)
        _refuse(call, name, _FAILED)
    else:
        metrics.ORDERS.labels(command=name, outcome=ACCEPTED).inc()
        call.respond(body)


def _refuse(call: Call, name: str, refusal: Refusal) -> None:
    answer = refused(refusal)
    metrics.ORDERS.labels(command=name, outcome=answer.outcome).inc()
    call.respond(answer.body, answer.error)
