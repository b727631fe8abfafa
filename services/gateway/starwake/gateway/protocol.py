"""PURE: one connection's way through the players' protocol. Input in, effects out; no sockets, time is an argument.

    OPENING -> VERIFYING -> JOINING -> LIVE
       any of them -> CLOSED

OPENING   connected without a token; the first frame must be `auth`, within the authentication time
VERIFYING a token is being looked at (its key may have to be fetched)
JOINING   the player is known, the feed is being joined; `hello` ends it
LIVE      commands and pushes flow, independent of one another
CLOSED    nothing is sent or read any more

Frames that arrive while VERIFYING or JOINING are held and answered after `hello`, which is always first.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Final, assert_never

import msgspec

from starwake.contracts import frames, subjects
from starwake.contracts.commands import Auth
from starwake.contracts.ids import PlayerId
from starwake.contracts.reasons import CloseCode, ErrorCode
from starwake.gateway.effects import (
    Close,
    Effects,
    Forward,
    Join,
    Ping,
    Refresh,
    Resume,
    Send,
    TellTime,
    Verify,
    decode_resume,
)
from starwake.gateway.limits import ConnectionLimits, TokenBucket, tokens_of

MAX_HELD_FRAMES: Final = 64


class Phase(Enum):
    """Where a connection stands; the module's text has the edges."""

    OPENING = auto()
    VERIFYING = auto()
    JOINING = auto()
    LIVE = auto()
    CLOSED = auto()


_auth_decoder = msgspec.json.Decoder(Auth)


class _Identified(msgspec.Struct):
    id: str | None = None


_id_decoder = msgspec.json.Decoder(_Identified)


