"""Commands on their way to the command service and back: bytes there, bytes here, neither decoded."""

import asyncio
import time
from functools import partial
from typing import Final, Protocol

import msgspec
from opentelemetry.trace import Span, SpanKind

from starwake.bus.connection import Bus, Message
from starwake.bus.errors import BusError, NoResponders, PayloadTooLarge
from starwake.bus.headers import find_header
from starwake.contracts import frames, subjects
from starwake.contracts.commands import REFUSALS_HEADER
from starwake.contracts.ids import PlayerId
from starwake.contracts.reasons import ErrorCode
from starwake.gateway import metrics
from starwake.gateway.effects import Forward
from starwake.gateway.tasks import Tasks
from starwake.runtime import tracing as traces
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger
from starwake.runtime.tracing import OFF, TRACEPARENT, Tracing

_log = RateLimitedLogger(get_logger("gateway.forwarding"))

_LIST_COMMANDS: Final = "commands"
_LIST_TIMEOUT_S: Final = 1.0
_RESULT: Final = b'{"result":'
_ERROR: Final = b'{"error":'
_CODE: Final = b'"code":"'
_CODES: Final = frozenset(code.value for code in ErrorCode)

_SECOND_LOOK_S: Final = 0.02
"""Between being asked back and the answer. A gateway that was frozen itself finds in its sockets, in any order, that it
is asked back and that its player has gone; it has to have seen both."""
_REFUSALS: Final = f"\r\n{REFUSALS_HEADER}: ".encode()


class Asker(Protocol):
    """Whoever has sent a command."""

    def answered(self, command: Forward, frame: bytes) -> None:
        """Take the frame that answers the command."""
        ...

    def waits_for(self, command: Forward) -> bool:
        """Whether the answer to this very attempt is still wanted."""
        ...


class _Asked(msgspec.Struct, frozen=True):
    """A command on its way: whose, since when, for whom, and its span where it is traced."""

    player: PlayerId
    command: Forward
    started: float
    asker: Asker
    span: Span | None


class _Listed(msgspec.Struct):
    commands: list[str]


class _ListBody(msgspec.Struct):
    result: _Listed


_list_decoder = msgspec.json.Decoder(_ListBody)


class Forwarder:
    """Asks the command service, and answers in its stead where it does not."""

    def __init__(self, bus: Bus, tasks: Tasks, *, timeout_s: float, tracing: Tracing = OFF) -> None:
        """A forwarder over `bus`; a command that is not answered in `timeout_s` seconds is `unavailable`."""
        self._bus = bus
        self._tasks = tasks
        self._timeout_s = timeout_s
        self._tracing = tracing

    def forward(self, player: PlayerId, command: Forward, asker: Asker) -> None:
        """Forward one command; `asker.answered` is called exactly once, possibly before this returns."""
        span = self._begin(player, command) if self._tracing.enabled else None
        self._send(_Asked(player, command, time.perf_counter(), asker, span), self._timeout_s)

    def _send(self, asked: _Asked, timeout_s: float, refusals: str | None = None) -> None:
        headers: dict[str, str] = {}
        if asked.span is not None:
            headers[TRACEPARENT] = traces.traceparent_of(asked.span)
        if refusals is not None:
            headers[REFUSALS_HEADER] = refusals
        subject = subjects.command(asked.player, asked.command.command)
        # Not functions within `forward`: those that know each other are left to the garbage collector, each time.
        answered = partial(self._answered, asked)
        try:
            self._bus.call(subject, asked.command.frame, answered, timeout_s=timeout_s, headers=headers)
        except BusError as error:
            self._finish(asked, _failure(error))

    def _answered(self, asked: _Asked, reply: Message | BusError) -> None:
        if isinstance(reply, Message):
            if reply.raw_headers and find_header(reply.raw_headers, _REFUSALS) is not None:
                asyncio.get_running_loop().call_later(_SECOND_LOOK_S, self._confirm, asked, reply)
            else:
                self._finish(asked, _checked_body(reply))
        elif isinstance(reply, NoResponders):
            self._tasks.spawn(self._nobody_listens(asked), "unknown-command")
        else:
            self._finish(asked, _failure(reply))

    def _confirm(self, asked: _Asked, asked_back: Message) -> None:
        left_s = asked.started + self._timeout_s - time.perf_counter()
        if left_s > 0 and asked.asker.waits_for(asked.command):
            self._send(asked, left_s, asked_back.headers[REFUSALS_HEADER])
        else:
            self._finish(asked, _checked_body(asked_back))

    def _begin(self, player: PlayerId, command: Forward) -> Span:
        """The span of a frame, from its coming in to its answer; what the command leads to are parts of it."""
        attributes = {traces.PLAYER: player, traces.COMMAND_ID: command.command_id or ""}
        return self._tracing.begin("command", kind=SpanKind.SERVER, attributes=attributes)

    async def _nobody_listens(self, asked: _Asked) -> None:
        """No such command, or no command service? Whoever lists the commands knows."""
        body = frames.error_body(ErrorCode.UNAVAILABLE, "the command service is not answering; try again")
        try:
            subject = subjects.command(asked.player, _LIST_COMMANDS)
            reply = await self._bus.request(subject, b"{}", timeout_s=_LIST_TIMEOUT_S)
            if asked.command.command not in _list_decoder.decode(reply.payload).result.commands:
                body = frames.error_body(ErrorCode.UNKNOWN_COMMAND, f"there is no command {asked.command.command!r}")
        except (BusError, msgspec.DecodeError) as error:
            _log.warning("commands.not_listed", error=str(error))
        self._finish(asked, body)

    @staticmethod
    def _finish(asked: _Asked, body: bytes) -> None:
        command, span = asked.command, asked.span
        outcome = "ok" if body.startswith(_RESULT) else _error_code(body)
        metrics.count_command(command.command, outcome)
        metrics.COMMAND_SECONDS.observe(time.perf_counter() - asked.started)
        asked.asker.answered(command, frames.answer_frame(command.command_id, command.command, body))
        if span is not None:
            if outcome != ErrorCode.UNKNOWN_COMMAND:  # a name that only a client knows is not kept
                span.update_name(f"command {command.command}")
                span.set_attribute(traces.COMMAND, command.command)
            span.set_attribute(traces.OUTCOME, outcome)
            span.end()


def _checked_body(reply: Message) -> bytes:
    """The service's answer, or `internal` where it is not one: a handler that crashed answers with headers alone."""
    body = reply.payload
    if body.startswith((_RESULT, _ERROR)) and body.endswith(b"}"):
        return body
    _log.error("command.answer_malformed", subject=reply.subject, size=len(body))
    return frames.error_body(ErrorCode.INTERNAL, "the command failed; the operators can see why")


def _failure(error: BusError) -> bytes:
    if isinstance(error, PayloadTooLarge):
        return frames.error_body(ErrorCode.BAD_REQUEST, "the command is too large")
    return frames.error_body(ErrorCode.UNAVAILABLE, "the command service is not answering; try again with the same id")


def _error_code(body: bytes) -> str:
    start = body.find(_CODE) + len(_CODE)
    code = body[start : body.find(b'"', start)].decode(errors="replace")
    return code if code in _CODES else "other"
