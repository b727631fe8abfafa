"""Commands that change nothing: they read what is committed, and never wait behind orders."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from starwake.bus.service import Request as Call
from starwake.command import metrics
from starwake.command.paging import fitting
from starwake.command.tasks import CallTasks, ReadTasks
from starwake.contracts.commands import BuildList, BuildQueued, EventList
from starwake.contracts.frames import MAX_RESULT_BYTES, result_body
from starwake.contracts.reasons import ErrorCode, Refusal
from starwake.contracts.times import from_rfc3339, to_rfc3339
from starwake.game.catalogue import Catalogue
from starwake.game.decide import ACCEPTED, refused
from starwake.game.requests import decode_args, read_frame
from starwake.store.announcements import list_upcoming
from starwake.store.builds import list_builds, list_queued
from starwake.store.database import Database

_list_decoder: Final = msgspec.json.Decoder(BuildList)
_queued_decoder: Final = msgspec.json.Decoder(BuildQueued)
_events_decoder: Final = msgspec.json.Decoder(EventList)


class Reads:
    """The handlers of the reading commands, by name."""

    def __init__(
        self, database: Database, catalogue: Catalogue, orders: Iterable[str], tasks: CallTasks, *, at_once: int
    ) -> None:
        self._database = database
        self._catalogue_body = result_body(catalogue.view())
        self.catalogue_bytes = len(self._catalogue_body)
        turns = ReadTasks(tasks, at_once=at_once)
        self.handlers: dict[str, Callable[[Call], None]] = {
            "build.list": turns.handler("build.list", self.build_list),
            "build.queued": turns.handler("build.queued", self.build_queued),
            "event.list": turns.handler("event.list", self.event_list),
            "catalogue.list": tasks.instant("catalogue.list", self.catalogue_list),
            "commands": tasks.instant("commands", self.commands),
        }
        self._commands_body = result_body({"commands": sorted([*orders, *self.handlers])})

    async def build_list(self, call: Call) -> bytes:
        """A page of the player's builds."""
        player, _, frame = read_frame(call.subject, call.payload)
        args: BuildList = decode_args(_list_decoder, frame)
        builds, following = await list_builds(
            self._database, player, state=args.state, limit=args.limit, after=args.after
        )
        views = [build.view() for build in builds]
        body = result_body({"builds": views, "next": following})
        if len(body) > MAX_RESULT_BYTES:  # long names: fewer of them than were asked for
            views = fitting(views)
            body = result_body({"builds": views, "next": views[-1].id if len(views) < len(builds) else following})
        return body

    async def build_queued(self, call: Call) -> bytes:
        """A page of what waits for the player's sites."""
        player, _, frame = read_frame(call.subject, call.payload)
        args: BuildQueued = decode_args(_queued_decoder, frame)
        queued, more = await list_queued(self._database, player, limit=args.limit, after=args.after)
        views = fitting([order.view() for _, order in queued])
        more = more or len(views) < len(queued)
        return result_body({"queued": views, "next": queued[len(views) - 1][0] if more else None})

    async def event_list(self, call: Call) -> bytes:
        """A page of what is announced to the player, or to all, and still to come."""
        player, _, frame = read_frame(call.subject, call.payload)
        args: EventList = decode_args(_events_decoder, frame)
        events, more = await list_upcoming(self._database, player, limit=args.limit, after=_position(args.after))
        following = f"{to_rfc3339(events[-1].due_at)}_{events[-1].id}" if more else None
        return result_body({"events": [event.view() for event in events], "next": following})

    def catalogue_list(self, call: Call) -> None:
        """What can be built; it does not change while the service runs, so it was encoded once."""
        try:
            read_frame(call.subject, call.payload)
        except Refusal as refusal:
            answer = refused(refusal)
            metrics.ORDERS.labels(command="malformed", outcome=answer.outcome).inc()
            call.respond(answer.body, answer.error)
            return
        metrics.ORDERS.labels(command="catalogue.list", outcome=ACCEPTED).inc()
        call.respond(self._catalogue_body)

    def commands(self, call: Call) -> None:
        """The names of all commands: gateways ask for it to tell unknown ones from an absent service."""
        metrics.ORDERS.labels(command="commands", outcome=ACCEPTED).inc()
        call.respond(self._commands_body)


def _position(after: str | None) -> tuple[datetime, str] | None:
    """`due_at` and id in the `next` of a page."""
    if after is None:
        return None
    due_at, _, event_id = after.partition("_")
    try:
        return from_rfc3339(due_at), str(UUID(event_id))
    except (ValueError, OverflowError) as error:
        raise Refusal(ErrorCode.BAD_REQUEST, "after: not the next of a page") from error
