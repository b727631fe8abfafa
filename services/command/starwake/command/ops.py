"""What operators and game code may ask for: `ops.announce`, `ops.announce.cancel` and `ops.revoke`.

The body is the arguments themselves, as JSON; no frame is around them.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from starwake.bus.connection import Bus
from starwake.bus.errors import BusError
from starwake.bus.revocations import publish_revocation
from starwake.bus.service import Request as Call
from starwake.command.aftermath import Aftermath
from starwake.command.announcements import plan
from starwake.contracts.batches import Remembered
from starwake.contracts.commands import Announce, CancelEvent, Revoke
from starwake.contracts.frames import is_command_id, result_body
from starwake.contracts.ids import PlayerId, is_player_id, new_id
from starwake.contracts.reasons import ErrorCode, Refusal
from starwake.contracts.times import from_rfc3339, to_rfc3339, truncate
from starwake.contracts.world_events import EventRecord, event_alarm
from starwake.game.requests import fingerprint, refuse_nul
from starwake.runtime.logs import get_logger
from starwake.runtime.tracing import current_trace
from starwake.store import announcements as rows
from starwake.store import revocations
from starwake.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ANNOUNCE: Final = "announce"
CANCEL: Final = "announce.cancel"
REVOKE: Final = "revoke"
_PUBLISH_SECONDS: Final = 2.0
"""Less than a transaction may be idle: a player's row is locked meanwhile."""
_announce_decoder: Final = msgspec.json.Decoder(Announce)
_cancel_decoder: Final = msgspec.json.Decoder(CancelEvent)
_revoke_decoder: Final = msgspec.json.Decoder(Revoke)
log = get_logger("ops")
_Args = TypeVar("_Args")


class Operations:
    """The operators' commands, by name."""

    def __init__(self, database: Database, bus: Bus, aftermath: Aftermath) -> None:
        self._database = database
        self._bus = bus
        self._aftermath = aftermath
        self.calls: dict[str, Callable[[Call], Awaitable[bytes]]] = {
            ANNOUNCE: self.announce,
            CANCEL: self.cancel,
            REVOKE: self.revoke,
        }

    async def announce(self, call: Call) -> bytes:
        """Write an announcement's events; `id`, where it is given, makes it safe to repeat."""
        args = _decoded(_announce_decoder, call.payload)
        command_id = args.id or new_id()
        if not is_command_id(command_id):
            raise Refusal(ErrorCode.BAD_REQUEST, "an id has 1 to 64 characters")
        refuse_nul(command_id)
        mark = fingerprint(call.payload)
        trace = current_trace()

        async def attempt() -> tuple[bytes, list[EventRecord]]:
            async with self._database.transaction() as connection:
                now, remembered = await rows.recall(connection, command_id)
                if remembered is not None:
                    return _again(remembered, mark), []
                series = new_id()
                events = plan(args, now, series, new_id, trace)
                body = _told(series, events)
                await rows.insert_events(connection, series, events[0].player, events)
                await rows.remember(connection, command_id, Remembered(ANNOUNCE, mark, body))
            return body, events

        body, events = await self._database.retrying(attempt)
        self._aftermath.take([event_alarm(event) for event in events], [], [])
        return body

    async def cancel(self, call: Call) -> bytes:
        """What is not told yet of an announcement never will be; says what was told already. Safe to repeat."""
        args = _decoded(_cancel_decoder, call.payload)

        async def attempt() -> rows.Cancelled | None:
            async with self._database.transaction() as connection:
                return await rows.cancel_events(connection, args.event_id)

        cancelled = await self._database.retrying(attempt)
        if cancelled is None:
            raise Refusal(ErrorCode.NOT_FOUND, "nothing was announced under this id")
        self._aftermath.take([], cancelled.outdated, [])
        return result_body({"cancelled": [key.id for key in cancelled.outdated], "told": cancelled.announced})

    async def revoke(self, call: Call) -> bytes:
        """Note that a player's tokens no longer count, then have the gateways told; safe to repeat.

        The table has it first: where the stream does not take it now, a scheduler fills it in.
        """
        args = _decoded(_revoke_decoder, call.payload)
        if not is_player_id(args.player):
            raise Refusal(ErrorCode.BAD_REQUEST, "a player id has 1 to 255 bytes")
        player = PlayerId(args.player)
        at = truncate(await self._database.now()) if args.at is None else _moment(args.at)
        async with self._database.connection() as connection:
            await revocations.note(connection, player, at)
        async with self._database.transaction() as connection:
            # One at a time, each telling what the table says by then: an earlier one never replaces a later one.
            latest = await revocations.locked(connection, player) or at
            try:
                await publish_revocation(self._bus, player, latest, timeout_s=_PUBLISH_SECONDS)
            except BusError as error:
                log.warning("revocation.not_told", player=player, error=str(error))
                raise Refusal(
                    ErrorCode.UNAVAILABLE,
                    f"noted, but the gateways could not be told; try again, else a scheduler tells them: {error}",
                ) from error
        return result_body({"player": player, "revoked_at": to_rfc3339(latest)})


def _moment(text: str) -> datetime:
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError) as error:
        raise Refusal(ErrorCode.BAD_REQUEST, f"at: {error}") from error


def _decoded(decoder: "msgspec.json.Decoder[_Args]", payload: bytes) -> _Args:
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise Refusal(ErrorCode.BAD_REQUEST, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(ErrorCode.BAD_JSON, str(error)) from error


def _again(remembered: Remembered, mark: bytes) -> bytes:
    if remembered.command != ANNOUNCE or remembered.fingerprint != mark:
        raise Refusal(ErrorCode.ID_REUSED, "this id was used for another announcement")
    return remembered.outcome


def _told(series: str, events: list[EventRecord]) -> bytes:
    listed: list[dict[str, Any]] = [
        {"id": event.id, "event": event.event, "due_at": to_rfc3339(event.due_at)} for event in events
    ]
    return result_body({"event_id": series, "player": events[0].player, "events": listed})
