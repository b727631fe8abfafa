"""PURE: what the server sends, cut into messages and lines (nats-server, client protocol)."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from starwake.bus.message import Message

_CRLF: Final = b"\r\n"
_MESSAGE: Final = (b"MSG ", b"HMSG ")
_M: Final = ord("M")
_MAX_LINE_BYTES: Final = 1_048_576
"""A line of the protocol: 4 KiB by default (`max_control_line`), more where INFO lists a large cluster."""


class Handler(Protocol):
    """What a message is given to."""

    def deliver(self, message: Message) -> None:
        """Take `message`; synchronous, must not raise."""


class WireSubscription:
    """What nats-py replays at a reconnect; the names with underscores are those that it looks at."""

    __slots__ = ("_queue", "_subject", "handler", "sid")

    _max_msgs = 0
    _received = 0
    _wait_for_msgs_task = None
    _message_iterator = None
    _pending_next_msgs_calls = None

    def __init__(self, sid: int, subject: str, queue: str, handler: Handler) -> None:
        self.sid = sid
        self._subject = subject
        self._queue = queue
        self.handler = handler

    @property
    def command(self) -> bytes:
        """The protocol's SUB line."""
        return f"SUB {self._subject} {self._queue} {self.sid}\r\n".encode()


class WireParser:
    """Hands messages to their subscriptions, and every other line to `on_line`, synchronously.

    Args:
        subscriptions: by their id; looked up at each message.
        on_line: given each line that is no message, without its end.
    """

    def __init__(self, subscriptions: Mapping[int, WireSubscription], on_line: Callable[[bytes], None]) -> None:
        self._subscriptions = subscriptions
        self._on_line = on_line
        self.reset()

    def reset(self) -> None:
        """Forget what is unfinished; at each new connection."""
        self._chunks: list[bytes] = []
        self._held = 0
        self._needed = 0

    def take(self, data: bytes) -> None:
        """Take what one read brought.

        Raises:
            ValueError: it is not the protocol.
        """
        self._chunks.append(data)
        self._held += len(data)
        if self._held < self._needed:
            return  # a large message is joined once, when it is whole
        buffer = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        position = 0
        needed = 0
        while True:
            line_end = buffer.find(_CRLF, position)
            if line_end < 0:
                if len(buffer) - position > _MAX_LINE_BYTES:
                    raise ValueError("a line without end")
                break
            if buffer.startswith(_MESSAGE, position):
                end = self._take_message(buffer, position, line_end)
                if end < 0:
                    needed = -end - position
                    break
                position = end
            else:
                self._on_line(buffer[position:line_end])
                position = line_end + 2
        rest = buffer[position:]
        self._chunks = [rest] if rest else []
        self._held = len(rest)
        self._needed = needed

    def _take_message(self, buffer: bytes, start: int, line_end: int) -> int:
        """Deliver the message that starts at `start`; its end, or minus the end that it needs."""
        fields = buffer[start:line_end].split(b" ")
        body = line_end + 2
        # MSG subject sid [reply] size, HMSG subject sid [reply] header-size size
        sizes = 1 if buffer[start] == _M else 2
        if len(fields) - sizes not in (3, 4):
            raise ValueError(f"not a message: {buffer[start:line_end]!r}")
        end = body + int(fields[-1])
        if len(buffer) < end + 2:
            return -(end + 2)
        subscription = self._subscriptions.get(int(fields[2]))
        if subscription is not None:
            payload = body if sizes == 1 else body + int(fields[-2])
            # Whatever bytes a stranger puts into a subject, they must not end the connection.
            subject = fields[1].decode(errors="surrogateescape")
            reply = fields[3].decode(errors="surrogateescape") if len(fields) - sizes == 4 else ""  # noqa: PLR2004 - see above
            subscription.handler.deliver(Message(subject, reply, buffer[payload:end], buffer[body:payload]))
        return end + 2
