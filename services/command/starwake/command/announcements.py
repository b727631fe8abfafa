"""PURE: what an announcement comes to: one world event a push, each warning with the time that is left."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from starwake.contracts.commands import Announce
from starwake.contracts.ids import PlayerId, Revision, is_player_id
from starwake.contracts.reasons import ErrorCode, Refusal
from starwake.contracts.subjects import is_name
from starwake.contracts.times import from_rfc3339, to_rfc3339
from starwake.contracts.world_events import EventRecord
from starwake.game.requests import refuse_nul

MAX_WARNINGS: Final = 50
MAX_PAYLOAD_BYTES: Final = 32_768
_COMING: Final = ".inbound"
_COME: Final = ".arrived"
_OWN: Final = "build."
_encoder = msgspec.json.Encoder()


def plan(
    args: Announce, now: datetime, series: str, new_id: Callable[[], str], trace: str | None = None
) -> list[EventRecord]:
    """The pushes of an announcement, in the order of their times; `trace` is the one that it was made in.

    A warning whose time has passed is given at once; several such are one.

    Raises:
        Refusal: bad_request.
    """
    player = _player(args.player)
    at = _at(args, now)
    _check(args)
    common = {**args.payload, "event_id": series}

    def event(name: str, due_at: datetime, data: dict[str, Any]) -> EventRecord:
        return EventRecord(
            id=new_id(), player=player, event=name, data=data, due_at=due_at, revision=Revision(1), trace=trace
        )

    moments = sorted({max(at - timedelta(seconds=ahead), now) for ahead in args.warn_s}) if at > now else []
    warnings = [
        event(
            args.event,
            moment,
            {**common, "arrives_at": to_rfc3339(at), "remaining_s": (at - moment) / timedelta(seconds=1)},
        )
        for moment in moments
    ]
    return [*warnings, event(_final(args), at, common)]


def _final(args: Announce) -> str:
    if not args.warn_s:
        return args.event
    if args.then is not None:
        return args.then
    return args.event.removesuffix(_COMING) + _COME if args.event.endswith(_COMING) else args.event


def _player(player: str | None) -> PlayerId | None:
    if player is None:
        return None
    if not is_player_id(player):
        raise Refusal(ErrorCode.BAD_REQUEST, "a player id has 1 to 255 bytes")
    refuse_nul(player)
    return PlayerId(player)


def _at(args: Announce, now: datetime) -> datetime:
    if args.at is None:
        if args.warn_s:
            raise Refusal(ErrorCode.BAD_REQUEST, "warnings need a time ahead of which they are given")
        return now
    try:
        return max(from_rfc3339(args.at), now)
    except ValueError as error:
        raise Refusal(ErrorCode.BAD_REQUEST, f"at: {error}") from error


def _check(args: Announce) -> None:
    for name in (args.event, args.then):
        if name is None:
            continue
        if not is_name(name):
            raise Refusal(ErrorCode.BAD_REQUEST, f"an event's name is dotted and lower-case: {name!r}")
        if name.startswith(_OWN):
            raise Refusal(ErrorCode.BAD_REQUEST, "clients take build.* events for changes of their own builds")
    if len(args.warn_s) > MAX_WARNINGS:
        raise Refusal(ErrorCode.BAD_REQUEST, f"no more than {MAX_WARNINGS} warnings")
    payload = _encoder.encode(args.payload)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Refusal(ErrorCode.BAD_REQUEST, f"the payload has at most {MAX_PAYLOAD_BYTES} bytes")
    if b"\\u0000" in payload:
        raise Refusal(ErrorCode.BAD_REQUEST, "the character U+0000 cannot be stored")
