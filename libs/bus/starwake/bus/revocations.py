"""Revoked players: the latest revocation of each is stored, and heard by every gateway."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from starwake.bus.connection import Bus
from starwake.bus.direct_get import last_messages, sequence_of
from starwake.bus.errors import BusError, WrongLastSequence
from starwake.bus.headers import encode_headers
from starwake.bus.jetstream import ask
from starwake.bus.message import Message, Outgoing
from starwake.bus.publish import JetStreamPublisher, PubAck
from starwake.bus.streams import REVOCATIONS
from starwake.bus.subscription import Subscription
from starwake.contracts import subjects
from starwake.contracts.ids import PlayerId
from starwake.contracts.times import from_rfc3339, to_rfc3339
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger

_sparing = RateLimitedLogger(get_logger("bus"))
_PAGE = 1000


class Stored(NamedTuple):
    """A revocation as the stream has it; `seq` is its sequence."""

    at: datetime
    seq: int


class _Revocation(msgspec.Struct):
    revoked_at: str


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(_Revocation)


async def publish_revocation(bus: Bus, player: PlayerId, at: datetime, *, timeout_s: float = 5.0) -> PubAck:
    """Store that `player`'s tokens issued up to `at` no longer count; gateways hear of it at once.

    Raises:
        BusUnavailable: not known to be stored.
        JetStreamError: the stream refused it.
    """
    body = _encode(_Revocation(to_rfc3339(at)))
    return await JetStreamPublisher(bus).publish(subjects.revoked(player), body, timeout_s=timeout_s)


async def read_revocations(bus: Bus, players: Sequence[PlayerId], *, timeout_s: float = 2.0) -> dict[PlayerId, bytes]:
    """The revocations of those players who have one, each for `parse_revocation`.

    Raises:
        BusUnavailable: no answer.
        JetStreamError: the server refused; `code` is the status.
    """
    by_subject = {subjects.revoked(player): player for player in players}
    found = await last_messages(bus, REVOCATIONS, [*by_subject], timeout_s=timeout_s)
    return {by_subject[subject]: message.payload for subject, message in found.items() if subject in by_subject}


async def stored_revocations(
    bus: Bus, players: Sequence[PlayerId], *, timeout_s: float = 5.0
) -> dict[PlayerId, Stored]:
    """The stream's revocations of those players who have one there; what cannot be read counts as long ago.

    Raises:
        As `read_revocations`.
    """
    by_subject = {subjects.revoked(player): player for player in players}
    found = await last_messages(bus, REVOCATIONS, [*by_subject], timeout_s=timeout_s)
    return {by_subject[subject]: _stored(subject, message) for subject, message in found.items()}


async def revoked_players(bus: Bus, *, timeout_s: float = 10.0) -> AsyncIterator[list[PlayerId]]:
    """All players with a revocation in the stream, in parts.

    Raises:
        JetStreamError, BusUnavailable: JetStream does not answer, or with an error.
    """
    offset = 0
    while True:
        request = {"subjects_filter": subjects.REVOKED, "offset": offset}
        info = await ask(bus, f"STREAM.INFO.{REVOCATIONS}", request, timeout_s=timeout_s)
        names = list(info["state"].get("subjects") or {})
        for start in range(0, len(names), _PAGE):
            yield [player for name in names[start : start + _PAGE] if (player := _player_of(name)) is not None]
        offset += len(names)
        if not names or offset >= info.get("total", 0):
            return


async def store_revocations(
    bus: Bus, revocations: Mapping[PlayerId, datetime], above: Mapping[PlayerId, Stored], *, timeout_s: float = 5.0
) -> int:
    """Store these, each only where the stream still has what `above` says of it (nothing, where it says nothing).

    Who was revoked once more meanwhile keeps that.

    Returns:
        How many were stored.

    Raises:
        BusError: the first failure; the rest may have been stored.
    """
    items: list[Outgoing] = []
    for player, at in revocations.items():
        expected = above[player].seq if player in above else 0
        headers = encode_headers({"Nats-Expected-Last-Subject-Sequence": str(expected)})
        items.append(Outgoing(subjects.revoked(player), _encode(_Revocation(to_rfc3339(at))), headers))
    results = await JetStreamPublisher(bus).publish_many(items, timeout_s=timeout_s)
    for result in results:
        if isinstance(result, BusError) and not isinstance(result, WrongLastSequence):
            raise result
    return sum(isinstance(result, PubAck) for result in results)


def _stored(subject: str, message: Message) -> Stored:
    try:
        return Stored(parse_revocation(message.payload), sequence_of(message))
    except ValueError:
        _sparing.warning("revocation.malformed", subject=subject)
        return Stored(datetime.fromtimestamp(0, UTC), sequence_of(message))


def _player_of(subject: str) -> PlayerId | None:
    try:
        return subjects.parse_revoked(subject)
    except ValueError:
        _sparing.warning("revocation.foreign", subject=subject)
        return None


def parse_revocation(body: bytes) -> datetime:
    """The time in a revocation, stored or heard as `control.<player>.revoke`.

    Raises:
        ValueError: not a revocation (`msgspec.DecodeError` is one).
    """
    return from_rfc3339(_decoder.decode(body).revoked_at)


async def watch_control(bus: Bus, handler: Callable[[PlayerId, str, bytes], None]) -> Subscription:
    """Have `handler` called, synchronously, with the player, the action (such as `revoke`) and the body of each
    control message.
    """  # noqa: D205 - one sentence

    def on_message(message: Message) -> None:
        player, action = subjects.parse_control(message.subject)
        handler(player, action, message.payload)

    return await bus.subscribe(subjects.CONTROL, on_message)
