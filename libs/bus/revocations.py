"""Revoked players: the latest revocation of each is stored, and heard by every gateway."""

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from libs.bus.connection import Bus
from libs.bus.direct_get import last_messages
from libs.bus.message import Message
from libs.bus.publish import JetStreamPublisher, PubAck
from libs.bus.streams import REVOCATIONS
from libs.bus.subscription import Subscription
from libs.contracts import subjects
from libs.contracts.ids import PlayerId
from libs.contracts.times import from_rfc3339, to_rfc3339


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
