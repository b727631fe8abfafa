"""A message as it came from the server."""

from typing import NamedTuple

from starwake.bus.headers import Headers, description_of, status_of

EMPTY_HEADERS = Headers(b"")


class Message:
    """A message as it came from the server; its headers are only decoded when somebody asks for them.

    Attributes:
        subject: where it was published.
        reply: where an answer is expected; empty where none is.
        payload: the body.
        raw_headers: the undecoded header block, empty where there is none.
    """

    __slots__ = ("_headers", "payload", "raw_headers", "reply", "subject")

    def __init__(self, subject: str, reply: str, payload: bytes, raw_headers: bytes = b"") -> None:
        self.subject = subject
        self.reply = reply
        self.payload = payload
        self.raw_headers = raw_headers
        self._headers: Headers | None = None

    @property
    def headers(self) -> Headers:
        """The headers; looked up without regard to case."""
        if self._headers is None:
            self._headers = Headers(self.raw_headers) if self.raw_headers else EMPTY_HEADERS
        return self._headers

    @property
    def status(self) -> int:
        """The server's status line: 0 for an ordinary message, else such as 100, 204, 404, 408, 409, 503."""
        return status_of(self.raw_headers) if self.raw_headers else 0

    @property
    def status_text(self) -> str:
        """The words of the status line, such as `Consumer Deleted`."""
        return description_of(self.raw_headers)


class Outgoing(NamedTuple):
    """A message to be published; `headers` is an encoded block (`encode_headers`), empty for none."""

    subject: str
    payload: bytes
    headers: bytes = b""
