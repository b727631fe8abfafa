"""Why something was refused or a session ended: error codes and close codes, closed sets.

The range of a close code tells a client what to do (RFC 6455, 7.4.2 leaves 4000-4999 to applications): 4000-4499
means reconnect and resume, 4500-4999 means stop.
"""

from enum import IntEnum, StrEnum


class ErrorCode(StrEnum):
    """The `error.code` of an error frame."""

    BAD_JSON = "bad_json"
    BAD_REQUEST = "bad_request"
    UNKNOWN_COMMAND = "unknown_command"
    UNKNOWN_KIND = "unknown_kind"
    SITE_BUSY = "site_busy"
    NOT_FOUND = "not_found"
    NOT_BUILDING = "not_building"
    LIMIT_REACHED = "limit_reached"
    ID_REUSED = "id_reused"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class CloseCode(IntEnum):
    """The code with which the server closes a session."""

    NORMAL = 1000
    GOING_AWAY = 1001
    INVALID_DATA = 1007
    TOO_BIG = 1009
    DRAINING = 4001
    TOKEN_EXPIRED = 4005
    SLOW_CONSUMER = 4008
    FEED_INTERRUPTED = 4010
    NO_LIFE_SIGN = 4012
    TOO_MANY_COMMANDS = 4013
    INVALID_TOKEN = 4500
    MALFORMED = 4501
    NOT_AUTHENTICATED = 4502
    REVOKED = 4503
    CONNECTION_LIMIT = 4504

    @property
    def reconnect(self) -> bool:
        """Whether a client that was closed with this code should come back and resume."""
        return self in (CloseCode.NORMAL, CloseCode.GOING_AWAY) or 4000 <= self < 4500  # noqa: PLR2004 - the ranges are the contract


class Refusal(Exception):  # noqa: N818 - the domain's word: an order is refused, nothing went wrong
    """A command that is answered with an error frame; nothing was changed.

    Attributes:
        code: the stable code that clients decide by.
        message: one sentence for people.
        retry_after_ms: when trying again makes sense, in milliseconds, or None.
    """

    def __init__(self, code: ErrorCode, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms
