"""Where orders arrive: parsed at once, carried out in batches, answered right after COMMIT."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry.trace import Span

from starwake.bus.service import Request as Call
from starwake.command import metrics, spans
from starwake.command.aftermath import Aftermath
from starwake.command.batcher import Batcher
from starwake.contracts.batches import Ask
from starwake.contracts.commands import REFUSALS_HEADER
from starwake.contracts.reasons import ErrorCode, Refusal
from starwake.game.decide import Answer, Decision, ask_of, decide, refused
from starwake.game.requests import OrderParser, Request, acceptable_count
from starwake.game.rules import World
from starwake.runtime import crash_points
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger
from starwake.runtime.tracing import OFF, Tracing, trace_to_keep
from starwake.store import orders
from starwake.store.database import Database
from starwake.store.errors import StoreConflict, StoreUnavailable
from starwake.store.outbox import OutboxRow, read_earlier

log = RateLimitedLogger(get_logger("desk"))

_UNAVAILABLE = refused(Refusal(ErrorCode.UNAVAILABLE, "orders cannot be taken at the moment, try again"))
_MORE_READS = 8
"""How often a batch is read, each time with what its rules asked for besides their arguments the time before."""
_INTERNAL = refused(Refusal(ErrorCode.INTERNAL, "this order could not be carried out"))


@dataclass(slots=True)
class _Waiting:
    call: Call
    request: Request
    since: float
    span: Span | None = None


class Desk:
    """Takes orders.

    Args:
        database: where they are carried out.
        world: the game.
        parser: reads requests.
        aftermath: what follows a commit.
        tracing: spans, if they are on.
        most: orders in one transaction at most.
        room: how many orders may wait.
        lanes: how many transactions may be under way.
    """

    def __init__(  # noqa: PLR0913 - wired once, by the composition root
        self,
        database: Database,
        world: World,
        parser: OrderParser,
        aftermath: Aftermath,
        *,
        tracing: Tracing = OFF,
        most: int = 128,
        room: int = 4096,
        lanes: int = 1,
    ) -> None:
        self._database = database
        self._world = world
        self._parser = parser
        self._aftermath = aftermath
        self._tracing = tracing
        self._batcher: Batcher[_Waiting] = Batcher(self._carry_out, most=most, room=room, lanes=lanes)
        metrics.QUEUE.set_function(self._batcher.__len__)

    def handle(self, call: Call) -> None:
        """Take one order in; called from the read loop, never waits."""
        since = time.perf_counter()
        span = spans.begin(self._tracing, call, "order") if self._tracing.enabled else None
        trace = spans.trace_of(call) if span is None else trace_to_keep(span)
        try:
            request = self._parser.parse(call.subject, call.payload, trace)
        except Exception as error:  # a game's own arguments may raise anything while they are read
            if not isinstance(error, Refusal):
                log.exception("order.unreadable")
            answer = refused(error) if isinstance(error, Refusal) else _INTERNAL
            # Not by the subject's name: anybody may have made it up.
            metrics.ORDERS.labels(command="malformed", outcome=answer.outcome).inc()
            call.respond(answer.body, answer.error)
            if span is not None:
                spans.end(span, answer.outcome)
            return
        if call.raw_headers:
            request.refusals = acceptable_count(call.headers.get(REFUSALS_HEADER))
        if span is not None:
            spans.describe(span, request)
        waiting = _Waiting(call, request, since, span)
        if not self._batcher.offer(waiting):
            _reply(waiting, _UNAVAILABLE)

    async def run(self) -> None:
        """Carry orders out until cancelled."""
        await self._batcher.run()

    async def drain(self, timeout_s: float) -> bool:
        """Wait until every order that was taken in is answered."""
        return await self._batcher.drain(timeout_s)

    async def _carry_out(self, batch: list[_Waiting]) -> None:
        requests = [each.request for each in batch]
        begun = time.perf_counter()
        try:
            decision, rows = await self._transaction(requests)
        except StoreUnavailable as error:
            log.warning("orders.unavailable", orders=len(batch), error=str(error))
            answers: Sequence[Answer] = [_UNAVAILABLE] * len(batch)
        except Exception as error:  # noqa: BLE001 - told in the log, by `_unstorable`
            # Whatever is wrong, it may be in one order, and costs that one alone.
            if len(batch) > 1:
                await self._carry_out(batch[: len(batch) // 2])
                await self._carry_out(batch[len(batch) // 2 :])
                return
            answers = [_unstorable(batch[0].request, error)]
        else:
            answers = decision.answers
            crash_points.reach(crash_points.AFTER_COMMIT)
            for each, answer in zip(batch, answers, strict=True):
                _reply(each, answer)
            self._aftermath.take(decision.alarms(), decision.outdated(), rows)
            metrics.BATCH_SIZE.observe(len(batch))
            metrics.COMMIT_SECONDS.observe(time.perf_counter() - begun)
            return
        for each, answer in zip(batch, answers, strict=True):
            _reply(each, answer)

    async def _transaction(self, requests: Sequence[Request]) -> tuple[Decision, list[OutboxRow]]:
        asks = [ask_of(request, self._world) for request in requests]
        for _ in range(_MORE_READS - 1):
            decision, rows = await self._attempts(requests, asks, may_read_more=True)
            if not decision.unread:
                return decision, rows
            # In a transaction of its own again: its locks are taken in one order.
            asks += decision.unread
        return await self._attempts(requests, asks, may_read_more=False)

    async def _attempts(
        self, requests: Sequence[Request], asks: Sequence[Ask], *, may_read_more: bool
    ) -> tuple[Decision, list[OutboxRow]]:
        attempts = 0

        async def attempt() -> tuple[Decision, list[OutboxRow]]:
            nonlocal attempts
            attempts += 1
            if attempts > 1:
                metrics.RETRIES.inc()
            async with self._database.transaction() as connection:
                loaded = await orders.load_batch(
                    connection, asks, count_up_to=self._world.catalogue.limits.builds_at_once
                )
                decision = decide(requests, loaded, self._world, _rule_failed, may_read_more=may_read_more)
                if decision.unread:
                    return decision, []
                await orders.note_held(connection, loaded.players)
                if decision.writes.is_empty:
                    return decision, []
                ids = await orders.write_batch(connection, decision.writes)
                # Whoever tells of a build first tells what stands before it: no "cancelled" overtakes a "started".
                moved_on = decision.moved_on()
                earlier = await read_earlier(connection, moved_on) if moved_on else []
            rows = [
                OutboxRow(row_id, told.notification, told.tell_at, told.source_id, loaded.now)
                for row_id, told in zip(ids, decision.writes.outbox, strict=True)
            ]
            return decision, [*earlier, *rows]

        return await self._database.retrying(attempt)


def _reply(waiting: _Waiting, answer: Answer) -> None:
    waiting.call.respond(answer.body, answer.error, answer.headers)
    metrics.answered(waiting.request.order.command, answer.outcome).inc()
    metrics.ANSWER_SECONDS.observe(time.perf_counter() - waiting.since)
    if waiting.span is not None:
        spans.end(waiting.span, answer.outcome, answer.follows)


def _unstorable(request: Request, error: Exception) -> Answer:
    """The answer to an order that fails by itself, and a line in the log that says why."""
    command = request.order.command
    if isinstance(error, StoreConflict):
        log.warning("order.conflicts", kind=command, command=command, error=str(error))
        return _UNAVAILABLE
    log.error("order.failed", kind=command, command=command, player=request.player, exc_info=error)
    return _INTERNAL


def _rule_failed(request: Request, error: Exception) -> None:
    command = request.order.command
    log.error("rule.failed", kind=command, command=command, player=request.player, exc_info=error)
