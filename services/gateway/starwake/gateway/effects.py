"""PURE: what a connection's state machine asks for, and the position that a client hands over."""

from typing import Final

import msgspec

from starwake.contracts.ids import PlayerId
from starwake.contracts.reasons import CloseCode

_MAX_SEQ: Final = (1 << 63) - 1


class Resume(msgspec.Struct, frozen=True):
    """The position that a client hands over. Unlike `frames.Position` it knows whether `all` was given."""

    epoch: str
    seq: int
    all: int | None = None
    at: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seq <= _MAX_SEQ or not 0 <= (self.all or 0) <= _MAX_SEQ:
            raise ValueError("a position is a number from 0 to 2^63-1")


_resume_decoder = msgspec.json.Decoder(Resume)


def decode_resume(raw: bytes) -> Resume | None:
    """The position in `resume`; None for null.

    Raises:
        msgspec.DecodeError: it is not a position (`msgspec.ValidationError` is one).
    """
    return None if raw == b"null" else _resume_decoder.decode(raw)


class Send(msgspec.Struct, frozen=True):
    """Send this frame."""

    frame: bytes


class Verify(msgspec.Struct, frozen=True):
    """Look at the token; then `authenticated` or `refused`."""

    token: str
    resume: Resume | None


class Refresh(msgspec.Struct, frozen=True):
    """Look at the token of a live session; then `refreshed` or `refresh_refused`."""

    command_id: str
    token: str


class Join(msgspec.Struct, frozen=True):
    """Join the player's feed, send `hello` and what was missed; then `joined`."""

    player: PlayerId
    resume: Resume | None


class Forward(msgspec.Struct, frozen=True):
    """Ask the command service; then `answered`, with this very object."""

    command_id: str
    command: str
    frame: bytes


class TellTime(msgspec.Struct, frozen=True):
    """Answer with the server's time."""

    command_id: str
    command: str


class Ping(msgspec.Struct, frozen=True):
    """Send the application ping."""


class Close(msgspec.Struct, frozen=True):
    """Say bye, close, forget."""

    code: CloseCode
    reason: str


Effect = Send | Verify | Refresh | Join | Forward | TellTime | Ping | Close
Effects = list[Effect]
