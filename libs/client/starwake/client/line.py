"""The shell around the protocol: opens connections, carries its effects out, wakes it when time has come."""

import asyncio
import contextlib
import logging
import ssl as tls
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, assert_never

from websockets.exceptions import InvalidHandshake, InvalidStatus

from starwake.client.effects import Answered, Deliver, Effect, Failed, FetchToken, Hangup, Reopen, Send, Stop
from starwake.client.errors import (
    CannotConnect,
    CommandError,
    NotAuthenticated,
    SessionClosed,
    SessionError,
    StarwakeError,
    TokenUnavailable,
    Unanswered,
)
from starwake.client.inbox import Entry, Inbox
from starwake.client.protocol import Phase, Protocol
from starwake.client.values import Connected
from starwake.client.wire import CLOSE_S, Wire, open_wire

logger = logging.getLogger("starwake.client")

TokenProvider = Callable[[], Awaitable[str]]

_SAID_BYTES = 300
TOKEN_S = 15.0
"""How long a token provider may take."""

_LONGEST_RETRY_S = 300.0

BUSY_STATUSES = frozenset({408, 425, 429})
"""HTTP statuses below 500 that a later try may overcome."""


@dataclass(slots=True)
class _Answer:
    """The future of a command's answer, and how many wait for it."""

    future: asyncio.Future[dict[str, Any]]
    waiters: int = 0


