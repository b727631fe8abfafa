"""What can go wrong on the bus.

BusError
+-- BusUnavailable              the server is not there, did not answer in time, or went away meanwhile; try again
|   +-- NoResponders            the server is there, but nobody listens on that subject
|   +-- BusTimeout              no answer in the time given; what was asked for may have happened all the same
|   +-- PermissionDenied        the server refused the subject to this user; trying again will not help
+-- PayloadTooLarge             more bytes than the server takes in one message
+-- MessageRefused              its subject or its headers cannot be any
+-- JetStreamError              JetStream answered with an error (`code`, `err_code`, `description`)
|   +-- WrongLastSequence       an expectation on the last sequence does not hold (10071)
+-- StreamRefused               a stream's or consumer's configuration cannot be repaired without loss
+-- ConsumerGone                the consumer or its stream does not exist (any more): provision again
"""

from typing import Final


class BusError(Exception):
    """Whatever the bus raises by itself."""


class BusUnavailable(BusError):  # noqa: N818 - the word that the players' protocol uses for it
    """The server is not there, did not answer in time, or went away while it was asked."""


class NoResponders(BusUnavailable):
    """Nobody listens on the subject of a request (the server answers with status 503 at once)."""


class BusTimeout(BusUnavailable):
    """No answer in the time given; the request may have been carried out."""


class PermissionDenied(BusUnavailable):
    """The server's configuration keeps this user from the subject."""


class PayloadTooLarge(BusError):  # noqa: N818 - says what happened, as its siblings do
    """A message is bigger than the server's `max_payload`."""


class MessageRefused(BusError):  # noqa: N818 - says what happened, as its siblings do
    """A message's subject or headers cannot be any."""


class JetStreamError(BusError):
    """An error that JetStream answered with.

    Attributes:
        code: the HTTP-like class of the error, such as 404 or 503.
        err_code: the exact error, such as 10059 (stream not found); see nats-server's `server/errors.json`.
        description: the server's own words.
    """

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(f"{description} ({code}, {err_code})")
        self.code = code
        self.err_code = err_code
        self.description = description


class WrongLastSequence(JetStreamError):  # noqa: N818 - says what happened, as its siblings do
    """The subject's last sequence is not the expected one; with an expected 0: it holds a message already."""


class StreamRefused(BusError):  # noqa: N818 - says what happened, as its siblings do
    """A stream or consumer exists with a configuration that cannot be repaired without loss."""


class ConsumerGone(BusError):  # noqa: N818 - says what happened, as its siblings do
    """The consumer that is pulled from does not exist (any more)."""


# Message size, header size beyond what the stream takes; nats-server, `server/errors.json`.
_FINAL_CODES: Final = frozenset({10054, 10097})


def is_final(error: BusError) -> bool:
    """Whether the very same message would be refused again whenever it is tried: for its size, subject or headers."""
    if isinstance(error, JetStreamError):
        return error.err_code in _FINAL_CODES
    return isinstance(error, PayloadTooLarge | MessageRefused)
