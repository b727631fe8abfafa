"""What the protocol wants done: its only way to reach the world."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from starwake.client.errors import CommandError, SessionError
from starwake.client.values import Notice, Push
from starwake.contracts.frames import Position


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text frame."""

    text: str


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand this to whoever listens; once it is handled, `position` is what to resume from."""

    item: Push | Notice
    position: Position | None


@dataclass(frozen=True, slots=True)
class Answered:
    """A command was carried out."""

    id: str
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """A command was refused for good."""

    id: str
    error: CommandError


@dataclass(frozen=True, slots=True)
class FetchToken:
    """Ask the provider for a fresh token, then call `token` or `token_failed`."""


@dataclass(frozen=True, slots=True)
class Hangup:
    """Close the connection; `polite` with a closing handshake, else at once (the peer is silent)."""

    reason: str
    polite: bool


@dataclass(frozen=True, slots=True)
class Reopen:
    """Open the next connection after so many seconds."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Stop:
    """The session is over: fail what waits, and open no other."""

    error: SessionError


Effect: TypeAlias = Send | Deliver | Answered | Failed | FetchToken | Hangup | Reopen | Stop