class Connection:
    """The state of one connection. Every method takes the present, monotonic seconds, and returns what is to be done.

    Attributes:
        phase: where it stands.
        deadline: when `tick` must be called at the latest.
    """

    __slots__ = (
        "_authentication_due",
        "_bad_frames",
        "_bucket",
        "_expires_at",
        "_heard_at",
        "_held",
        "_in_flight",
        "_latest",
        "_limits",
        "_ping_at",
        "_player",
        "phase",
    )

    def __init__(self, limits: ConnectionLimits, now: float, *, ping_phase: float) -> None:
        """A connection that was opened `now`.

        Args:
            limits: what it may do.
            now: monotonic seconds.
            ping_phase: when in its first interval the first ping goes out, 0 to 1; random, so that the pings of
                clients that came together do not stay together.
        """
        self._limits = limits
        self.phase = Phase.OPENING
        self._authentication_due = now + limits.authentication_s
        self._bucket = TokenBucket(limits.commands_per_s, limits.burst, now)
        self._bad_frames = 0
        self._in_flight = 0
        self._latest: dict[str, Forward] | None = None
        self._held: list[bytes] | None = None
        self._player: PlayerId | None = None
        self._expires_at = 0.0
        self._heard_at = now
        self._ping_at = ping_phase

    @property
    def in_flight(self) -> int:
        """Commands that were forwarded and are not answered yet."""
        return self._in_flight

    @property
    def deadline(self) -> float:
        """When `tick` must be called at the latest."""
        match self.phase:
            case Phase.OPENING | Phase.VERIFYING | Phase.JOINING:
                return self._authentication_due
            case Phase.LIVE:
                return min(self._ping_at, self._silence_ends, self._expires_at + self._limits.token_grace_s)
            case Phase.CLOSED:
                return float("inf")
            case _:
                assert_never(self.phase)

    @property
    def _silence_ends(self) -> float:
        return self._heard_at + 2 * self._limits.ping_interval_s

    def vouched_for(self) -> None:
        """The upgrade request carried a token that holds; `authenticated` follows."""
        self.phase = Phase.VERIFYING

    def authenticated(self, player: PlayerId, resume: Resume | None, expires_at: float, now: float) -> Effects:
        """The token holds until `expires_at` (monotonic seconds)."""
        if self.phase is not Phase.VERIFYING:
            return []
        self.phase = Phase.JOINING
        self._player = player
        self._expires_at = expires_at
        # The feed gets a fresh allowance: the client has done its part.
        self._authentication_due = now + self._limits.authentication_s
        return [Join(player, resume)]

    def refused(self, reason: str) -> Effects:
        """The token does not hold."""
        return self._close(CloseCode.INVALID_TOKEN, reason)

    def joined(self, now: float) -> Effects:
        """`hello` is on its way: what was held is answered now."""
        if self.phase is not Phase.JOINING:
            return []
        self.phase = Phase.LIVE
        self._heard_at = now
        self._ping_at = now + self._ping_at * self._limits.ping_interval_s
        held, self._held = self._held, None
        effects: Effects = []
        for frame in held or ():
            effects += self.text(frame, now)
        return effects

    def life_sign(self, now: float) -> Effects:
        """A WebSocket ping or pong came; it counts as a life sign, and its answer costs like a command."""
        self._heard_at = now
        return self._pace(now)

    def binary(self) -> Effects:
        """A binary frame came."""
        return self._close(CloseCode.MALFORMED, "binary frames are not part of this protocol")

    def text(self, frame: bytes, now: float) -> Effects:
        """A text frame came; it is valid UTF-8."""
        self._heard_at = now
        match self.phase:
            case Phase.LIVE | Phase.OPENING:
                return self._read(frame, now)
            case Phase.VERIFYING | Phase.JOINING:
                if self._held is None:
                    self._held = []
                if len(self._held) >= MAX_HELD_FRAMES:
                    return self._close(CloseCode.TOO_MANY_COMMANDS, "too many commands before hello")
                self._held.append(frame)
                return []
            case Phase.CLOSED:
                return []
            case _:
                assert_never(self.phase)

    def answered(self, command: Forward) -> None:
        """The command service answered a forwarded command, or did not in time."""
        self._in_flight -= 1
        if self._latest is not None:
            self._latest.pop(command.command_id, None)

    def waits_for(self, command: Forward) -> bool:
        """Whether the client waits for the answer to this very frame.

        It does not where it is gone, nor where it has sent the id once more, nor where any frame with the id has been
        answered meanwhile: what would come of this one now might contradict what the player was told.
        """
        return self._latest is not None and self._latest.get(command.command_id) is command

    def refreshed(self, command_id: str, player: PlayerId, expires_at: float, told: str) -> Effects:
        """The new token holds until `expires_at` (monotonic seconds), which reads `told` on the wall."""
        if self.phase is not Phase.LIVE:
            return []
        if player != self._player:
            return [_error(command_id, "auth.refresh", ErrorCode.FORBIDDEN, "the token is another player's")]
        self._expires_at = expires_at
        return [_reply(command_id, "auth.refresh", {"token_expires_at": told})]

    def refresh_refused(self, command_id: str, code: ErrorCode, reason: str) -> Effects:
        """The new token does not hold; the old one still counts."""
        return [_error(command_id, "auth.refresh", code, reason)] if self.phase is Phase.LIVE else []

    def tick(self, now: float) -> Effects:
        """Time went by."""
        if self.phase is Phase.LIVE:
            return self._tick_live(now)
        if self.phase is Phase.CLOSED or now < self._authentication_due:
            return []
        if self.phase is Phase.JOINING:
            return self._close(CloseCode.FEED_INTERRUPTED, "the feed cannot be joined at the moment")
        return self._close(CloseCode.NOT_AUTHENTICATED, "no authentication in time")

    def end(self, code: CloseCode, reason: str) -> Effects:
        """The server wants to close: drain, revocation, a slow consumer, a lost feed."""
        return self._close(code, reason)

    def lost(self) -> None:
        """The socket is gone."""
        self._forget()

    def _tick_live(self, now: float) -> Effects:
        if now >= self._silence_ends:
            return self._close(CloseCode.NO_LIFE_SIGN, "no life sign for two ping intervals")
        if now >= self._expires_at + self._limits.token_grace_s:
            return self._close(CloseCode.TOKEN_EXPIRED, "the token expired and was not refreshed")
        if now < self._ping_at:
            return []
        self._ping_at = now + self._limits.ping_interval_s
        return [Ping()]

    def _close(self, code: CloseCode, reason: str) -> Effects:
        if self.phase is Phase.CLOSED:
            return []
        self._forget()
        return [Close(code, reason)]

    def _forget(self) -> None:
        self.phase = Phase.CLOSED
        self._held = None
        self._latest = None

    def _pace(self, now: float) -> Effects:
        """Take from the bucket for what gets no refusal of its own; only abuse has an effect."""
        if self._bucket.take(now) and self._bucket.refusals > self._limits.abuse_refusals:
            return self._close(CloseCode.TOO_MANY_COMMANDS, "too many commands after warnings")
        return []

    def _read(self, frame: bytes, now: float) -> Effects:  # noqa: PLR0911 - one refusal after the other
        try:
            command = frames.decode_command(frame)
        except msgspec.ValidationError as error:
            if _is_json(frame):
                return self._bad_frame(_readable_id(frame), ErrorCode.BAD_REQUEST, str(error), now)
            return self._bad_frame(None, ErrorCode.BAD_JSON, "not JSON", now)
        except (msgspec.DecodeError, RecursionError) as error:
            return self._bad_frame(None, ErrorCode.BAD_JSON, str(error), now)
        name = command.command
        if name == "pong":
            return self._pong(command.id, now)
        if command.id is None or not frames.is_command_id(command.id):
            return self._bad_frame(None, ErrorCode.BAD_REQUEST, "a command needs an id of 1 to 64 characters", now)
        self._bad_frames = 0
        wait_s = self._bucket.take(now, tokens_of(command))
        if wait_s:
            if self._bucket.refusals > self._limits.abuse_refusals:
                return self._close(CloseCode.TOO_MANY_COMMANDS, "too many commands after warnings")
            return [_rate_limited(command.id, name, wait_s)]
        own = _OWN_COMMANDS.get(name)
        if own is not None:
            return own(self, command.id, command, now)
        if self.phase is Phase.OPENING:
            return [_error(command.id, name, ErrorCode.FORBIDDEN, "authenticate first")]
        return self._forward(command.id, name, frame)

    def _pong(self, command_id: str | None, now: float) -> Effects:
        self._bad_frames = 0
        told = command_id is not None and frames.is_command_id(command_id) and self.phase is Phase.LIVE
        return self._pace(now) or ([TellTime(command_id, "pong")] if told and command_id else [])

    def _forward(self, command_id: str, name: str, frame: bytes) -> Effects:
        # Dotted names belong to the command service, known here or not: a game adds its own there.
        if "." not in name or not subjects.is_name(name):
            return [_error(command_id, name, ErrorCode.UNKNOWN_COMMAND, f"there is no command {name[:64]!r}")]
        if self._in_flight >= self._limits.max_in_flight:
            return [_rate_limited(command_id, name, 1.0)]
        self._in_flight += 1
        command = Forward(command_id, name, frame)
        if self._latest is None:
            self._latest = {}
        self._latest[command_id] = command
        return [command]

    def _bad_frame(self, command_id: str | None, code: ErrorCode, message: str, now: float) -> Effects:
        self._bad_frames += 1
        if self._bad_frames >= self._limits.max_bad_frames:
            return self._close(CloseCode.MALFORMED, f"{self._bad_frames} bad frames in a row")
        return self._pace(now) or [_error(command_id, None, code, message)]

    def auth(self, command_id: str, command: frames.Command, now: float) -> Effects:
        """`auth`: the token in the first frame."""
        if self.phase is not Phase.OPENING:
            message = "this session is authenticated; auth.refresh takes a new token"
            return [_error(command_id, "auth", ErrorCode.BAD_REQUEST, message)]
        try:
            args = _auth_decoder.decode(command.args)
            resume = decode_resume(bytes(args.resume))
        except (msgspec.DecodeError, RecursionError) as error:
            return self._bad_frame(command_id, ErrorCode.BAD_REQUEST, str(error), now)
        self.phase = Phase.VERIFYING
        return [Verify(args.token, resume)]

    def auth_refresh(self, command_id: str, command: frames.Command, now: float) -> Effects:
        """`auth.refresh`: a new token on the live socket."""
        if self.phase is Phase.OPENING:
            return [_error(command_id, "auth.refresh", ErrorCode.FORBIDDEN, "authenticate first")]
        try:
            args = _auth_decoder.decode(command.args)
        except (msgspec.DecodeError, RecursionError) as error:
            return self._pace(now) or [_error(command_id, "auth.refresh", ErrorCode.BAD_REQUEST, str(error))]
        if bytes(args.resume) != b"null":  # ignored, it would look as if it had been done
            message = "only the auth of a new connection takes resume"
            return [_error(command_id, "auth.refresh", ErrorCode.BAD_REQUEST, message)]
        return [Refresh(command_id, args.token)]

    def time(self, command_id: str, command: frames.Command, now: float) -> Effects:  # noqa: ARG002 - one signature
        """`time`: the server's."""
        if self.phase is Phase.OPENING:
            return [_error(command_id, "time", ErrorCode.FORBIDDEN, "authenticate first")]
        return [TellTime(command_id, "time")]


