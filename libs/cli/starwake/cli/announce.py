"""`starwake announce` and `starwake revoke`: what operators tell the universe."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from starwake.bus.connection import Bus
from starwake.bus.errors import BusError, BusUnavailable, NoResponders
from starwake.bus.message import Message
from starwake.bus.revocations import publish_revocation
from starwake.cli.connections import connected_bus
from starwake.cli.durations import parse_duration
from starwake.cli.errors import EXIT_USAGE, CliError
from starwake.contracts import subjects
from starwake.contracts.commands import Announce, CancelEvent, Revoke
from starwake.contracts.ids import PlayerId, is_player_id, is_uuid
from starwake.contracts.times import from_rfc3339, to_rfc3339, truncate

_ANSWER_SECONDS: Final = 10.0


def make_announcement(  # noqa: PLR0913 - one an option
    event: str,
    *,
    player: str | None,
    everybody: bool,
    at: str | None,
    warn: str | None,
    then: str | None,
    payload: str | None,
    command_id: str | None,
    now: datetime,
) -> Announce:
    """The request that these options come to.

    Raises:
        CliError: they contradict each other, or one cannot be read.
    """
    if (player is None) == (not everybody):
        raise CliError("say to whom: --player NAME or --all", EXIT_USAGE)
    moment = None if at is None else moment_of(at, now)
    if warn is not None and moment is None:
        raise CliError("--warn needs --at: a warning is so long before a time", EXIT_USAGE)
    try:
        request = Announce(
            event=event,
            player=player,
            at=None if moment is None else to_rfc3339(moment),
            warn_s=tuple(int(parse_duration(each)) for each in warn.split(",")) if warn else (),
            then=then,
            payload=_payload(payload),
            id=command_id,
        )
        # Names and limits are checked where the type says so: when it is decoded.
        return msgspec.json.decode(msgspec.json.encode(request), type=Announce)
    except ValueError as error:
        raise CliError(str(error), EXIT_USAGE) from error


def moment_of(text: str, now: datetime) -> datetime:
    """The time that `now`, "in 90m" or an RFC 3339 time means.

    Raises:
        CliError: it means none.
    """
    words = text.strip()
    if words == "now":
        return now
    try:
        if words.startswith("in "):
            return now + timedelta(seconds=parse_duration(words.removeprefix("in ").replace(" ", "")))
        return from_rfc3339(words)
    except (ValueError, OverflowError) as error:
        raise CliError(f"{text!r} is not a time: write 'in 90m' or 2026-11-22T10:00:00Z", EXIT_USAGE) from error


async def announce(request: Announce, data: Path) -> dict[str, Any]:
    """Have the command service announce it; what it answers: `event_id` and the `events` that will be pushed.

    Raises:
        CliError: nobody answers, or the announcement was refused.
    """
    async with connected_bus(data) as bus:
        return await _ask(bus, "announce", msgspec.json.encode(request))


async def cancel_announcement(event_id: str, data: Path) -> dict[str, Any]:
    """Take back what is not told yet of an announcement: `cancelled` and `told`.

    Raises:
        CliError: nobody answers, or there is no such announcement.
    """
    if not is_uuid(event_id):
        raise CliError(f"{event_id!r} is no event id: `starwake announce` prints it (36 characters)", EXIT_USAGE)
    async with connected_bus(data) as bus:
        return await _ask(bus, "announce.cancel", msgspec.json.encode(CancelEvent(event_id)))


async def revoke(player: str, data: Path) -> datetime:
    """End all sessions of a player and refuse the tokens that were made until now; the moment that counts.

    Through a command service, which notes it in the table. Where none answers, gateways are told all the same, and
    a scheduler notes it later.

    Raises:
        CliError: NATS cannot be reached, or it is not known to be stored.
    """
    if not is_player_id(player):
        raise CliError("a player id has 1 to 255 bytes", EXIT_USAGE)
    at = truncate(datetime.now(UTC))
    request = msgspec.json.encode(Revoke(player, to_rfc3339(at)))
    async with connected_bus(data) as bus:
        try:
            answer = _result(await bus.request(subjects.ops("revoke"), request, timeout_s=_ANSWER_SECONDS))
            return from_rfc3339(answer["revoked_at"])
        except NoResponders:
            pass
        except BusUnavailable as error:
            raise CliError(f"the revocation is not known to be stored, try again: {error}") from error
        try:
            await publish_revocation(bus, PlayerId(player), at)
        except BusError as error:
            raise CliError(f"the revocation is not known to be stored, try again: {error}") from error
    return at


def cautions(request: Announce, now: datetime) -> Sequence[str]:
    """What an operator may not expect of this announcement, a line each."""
    if request.at is None:
        return []
    left_s = (from_rfc3339(request.at) - now).total_seconds()
    late = [ahead for ahead in request.warn_s if ahead > left_s]
    if not late or left_s <= 0:
        return []
    which = ", ".join(f"{ahead} s" for ahead in late)
    return [f"the time for the warning {which} ahead has passed: it is pushed at once, as one"]


def described(answer: dict[str, Any]) -> Sequence[str]:
    """An announcement's answer for people."""
    to = answer["player"] or "all players"
    pushes = [f"  {event['due_at']}  {event['event']}" for event in answer["events"]]
    return [f"announced to {to}, event id {answer['event_id']}", *pushes]


async def _ask(bus: Bus, name: str, payload: bytes) -> dict[str, Any]:
    try:
        message = await bus.request(subjects.ops(name), payload, timeout_s=_ANSWER_SECONDS)
    except NoResponders as error:
        raise CliError("no command service is there to answer") from error
    except BusUnavailable as error:
        raise CliError(f"no answer, it may have been carried out; try again with the same --id: {error}") from error
    return _result(message)


def _result(message: Message) -> dict[str, Any]:
    answer: dict[str, Any] = msgspec.json.decode(message.payload, type=dict[str, Any])
    if "error" in answer:
        raise CliError(f"refused ({answer['error']['code']}): {answer['error']['message']}")
    result: dict[str, Any] = answer["result"]
    return result


def _payload(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise CliError(f"--payload is not JSON: {error}", EXIT_USAGE) from error
    if not isinstance(value, dict):
        raise CliError("--payload has to be a JSON object", EXIT_USAGE)
    return {str(key): each for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
