"""What operators and game code may ask for: `ops.announce` and `ops.announce.cancel`.

The body is the arguments themselves, as JSON; no frame is around them.
"""

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from libs.bus.service import Request as Call
from libs.contracts.commands import Announce, CancelEvent
from libs.contracts.frames import is_command_id, result_body
from libs.contracts.ids import new_id
from libs.contracts.reasons import ErrorCode, Refusal
from libs.contracts.times import to_rfc3339
from libs.contracts.world_events import EventRecord, event_alarm
from libs.runtime.tracing import current_trace
from libs.store import announcements as rows
from libs.store.database import Database
from libs.store.orders import Remembered
from services.command.aftermath import Aftermath
from services.command.announcements import plan
from services.command.requests import fingerprint, refuse_nul

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ANNOUNCE: Final = "announce"
CANCEL: Final = "announce.cancel"
_announce_decoder: Final = msgspec.json.Decoder(Announce)
_cancel_decoder: Final = msgspec.json.Decoder(CancelEvent)
_Args = TypeVar("_Args")


class Operations:
    """The operators' commands, by name."""

    def __init__(self, database: Database, aftermath: Aftermath) -> None:
        self._database = database
        self._aftermath = aftermath
        self.calls: dict[str, Callable[[Call], Awaitable[bytes]]] = {ANNOUNCE: self.announce, CANCEL: self.cancel}

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
        return result_body({"cancelled": [key.id for key in cancelled.outdated], "told": cancelled.told})


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
