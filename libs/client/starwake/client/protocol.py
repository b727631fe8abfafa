"""One player's session over all its connections: what comes in, and what is to be done about it. Pure.

No sockets, tasks or clocks here: every method takes what happened and `now` (monotonic seconds), and returns effects
in order. A connection passes through

    DOWN -> opened -> GREETING -> hello -> LIVE -> disconnected -> DOWN
                          |                 |
                          +--> hung up <----+    HANGING_UP: answers still count, pushes no longer do
                                 |
                                 +-> disconnected -> DOWN, or OVER for good
"""

import json
import logging
from datetime import datetime
from enum import Enum, auto
from typing import Literal
from uuid import uuid4

import msgspec

from starwake.client.backoff import Backoff, Dice, final_error
from starwake.client.clock import Clock
from starwake.client.cursor import Cursor, Verdict
from starwake.client.effects import Answered, Deliver, Effect, Failed, FetchToken, Hangup, Reopen, Send, Stop
from starwake.client.errors import Refused, SessionError
from starwake.client.frames import (
    Bye,
    ErrorFrame,
    Hello,
    Ping,
    PushFrame,
    Reply,
    ServerFrame,
    decode,
    encode_command,
    moment_of,
    place_of,
    resume_args,
)
from starwake.client.outstanding import Outstanding
from starwake.client.renewal import Renewal
from starwake.client.room import Room
from starwake.client.values import Connected, Disconnected, Missed, Push
from starwake.contracts.frames import UNREADABLE, Position

logger = logging.getLogger("starwake.client")

GREETING_S = 10.0
"""How long `hello` may take; the server itself gives authentication 10 s (section 1)."""

SILENT_INTERVALS = 2
"""Ping intervals without any frame after which the line counts as dead, as on the server's side (4012)."""


class Phase(Enum):
    """Where the connection stands."""

    DOWN = auto()
    GREETING = auto()
    LIVE = auto()
    HANGING_UP = auto()
    OVER = auto()