class Line:
    """One player's line to the server, over as many connections as it takes. One task, `run`, owns them."""

    def __init__(
        self,
        url: str,
        protocol: Protocol,
        token_provider: TokenProvider,
        ssl: tls.SSLContext | None,
    ) -> None:
        self.protocol = protocol
        self.inbox = Inbox()
        self.greeting: Connected | None = None
        self.last_failure: str = "no answer yet"
        self._url = url
        self._token_provider = token_provider
        self._ssl = ssl
        self._loop = asyncio.get_running_loop()
        self._first_greeting: asyncio.Future[None] = self._loop.create_future()
        self._answers: dict[str, _Answer] = {}
        self._wire: Wire | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._refresher: asyncio.Task[None] | None = None
        self._reopen_after_s = 0.0
        self._over = asyncio.Event()
        self._error: SessionError | None = None
        self._runner: asyncio.Task[None] | None = None

    # -- opening and closing ---------------------------------------------------------------------------------------

    async def open(self, timeout_s: float) -> None:
        """Start, and wait for the first session.

        Raises:
            SessionError: none came about in time, or the server does not want us.
            TokenUnavailable: the provider failed.
        """
        self._runner = asyncio.create_task(self._run(), name="starwake-client")
        try:
            async with asyncio.timeout(timeout_s):
                await self._first_greeting
        except TimeoutError as error:
            reason = f"no session with {self._url} within {timeout_s:g} s: {self.last_failure}"
            raise CannotConnect(reason) from error

    async def close(self) -> None:
        """End the session and all that belongs to it, within a few seconds.

        Raises:
            Exception: what the runner failed with, if it did.
        """
        if self._runner is None:
            return
        wire = self._wire
        self._end(SessionClosed("the session was closed"))
        try:
            if wire is not None:
                wire.hang_up("", polite=True)
                await asyncio.wait([self._runner], timeout=2 * CLOSE_S)
        finally:
            self._runner.cancel()
        # Not `await self._runner`: it could not tell the runner's cancellation from that of whoever is closing.
        await asyncio.wait([self._runner])
        if not self._runner.cancelled() and (error := self._runner.exception()):
            raise error

    def _end(self, error: SessionError) -> None:
        if not self._over.is_set():
            self.perform(self.protocol.stop(error))

    async def _run(self) -> None:
        try:
            while not self._over.is_set():
                await self._connect()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._reopen_after_s):
                        await self._over.wait()
        finally:
            self._end(SessionClosed("the client has failed"))
            await self._end_refresh()

    async def _connect(self) -> None:
        try:
            token = await self._fetch_token()
            wire = await open_wire(self._url, self.protocol.headers(token), self._ssl)
        except TokenUnavailable as error:
            self._failed_to_open(error, error)
        except InvalidStatus as error:
            self._turned_away(error)
        except (OSError, InvalidHandshake) as error:
            self._failed_to_open(error, None)
        else:
            await self._serve(wire, token)

    async def _serve(self, wire: Wire, token: str) -> None:
        self._wire = wire
        try:
            self.perform(self.protocol.opened(token, self._loop.time()))
            code, reason = await wire.run(self._received)
        finally:
            self._wire = None
            await self._end_refresh()
        self.last_failure = reason or "the connection was closed"
        if not self._over.is_set():
            self.perform(self.protocol.disconnected(code, reason, self._loop.time()))

    def _received(self, text: str | bytes) -> None:
        self.perform(self.protocol.received(text, self._loop.time()))

    def _failed_to_open(
        self, error: Exception, fatal_at_first: StarwakeError | None, *, after_s: float | None = None
    ) -> None:
        self.last_failure = str(error) or type(error).__name__
        logger.info("no connection: %s", self.last_failure)
        if fatal_at_first is not None:
            self._never_greeted(fatal_at_first)
        self.perform(self.protocol.unreachable(self.last_failure, after_s))

    def _turned_away(self, error: InvalidStatus) -> None:
        status = error.response.status_code
        said = _said(error)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            self._end(NotAuthenticated(f"the server refuses the token (HTTP {status}{said})"))
        elif status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in BUSY_STATUSES:
            self._failed_to_open(CannotConnect(f"HTTP {status}{said}"), None, after_s=_retry_after(error))
        else:
            self._end(CannotConnect(f"there is no Starwake at {self._url} (HTTP {status}{said})"))

    # -- effects ---------------------------------------------------------------------------------------------------

    def perform(self, effects: list[Effect]) -> None:
        """Carry out what the protocol wants. Synchronous, so that nothing comes between an input and its effects."""
        for effect in effects:
            self._perform(effect)
        if self._alarm is not None:
            self._alarm.cancel()
        moment = self.protocol.wakeup(self._loop.time())
        self._alarm = None if moment is None else self._loop.call_at(moment, self._wake)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send() | Hangup():
                self._on_wire(effect)
            case Deliver(item, position):
                if isinstance(item, Connected):
                    self._greeted(item)
                self.inbox.put(Entry(item, position))
            case Answered(command_id, result):
                self._settle(command_id, result)
            case Failed(command_id, error):
                self._settle(command_id, error)
            case FetchToken():
                self._start_refresh()
            case Reopen(after_s):
                self._reopen_after_s = after_s
            case Stop(error):
                self._stop(error)
            case _:
                assert_never(effect)

    def _on_wire(self, effect: Send | Hangup) -> None:
        if self._wire is None:
            return
        if isinstance(effect, Send):
            self._wire.send(effect.text)
        else:
            self._wire.hang_up(effect.reason, polite=effect.polite)

    def consumed(self) -> None:
        """A push was taken from the inbox."""
        self.perform(self.protocol.consumed(self._loop.time()))

    def _wake(self) -> None:
        self.perform(self.protocol.timer(self._loop.time()))

    def _greeted(self, connected: Connected) -> None:
        self.greeting = connected
        if not self._first_greeting.done():
            self._first_greeting.set_result(None)

    def _never_greeted(self, error: StarwakeError) -> None:
        if not self._first_greeting.done():
            self._first_greeting.set_exception(error)
            # Nobody may be waiting any more, and then an exception that is never fetched is no news.
            self._first_greeting.exception()

    def _stop(self, error: SessionError) -> None:
        self._error = error
        self._over.set()
        for command_id in list(self._answers):
            self._settle(command_id, error)
        self._never_greeted(error)
        self.inbox.end(None if isinstance(error, SessionClosed) else error)

    # -- commands --------------------------------------------------------------------------------------------------

    async def command(self, command_id: str, name: str, args: object, timeout_s: float) -> dict[str, Any]:
        """Send a command and wait for its result, over however many connections.

        Raises:
            CommandError: it was refused, not answered within `timeout_s`, or could not be sent.
            SessionError: the session is over.
        """
        if self._error is not None:
            raise self._error
        effects = self.protocol.command(command_id, name, args, self._loop.time())
        answer = self._answers.setdefault(command_id, _Answer(self._loop.create_future()))
        answer.waiters += 1
        self.perform(effects)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(answer.future)
        except TimeoutError as error:
            raise self._unanswered(command_id, name, timeout_s) from error
        finally:
            answer.waiters -= 1
            if not answer.waiters:
                self._abandon(command_id, answer)

    def _unanswered(self, command_id: str, name: str, timeout_s: float) -> CommandError:
        refused = self.protocol.put_off(command_id)
        if refused is not None:
            return refused
        return Unanswered(f"no answer to {name} within {timeout_s:g} s", command=name, id=command_id)

    def _abandon(self, command_id: str, answer: _Answer) -> None:
        if not answer.future.done():
            answer.future.cancel()
            self._answers.pop(command_id, None)
            self.protocol.forget(command_id)

    def _settle(self, command_id: str, outcome: dict[str, Any] | StarwakeError) -> None:
        answer = self._answers.pop(command_id, None)
        if answer is None or answer.future.done():
            return
        if isinstance(outcome, StarwakeError):
            answer.future.set_exception(outcome)
        else:
            answer.future.set_result(outcome)

    # -- tokens ----------------------------------------------------------------------------------------------------

    async def _fetch_token(self) -> str:
        try:
            async with asyncio.timeout(TOKEN_S):
                token = await self._token_provider()
        except Exception as error:
            # Whatever it raises is the provider's affair: often a network that comes back, so it is asked again.
            raise TokenUnavailable(f"no token: {str(error) or type(error).__name__}") from error
        return token.strip()  # read from a file, a token often ends in a newline, which no header may hold

    def _start_refresh(self) -> None:
        if self._refresher is None or self._refresher.done():
            self._refresher = asyncio.create_task(self._refresh(), name="starwake-client-refresh")

    async def _refresh(self) -> None:
        try:
            token = await self._fetch_token()
        except TokenUnavailable as error:
            logger.warning("cannot renew the token: %s", error)
            self.perform(self.protocol.token_failed(self._loop.time()))
        else:
            self.perform(self.protocol.token(token))

    async def _end_refresh(self) -> None:
        if self._refresher is not None:
            self._refresher.cancel()
            await asyncio.wait([self._refresher])
            self._refresher = None

    # -- state -----------------------------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """Whether a session stands now."""
        return self.protocol.phase is Phase.LIVE

    def now(self) -> datetime:
        """The server's time."""
        return self.protocol.clock.now(self._loop.time())


def _said(refusal: InvalidStatus) -> str:
    """The first line of what came with the status, for a message; empty where nothing readable did."""
    body = (refusal.response.body or b"")[:_SAID_BYTES].decode(errors="replace").strip()
    line = body.partition("\n")[0].strip()
    return f": {line}" if line and line.isprintable() and not line.startswith("<") else ""


def _retry_after(refused: InvalidStatus) -> float | None:
    """The seconds that `Retry-After` asks for (RFC 9110, 10.2.3); None without, or where it is a date."""
    seconds = refused.response.headers.get("Retry-After", "")
    return min(float(seconds), _LONGEST_RETRY_S) if seconds.isascii() and seconds.isdigit() else None
