"""JetStream's API, raw: JSON in and out, so that every field of a configuration is under our control.

nats-py's own dataclasses drop the fields that they do not know, and an update sent through them would switch those off.
"""

from typing import Any

import msgspec

from starwake.bus.connection import Bus
from starwake.bus.errors import JetStreamError, NoResponders, WrongLastSequence

API_TIMEOUT_S = 5.0

STREAM_NOT_FOUND = 10059
CONSUMER_NOT_FOUND = 10014
WRONG_LAST_SEQUENCE = (10071, 10164)
"""With the sequence in its text, and without; nats-server, `server/errors.json`."""


class ApiError(msgspec.Struct, frozen=True):
    """The `error` object of JetStream's answers."""

    code: int = 0
    err_code: int = 0
    description: str = ""

    def to_exception(self) -> JetStreamError:
        """The exception that says this."""
        kind = WrongLastSequence if self.err_code in WRONG_LAST_SEQUENCE else JetStreamError
        return kind(self.code, self.err_code, self.description)


class _Failed(msgspec.Struct, frozen=True):
    error: ApiError | None = None


_encoder = msgspec.json.Encoder()
_failed = msgspec.json.Decoder(_Failed)
_object = msgspec.json.Decoder(dict[str, Any])


def raise_error(answer: bytes) -> None:
    """Raise what an answer of JetStream's API says went wrong, if anything.

    Raises:
        JetStreamError: JetStream refused; `err_code` says why.
    """
    error = _failed.decode(answer).error
    if error is not None:
        raise error.to_exception()


async def ask(bus: Bus, name: str, body: object = None, *, timeout_s: float = API_TIMEOUT_S) -> dict[str, Any]:
    """Ask JetStream's API for `name`, such as `STREAM.INFO.TIMERS`; the answer.

    Raises:
        JetStreamError: JetStream refused; `err_code` says why.
        BusUnavailable: no answer; NoResponders where the server has no JetStream (yet).
    """
    payload = b"" if body is None else _encoder.encode(body)
    try:
        answer = await bus.request(bus.jetstream_subject(name), payload, timeout_s=timeout_s)
    except NoResponders as error:
        domain = f" of the domain {bus.jetstream_domain}" if bus.jetstream_domain else ""
        where = "`-js`, or `jetstream {}` in its configuration"
        raise NoResponders(f"NATS runs without JetStream{domain} ({where}), or has just started") from error
    raise_error(answer.payload)
    return _object.decode(answer.payload)


async def stream_info(bus: Bus, name: str) -> dict[str, Any] | None:
    """`config` and `state` of a stream, None where it does not exist.

    Raises:
        JetStreamError, BusUnavailable: as `ask`.
    """
    try:
        return await ask(bus, f"STREAM.INFO.{name}")
    except JetStreamError as error:
        if error.err_code == STREAM_NOT_FOUND:
            return None
        raise


async def consumer_info(bus: Bus, stream: str, name: str) -> dict[str, Any] | None:
    """`config` and state of a consumer, None where it or its stream does not exist.

    Raises:
        JetStreamError, BusUnavailable: as `ask`.
    """
    try:
        return await ask(bus, f"CONSUMER.INFO.{stream}.{name}")
    except JetStreamError as error:
        if error.err_code in (STREAM_NOT_FOUND, CONSUMER_NOT_FOUND):
            return None
        raise
