"""What can go wrong for a client, as one tree.

* `StarwakeError`
    * `CommandError` - one command, the session goes on
        * `Refused` - the server answered with an error; `code` says why
        * `Unanswered` (also a `TimeoutError`) - no answer in time; safe to repeat with the same id
        * `Unsendable` (also a `ValueError`) - not sent: too large, too many waiting, an id in use
    * `PushesMissed` - some pushes are gone for good; take a fresh snapshot and go on
    * `TokenUnavailable` - the token provider failed
    * `SessionError` - the session is over
        * `CannotConnect` - it never came to be
        * `NotAuthenticated` - the token does not hold
        * `SessionEnded` - the server ended it for good, with a close code that says why
        * `SessionClosed` - this side closed it
"""

# ruff: noqa: N818 - names say what happened in the domain's words; each ends up in an `except` clause that reads so

from starwake.contracts.reasons import ErrorCode


class StarwakeError(Exception):
    """Everything that this client raises on its own account."""


class CommandError(StarwakeError):
    """One command came to nothing; the session goes on.

    Attributes:
        command: the command's name, such as `build.start`.
        id: its id. Sending the same command again with this id is safe: it takes effect once.
    """

    def __init__(self, message: str, *, command: str, id: str) -> None:  # noqa: A002 - the protocol's own word
        super().__init__(message)
        self.command = command
        self.id = id


class Refused(CommandError):
    """The server refused a command; nothing was changed.

    Attributes:
        code: why, for programs: one of `ErrorCode`, or a word that a newer server knows.
        message: why, for people: one sentence.
        retry_after_ms: when trying again makes sense, in milliseconds, or None.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        command: str,
        id: str,  # noqa: A002 - the protocol's own word
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}", command=command, id=id)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms

    @property
    def transient(self) -> bool:
        """Whether the same command may well be accepted a moment later."""
        return self.code in (ErrorCode.UNAVAILABLE, ErrorCode.RATE_LIMITED)


class Unanswered(CommandError, TimeoutError):
    """No answer came in time: whether the command took effect is open, and repeating it with its id finds out."""


class Unsendable(CommandError, ValueError):
    """The command was not sent: it is too large, too many wait already, or its id waits for an answer."""


class PushesMissed(StarwakeError):
    """The server could not replay what was pushed while the line was down; a fresh `build_list` tells what is."""


class TokenUnavailable(StarwakeError):
    """The token provider raised; its own error is the cause."""


class SessionError(StarwakeError):
    """There is no session, and none will come back by itself."""


class CannotConnect(SessionError):
    """No session within the time allowed, or an address at which there is no Starwake."""


class NotAuthenticated(SessionError):
    """The server does not accept the token (HTTP 401 or 403, or close code 4500)."""


class SessionEnded(SessionError):
    """The server ended the session for good.

    Attributes:
        code: the WebSocket close code, see `starwake.contracts.reasons.CloseCode`.
        reason: the server's words, possibly empty.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason or 'the server ended the session'}")
        self.code = code
        self.reason = reason


class SessionClosed(SessionError):
    """This side has closed the session."""
