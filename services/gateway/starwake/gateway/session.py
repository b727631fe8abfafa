"""One player's connection: feeds its state machine (`protocol.py`) and carries out what that asks for."""

import asyncio
import functools
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, assert_never

from starwake.bus.errors import BusError
from starwake.contracts import frames
from starwake.contracts.ids import PlayerId, SessionId, new_id
from starwake.contracts.reasons import CloseCode, ErrorCode
from starwake.contracts.times import to_rfc3339
from starwake.gateway import effects as asked
from starwake.gateway import feed_list, metrics
from starwake.gateway.auth import Identity, TokenRefused
from starwake.gateway.effects import Effects, Resume
from starwake.gateway.endings import log_end
from starwake.gateway.framing import text_frame
from starwake.gateway.keys import KeysUnavailable
from starwake.gateway.protocol import Connection, Phase
from starwake.gateway.surroundings import Surroundings
from starwake.gateway.websocket import WebSocket
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger

if TYPE_CHECKING:
    from starwake.gateway.hub import Welcome

_log = RateLimitedLogger(get_logger("gateway.session"))

_FLUSH_S: Final = 5.0
_WATCH_S: Final = 1.0
_RETRY_S: Final = 0.25
_RECONNECT_MS: Final = (500, 3000)
"""From which `bye` chooses at random when a client may come back, in milliseconds."""


class Session:
    """A connection from its upgrade to its end.

    Attributes:
        id: unique over all gateways; sorts by the time of connecting.
        player: None before authentication.
        issued_at: the token's `iat`, seconds since the epoch, None where it has none.
        live: whether `hello` has been sent.
    """

    __slots__ = (
        "_address",
        "_connection",
        "_expires_at",
        "_last_word",
        "_least_all_seq",
        "_least_seq",
        "_replay_bytes",
        "_return_after_ms",
        "_sent_bytes",
        "_socket",
        "_stuck_since",
        "_surroundings",
        "_waiting_pushes",
        "id",
        "issued_at",
        "live",
        "player",
        "slot",
    )

    def __init__(self, surroundings: Surroundings, socket: WebSocket, address: str | None = None) -> None:
        """A session on a socket whose handshake is done; `start` begins it.

        `address` is the client's where a proxy told of it.
        """
        now = time.monotonic()
        self.id = SessionId(new_id())
        self.player: PlayerId | None = None
        self.issued_at: float | None = None
        self.live = False
        self.slot: int | None = None
        self._address = address
        self._surroundings = surroundings
        self._socket = socket
        self._connection = Connection(surroundings.limits, now, ping_phase=random.random())  # noqa: S311 - no secret
        self._expires_at = 0.0
        self._last_word: tuple[CloseCode, str] | None = None
        self._least_seq = 0
        self._least_all_seq = 0
        self._waiting_pushes = 0
        self._replay_bytes = 0
        self._return_after_ms: int | None = None
        self._stuck_since: float | None = None
        self._sent_bytes = 0

    # --- life ----------------------------------------------------------------------------------------------------

    def start(self, identity: Identity | None, resume: Resume | None) -> None:
        """The handshake is done; `identity` is known where the upgrade request carried a token."""
        self._surroundings.hub.arrived(self)
        self._plan()
        if identity is None:
            self._surroundings.hub.strangers.enter(self, time.monotonic())
            self._socket.answer()  # the next word is the client's
        else:
            self._connection.vouched_for()
            self._identified(identity, resume)

    def tick(self, now: float) -> None:
        """A deadline of this connection may have passed."""
        self._socket.answer()
        if self._stuck_since is not None and self._is_stuck(now):
            self.end(CloseCode.SLOW_CONSUMER, "a write was stuck")
        else:
            self._carry_out(self._connection.tick(now))
        self._plan()

    def end(self, code: CloseCode, reason: str) -> None:
        """Close the session: drain, revocation, eviction, a lost feed, a slow consumer."""
        self._carry_out(self._connection.end(code, reason))

    def turn_away(self, reason: str, after_s: float) -> None:
        """Close the session before it is live; `bye` tells to come back after so many seconds."""
        self._return_after_ms = round(after_s * 1000)
        self.end(CloseCode.FEED_INTERRUPTED, reason)

    def end_once_answered(self, code: CloseCode, reason: str) -> None:
        """Close the session as soon as no command of its waits for the command service."""
        if self._connection.in_flight:
            self._last_word = (code, reason)
        else:
            self.end(code, reason)

    @property
    def address(self) -> str:
        """The client's, as far as it is known."""
        return self._address or self._socket.peer

    @property
    def waiting_bytes(self) -> int:
        """What waits for the peer."""
        return self._socket.waiting_bytes

    def _plan(self) -> None:
        deadline = self._connection.deadline
        if self._stuck_since is not None or not self._socket.answered:
            deadline = min(deadline, time.monotonic() + _WATCH_S)
        self._surroundings.wheel.put(self, deadline)

    # --- what comes in -------------------------------------------------------------------------------------------

    def on_text(self, payload: bytes) -> None:
        """A text message came."""
        self._carry_out(self._connection.text(payload, time.monotonic()))

    def on_binary(self) -> None:
        """A binary message came."""
        self._carry_out(self._connection.binary())

    def on_life_sign(self) -> None:
        """A ping or pong of the WebSocket layer came."""
        self._carry_out(self._connection.life_sign(time.monotonic()))

    def on_backlog(self) -> None:
        """The kernel takes no more for this peer at the moment."""
        self._watch_backlog()

    def on_closed(self, code: int) -> None:
        """The socket is gone."""
        self._connection.lost()
        self._surroundings.wheel.remove(self)
        self._surroundings.hub.left(self)
        self.live = False
        self._surroundings.hub.gone(self)
        metrics.count_disconnect(code)

    # --- pushes --------------------------------------------------------------------------------------------------

    def push(self, frame: bytes) -> None:
        """Send a push, a WebSocket frame already. Never blocks: a peer that is too slow is closed instead."""
        socket = self._socket
        waiting = socket.waiting_bytes
        if not waiting:
            self._waiting_pushes = 1
            self._replay_bytes = 0
            socket.write(frame)
            return
        self._waiting_pushes += 1
        limits = self._surroundings.limits
        # A replay is allowed to be larger than the outbox: it is bounded by what the stream keeps.
        if waiting - self._replay_bytes > limits.max_outbox_bytes or self._waiting_pushes > limits.max_outbox_pushes:
            self.end(CloseCode.SLOW_CONSUMER, "too much waits to be read")
            return
        socket.write(frame)

    def admit(self, welcome: "Welcome") -> None:
        """Go live: `hello`, then what was missed; live pushes follow from this moment on."""
        hello = frames.Hello(
            player=self.player or "",
            session=self.id,
            server_time=_now(),
            epoch=welcome.epoch,
            seq=welcome.seq,
            all=welcome.all_seq,
            recovered=welcome.recovered,
            token_expires_at=_told(self._expires_at),
            ping_interval_s=self._surroundings.limits.ping_interval_s,
            limits=self._surroundings.told_limits,
        )
        self._least_seq, self._least_all_seq = welcome.seq, welcome.all_seq
        replay = b"".join([text_frame(frame) for frame in welcome.replay])
        self._replay_bytes = len(replay)
        self.live = True
        self._socket.write(text_frame(frames.encode(hello)) + replay)
        self._carry_out(self._connection.joined(time.monotonic()))
        self._plan()

    # --- effects -------------------------------------------------------------------------------------------------

    def _carry_out(self, effects: Effects) -> None:
        for effect in effects:
            match effect:
                case asked.Forward():
                    self._forward(effect)
                case asked.Send():
                    self._send(effect.frame)
                case asked.Ping():
                    self._ping()
                case asked.TellTime():
                    body = frames.result_body({"server_time": _now()})
                    self._send(frames.answer_frame(effect.command_id, effect.command, body))
                case asked.Verify():
                    self._verify(effect)
                case asked.Refresh():
                    self._surroundings.tasks.spawn(self._refresh(effect), "refresh")
                case asked.Join():
                    self._surroundings.hub.identified(self, effect.player)
                    self._join(effect)
                case asked.Close():
                    self._close(effect)
                case _:
                    assert_never(effect)

    def _send(self, frame: bytes) -> None:
        waiting = self._socket.waiting_bytes
        if waiting - self._replay_bytes > self._surroundings.limits.max_outbox_bytes:
            self.end(CloseCode.SLOW_CONSUMER, "too much waits to be read")
        else:
            self._socket.write(text_frame(frame))

    def _forward(self, command: asked.Forward) -> None:
        if self.player is None:
            raise RuntimeError("a command cannot be forwarded before authentication")
        here, there = self._surroundings.feed_lists.ask, self._surroundings.forwarder.forward
        (here if command.command == feed_list.COMMAND else there)(self.player, command, self)

    def answered(self, command: asked.Forward, frame: bytes) -> None:
        """The frame that answers a forwarded command."""
        self._connection.answered(command)
        if self.live:
            self._send(frame)
        if self._last_word is not None:
            self.end_once_answered(*self._last_word)

    def waits_for(self, command: asked.Forward) -> bool:
        """Whether the client still waits for the answer to this very frame."""
        return self._connection.waits_for(command)

    def _ping(self) -> None:
        hub = self._surroundings.hub
        seq = max(self._least_seq, hub.position(self.player))
        all_seq = max(self._least_all_seq, hub.position(None))
        self._send(frames.ping_frame(seq, all_seq, _now()))
        if self._socket.waiting_bytes:
            self._watch_backlog()

    def _close(self, effect: asked.Close) -> None:
        code, reason = effect.code, effect.reason
        log_end(self, code, reason)
        hub = self._surroundings.hub
        hub.left(self)
        self._surroundings.wheel.remove(self)
        stuck = self._stuck_since is not None
        # Before it is live, too: who has shown a token and is to come back learns when.
        told = self.live or (self.player is not None and code.reconnect)
        if told and not (stuck and code is CloseCode.SLOW_CONSUMER):
            after_ms = self._told_to_return() if code.reconnect else 0
            bye = frames.bye_frame(code, reason, reconnect=code.reconnect, reconnect_after_ms=after_ms)
            self._socket.write(text_frame(bye))
        self.live = False
        if stuck and code is CloseCode.SLOW_CONSUMER:
            self._socket.abort(code)
        else:
            self._socket.close(code, reason, flush_s=_FLUSH_S)

    def _told_to_return(self) -> int:
        """When the client may come back, in milliseconds; random, for the sake of those who are closed with it."""
        if self.live:
            return random.randint(*_RECONNECT_MS)  # noqa: S311 - no secret
        return self._return_after_ms or round(self._surroundings.hub.later() * 1000)

    def _verify(self, effect: asked.Verify) -> None:
        self._surroundings.hub.strangers.leave(self)
        try:
            identity = self._surroundings.authenticator.identify_at_hand(effect.token)
        except TokenRefused as refusal:
            self._carry_out(self._connection.refused(str(refusal)))
        else:
            if identity is None:
                self._surroundings.tasks.spawn(self._fetch_and_verify(effect), "verify")
            else:
                self._identified(identity, effect.resume)

    async def _fetch_and_verify(self, effect: asked.Verify) -> None:
        try:
            identity = await self._surroundings.authenticator.identify(effect.token)
        except TokenRefused as refusal:
            self._carry_out(self._connection.refused(str(refusal)))
        except KeysUnavailable as error:
            self.end(CloseCode.FEED_INTERRUPTED, str(error))
        else:
            self._identified(identity, effect.resume)

    def _identified(self, identity: Identity, resume: Resume | None) -> None:
        now = time.monotonic()
        self.player = identity.player
        self.issued_at = identity.issued_at
        self._expires_at = identity.expires_at
        self._carry_out(self._connection.authenticated(identity.player, resume, _ahead(identity), now))
        self._plan()

    def _join(self, effect: asked.Join) -> None:
        if self._connection.phase is Phase.JOINING:  # its deadline ends that
            answered = functools.partial(self._join_unless_revoked, effect)
            self._surroundings.hub.ask_revoked(
                effect.player, self.issued_at, answered, lambda: self._connection.phase is Phase.JOINING
            )

    def _join_unless_revoked(self, effect: asked.Join, revoked: bool | BusError) -> None:  # noqa: FBT001 - an answer
        if isinstance(revoked, BusError):
            _log.warning("session.not_joined_yet", session=self.id, address=self.address, error=str(revoked))
            asyncio.get_running_loop().call_later(_RETRY_S, self._join, effect)
        elif revoked:
            self.end(CloseCode.REVOKED, "the session was revoked")
        else:
            self._surroundings.hub.join(self, effect.player, effect.resume)

    async def _refresh(self, effect: asked.Refresh) -> None:
        try:
            identity = await self._surroundings.authenticator.identify(effect.token)
            revoked = await self._surroundings.hub.is_revoked(identity.player, identity.issued_at)
        except TokenRefused as refusal:
            self._refuse_refresh(effect, ErrorCode.FORBIDDEN, str(refusal))
        except (KeysUnavailable, BusError) as error:
            _log.warning("session.not_refreshed", session=self.id, address=self.address, error=str(error))
            self._refuse_refresh(effect, ErrorCode.UNAVAILABLE, "the token cannot be checked at the moment; try again")
        else:
            if revoked and identity.player == self.player:
                self.end(CloseCode.REVOKED, "the session was revoked")
                return
            told = _told(identity.expires_at)
            self._carry_out(self._connection.refreshed(effect.command_id, identity.player, _ahead(identity), told))
            if identity.player == self.player:
                self.issued_at = identity.issued_at
            self._plan()

    def _refuse_refresh(self, effect: asked.Refresh, code: ErrorCode, reason: str) -> None:
        self._carry_out(self._connection.refresh_refused(effect.command_id, code, reason))

    # --- a slow peer ---------------------------------------------------------------------------------------------

    def _watch_backlog(self) -> None:
        if self._stuck_since is None and self._connection.phase is not Phase.CLOSED:
            self._stuck_since = time.monotonic()
            self._sent_bytes = self._socket.sent_bytes
            self._plan()

    def _is_stuck(self, now: float) -> bool:
        if not self._socket.waiting_bytes:
            self._stuck_since = None
            return False
        sent = self._socket.sent_bytes
        if sent > self._sent_bytes:
            self._stuck_since, self._sent_bytes = now, sent
        return now - (self._stuck_since or now) >= self._surroundings.limits.stuck_write_s


def _ahead(identity: Identity) -> float:
    """When the token expires, on the monotonic clock."""
    return time.monotonic() + identity.expires_at - time.time()


def _told(epoch_seconds: float) -> str:
    return to_rfc3339(datetime.fromtimestamp(epoch_seconds, UTC))


def _now() -> str:
    return to_rfc3339(datetime.now(UTC))