_OWN_COMMANDS: Final[dict[str, Callable[[Connection, str, frames.Command, float], Effects]]] = {
    "auth": Connection.auth,
    "auth.refresh": Connection.auth_refresh,
    "time": Connection.time,
}
"""The commands that the gateway answers itself, `pong` apart, which needs no id and without one gets no answer."""


def _is_json(frame: bytes) -> bool:
    """The decoder refuses what has the wrong type as soon as it sees it, and does not look at the rest."""
    try:
        msgspec.json.decode(frame)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _readable_id(frame: bytes) -> str | None:
    """The id of a frame that is no command, where it has one: the refusal should bear it."""
    try:
        command_id = _id_decoder.decode(frame).id
    except (msgspec.DecodeError, RecursionError):
        return None
    return command_id if command_id is not None and frames.is_command_id(command_id) else None


def _reply(command_id: str, command: str, result: object) -> Send:
    return Send(frames.answer_frame(command_id, command, frames.result_body(result)))


def _error(command_id: str | None, command: str | None, code: ErrorCode, message: str) -> Send:
    return Send(frames.error_frame(command_id, command, code, message))


def _rate_limited(command_id: str, command: str, wait_s: float) -> Send:
    message = "too many commands; slow down"
    retry_after_ms = max(1, round(wait_s * 1000))
    return Send(frames.error_frame(command_id, command, ErrorCode.RATE_LIMITED, message, retry_after_ms))