class Protocol:
    """The decisions of a client.

    Attributes:
        phase: where the connection stands.
        clock: the server's time, as the frames tell it.
    """

    def __init__(
        self,
        *,
        dice: Dice,
        position: Position | None = None,
        auth: Literal["header", "frame"] = "header",
        renews: bool = False,
        capacity: int = 1024,
    ) -> None:
        """A session that is not connected yet.

        Args:
            dice: a random number between two bounds; `random.uniform`.
            position: where an earlier session came to; None starts live.
            auth: whether the token goes into a header or into the first frame.
            renews: whether there is a provider to renew tokens from.
            capacity: pushes that may wait to be handled before further ones are left with the server.
        """
        self.phase = Phase.DOWN
        self.clock = Clock()
        self._cursor = Cursor(position)
        self._outstanding = Outstanding(dice)
        self._backoff = Backoff(dice)
        self._auth = auth
        self._renewal = Renewal(possible=renews)
        self._room = Room(capacity)
        self._hung_up: Hangup | None = None
        self._bye: Bye | None = None
        self._live_since: float | None = None
        self._silent_at: float | None = None
        self._silence_s = GREETING_S
        self._asked: dict[str, float] = {}

    # -- opening ---------------------------------------------------------------------------------------------------

    @property
    def position(self) -> Position | None:
        """How far pushes were taken in; what the next connection resumes from."""
        return self._cursor.position

    def headers(self, token: str) -> dict[str, str]:
        """The headers of the upgrade request."""
        if self._auth == "frame":
            return {}
        headers = {"Authorization": f"Bearer {token}"}
        if self.position is not None:
            # json rather than msgspec: it writes ASCII only, which a header needs.
            headers["Starwake-Resume"] = json.dumps(resume_args(self.position))
        return headers

    def opened(self, token: str, now: float) -> list[Effect]:
        """The upgrade succeeded; `hello` is awaited, after an `auth` where the token goes into the first frame."""
        self.phase = Phase.GREETING
        self._silent_at = now + GREETING_S
        if self._auth == "header":
            return []
        args: dict[str, object] = {"token": token}
        if self.position is not None:
            args["resume"] = resume_args(self.position)
        return [Send(encode_command(str(uuid4()), "auth", args))]

    def unreachable(self, reason: str, after_s: float | None = None) -> list[Effect]:
        """No connection came about, and trying again may help; after `after_s` seconds, where the server said so."""
        return self._go_down(None, reason, self._backoff.after_refusal(after_s))

    def disconnected(self, code: int | None, reason: str, now: float) -> list[Effect]:
        """The connection is closed, with the server's close code if it sent one."""
        bye, self._bye = self._bye, None
        if code is None and bye is not None:
            code = bye.code
        reason = reason or ("" if bye is None else bye.reason)
        if self._live_since is not None:
            self._backoff.lasted(now - self._live_since)
        if error := final_error(code, reason, bye):
            return self.stop(error)
        if self._hung_up is not None and self._hung_up.polite:
            # What was missed waits on the server, so there is no reason to wait, unless this goes on and on.
            return self._go_down(None, self._hung_up.reason, self._backoff.after_resync(self.position))
        if self._hung_up is not None:
            reason = self._hung_up.reason
        return self._go_down(code, reason or "connection lost", self._backoff.after_close(code, bye))

    def _go_down(self, code: int | None, reason: str, wait_s: float) -> list[Effect]:
        self._reset(Phase.DOWN)
        notice = Disconnected(code=code, reason=reason, retry_in_s=wait_s)
        return [Deliver(notice, self.position), Reopen(wait_s)]

    def stop(self, error: SessionError) -> list[Effect]:
        """The session is over for good."""
        self._reset(Phase.OVER)
        for command_id in self._outstanding.ids():
            self._outstanding.remove(command_id)
        return [Stop(error)]

    def _reset(self, phase: Phase) -> None:
        self.phase = phase
        self._room.connect()
        self._hung_up = None
        self._live_since = self._silent_at = None
        self._renewal.stop()
        self._asked.clear()

    # -- frames ----------------------------------------------------------------------------------------------------

    def received(self, text: str | bytes, now: float) -> list[Effect]:
        """A frame from the server. One that cannot be read is left out; a push still keeps its place in the feed."""
        self._silent_at = now + self._silence_s
        try:
            frame = decode(text)
        except msgspec.DecodeError as error:
            logger.warning("unreadable frame: %s", error)
            place = place_of(text)
            return [] if place is None else self._pushed(place)
        return self._dispatch(frame, now)

    def _dispatch(self, frame: ServerFrame, now: float) -> list[Effect]:
        match frame:
            case Hello():
                return self._greeted(frame, now)
            case PushFrame():
                return self._pushed(frame)
            case Reply():
                return self._answered(frame, now)
            case ErrorFrame():
                return self._refused(frame, now)
            case Ping():
                return self._pinged(frame, now)
            case Bye():
                self._bye = frame
                return []

    def _greeted(self, hello: Hello, now: float) -> list[Effect]:
        if self.phase is not Phase.GREETING:
            return []
        self.phase = Phase.LIVE
        self._live_since = now
        self._silence_s = SILENT_INTERVALS * hello.ping_interval_s
        self._silent_at = now + self._silence_s
        self.clock.heard(hello.server_time, now)
        self._renewal.plan(self._left_s(hello.token_expires_at, now), now, again=False)
        resumed = self.position is not None
        effects: list[Effect] = []
        if self._cursor.welcome(hello):
            effects.append(self._missed("the server could not replay what was pushed in between"))
        recovered = hello.recovered if resumed else None
        connected = Connected(player=hello.player, session=hello.session, recovered=recovered)
        effects.append(Deliver(connected, self.position))
        self._outstanding.welcomed(hello.limits, now)
        return effects + self._send_due(now)

    def _pushed(self, frame: PushFrame) -> list[Effect]:
        if self.phase is not Phase.LIVE or self._room.lagging:
            return []
        verdict = self._cursor.judge(frame)
        if verdict is Verdict.SEEN:
            return []
        if verdict is Verdict.HOLE:
            return self._resynchronise("a push is missing")
        if frame.event != UNREADABLE and not self._room.take():
            return []
        effects: list[Effect] = []
        if verdict is Verdict.LOSS:
            effects.append(self._missed("a push is missing, and the server does not have it any more"))
        replayed = self._cursor.is_replay(frame)
        self._cursor.advance(frame)
        if frame.event == UNREADABLE:
            return effects
        push = Push(
            event=frame.event,
            at=frame.at,
            data=frame.data,
            seq=frame.seq,
            feed=frame.feed,
            replayed=replayed,
        )
        return [*effects, Deliver(push, self.position)]

    def _missed(self, reason: str) -> Deliver:
        return Deliver(Missed(reason=reason), self.position)

    def _resynchronise(self, reason: str) -> list[Effect]:
        # A resume is the protocol's one way to have pushes replayed, so a hole is filled by a new connection.
        return self._hang_up(Hangup(reason, polite=True))

    def _hang_up(self, hangup: Hangup) -> list[Effect]:
        self.phase = Phase.HANGING_UP
        self._hung_up = hangup
        self._silent_at = self._room.resume_at = None
        self._renewal.stop()
        return [hangup]

    def _answered(self, reply: Reply, now: float) -> list[Effect]:
        if reply.id is None:
            return []
        if reply.id == self._renewal.id:
            return self._refreshed(reply, now)
        asked_at = self._asked.pop(reply.id, None)
        if not self._outstanding.remove(reply.id):
            return []
        server_time = moment_of(reply.result.get("server_time"))
        if asked_at is not None and server_time is not None:
            self.clock.asked(server_time, asked_at, now)
        return [Answered(reply.id, reply.result), *self._fetch_left_out(now), *self._send_due(now)]

    def _refused(self, frame: ErrorFrame, now: float) -> list[Effect]:
        if frame.id is None:
            logger.warning("the server could not read a frame: %s", frame.error.message)
            return []
        if frame.id == self._renewal.id:
            return self.token_failed(now)
        self._asked.pop(frame.id, None)
        error = Refused(
            frame.error.code,
            frame.error.message,
            command=frame.command or "",
            id=frame.id,
            retry_after_ms=frame.error.retry_after_ms,
        )
        if self._outstanding.refused(frame.id, error, now):
            return []
        if not self._outstanding.remove(frame.id):
            return []
        return [Failed(frame.id, error), *self._fetch_left_out(now), *self._send_due(now)]

    def _pinged(self, ping: Ping, now: float) -> list[Effect]:
        if ping.server_time is not None:
            self.clock.heard(ping.server_time, now)
        effects: list[Effect] = [Send(encode_command(None, "pong"))]
        if self.phase is Phase.LIVE and not self._room.lagging and self._cursor.pinged(ping) is Verdict.HOLE:
            effects += self._resynchronise("pushes are missing")
        return effects

    # -- commands --------------------------------------------------------------------------------------------------

    def command(self, command_id: str, command: str, args: object, now: float) -> list[Effect]:
        """Give a command; it goes out now, or as soon as there is a session and the gateway's rate allows it.

        Raises:
            Unsendable: it cannot be sent, see `Outstanding.add`.
        """
        self._outstanding.add(command_id, command, args)
        return self._send_due(now)

    def put_off(self, command_id: str) -> Refused | None:
        """How the server last put this command off, if it did."""
        return self._outstanding.last_refusal(command_id)

    def forget(self, command_id: str) -> None:
        """Nobody waits for this command any more."""
        self._asked.pop(command_id, None)
        self._outstanding.remove(command_id)

    def _send_due(self, now: float) -> list[Effect]:
        if self.phase is not Phase.LIVE:
            return []
        effects: list[Effect] = []
        for sent in self._outstanding.due(now):
            self._asked.pop(sent.id, None)
            # Only of a question asked once is it known which asking the answer belongs to.
            if sent.command == "time" and sent.tries == 0:
                self._asked[sent.id] = now
            effects.append(Send(sent.frame))
        return effects

    # -- the listener's pace ---------------------------------------------------------------------------------------

    def consumed(self, now: float) -> list[Effect]:
        """A push that was delivered has been handled."""
        self._room.handled(now)
        return self._fetch_left_out(now)

    def _fetch_left_out(self, now: float) -> list[Effect]:
        if self.phase is Phase.LIVE and self._room.due(now, idle=self._outstanding.idle(now)):
            return self._resynchronise("fetching what was left with the server")
        return []

    # -- the token -------------------------------------------------------------------------------------------------

    def token(self, token: str) -> list[Effect]:
        """The provider gave a fresh token."""
        if self.phase is not Phase.LIVE:
            return []
        self._renewal.id = str(uuid4())
        return [Send(encode_command(self._renewal.id, "auth.refresh", {"token": token}))]

    def token_failed(self, now: float) -> list[Effect]:
        """The provider gave none, or the server refused it."""
        if self.phase is Phase.LIVE:
            self._renewal.failed(now)
        return []

    def _refreshed(self, reply: Reply, now: float) -> list[Effect]:
        expiry = moment_of(reply.result.get("token_expires_at"))
        self._renewal.plan(self._left_s(expiry, now), now, again=True)
        return []

    def _left_s(self, expires_at: datetime | None, now: float) -> float | None:
        return None if expires_at is None else (expires_at - self.clock.now(now)).total_seconds()

    # -- time ------------------------------------------------------------------------------------------------------

    def wakeup(self, now: float) -> float | None:
        """When `timer` wants to be called (monotonic seconds), None while there is nothing to wait for."""
        moments = [self._silent_at, self._renewal.at, self._room.resume_at]
        if self.phase is Phase.LIVE:
            moments.append(self._outstanding.wakeup(now))
        return min((moment for moment in moments if moment is not None), default=None)

    def timer(self, now: float) -> list[Effect]:
        """The time of `wakeup` has come."""
        if self._silent_at is not None and now >= self._silent_at:
            return self._hang_up(Hangup("no sign of life from the server", polite=False))
        effects = self._fetch_left_out(now) + self._send_due(now)
        if self._renewal.due(now):
            effects.append(FetchToken())
        return effects
