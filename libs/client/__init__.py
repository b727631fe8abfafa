"""The player's SDK. `Starwake.connect` is where to begin."""

from libs.client.errors import (
    CannotConnect,
    CommandError,
    NotAuthenticated,
    PushesMissed,
    Refused,
    SessionClosed,
    SessionEnded,
    SessionError,
    StarwakeError,
    TokenUnavailable,
    Unanswered,
    Unsendable,
)
from libs.client.player import Starwake
from libs.client.values import (
    Build,
    BuildPage,
    Connected,
    Disconnected,
    DragonsInbound,
    Kind,
    Missed,
    Notice,
    Push,
    Star,
    StarsDiscovered,
)
from libs.contracts.builds import BuildState
from libs.contracts.frames import Position

__all__ = [
    "Build",
    "BuildPage",
    "BuildState",
    "CannotConnect",
    "CommandError",
    "Connected",
    "Disconnected",
    "DragonsInbound",
    "Kind",
    "Missed",
    "NotAuthenticated",
    "Notice",
    "Position",
    "Push",
    "PushesMissed",
    "Refused",
    "SessionClosed",
    "SessionEnded",
    "SessionError",
    "Star",
    "StarsDiscovered",
    "Starwake",
    "StarwakeError",
    "TokenUnavailable",
    "Unanswered",
    "Unsendable",
]
