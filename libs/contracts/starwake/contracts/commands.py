"""The arguments of the players' commands and of the operators', as msgspec structs that validate.

A game's own commands declare theirs beside their handler in the command service.
"""

from typing import Annotated, Any, Final, Literal

import msgspec

from starwake.contracts.sites import MAX_SITE_CHARACTERS

REFUSALS_HEADER: Final = "Starwake-Refusals"
"""NATS header of an order: how often it was refused as far as its sender knows, 0 where it is missing.

An order whose sender does not know of all refusals is not judged: it may have been on its way for long, and its player
told since that it was refused. It is answered `unavailable` with the count in this header. A gateway whose player still
waits then sends it once more with that count; whoever has given up does not, and nothing happens.
"""

_TEN_YEARS_S: Final = 315_360_000

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Site = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=MAX_SITE_CHARACTERS,
        description="Taken in Unicode's normal form C and without white space around it, so that names that look alike"
        " are one site; replies and pushes show it so.",
    ),
]
# In Python `$` matches before a final newline too, and what does not, `\Z`, no JavaScript reads: hence the length.
Uuid = Annotated[
    str,
    msgspec.Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", max_length=36),
]


class NoArgs(msgspec.Struct, frozen=True):
    """A command without arguments."""


class BuildStart(msgspec.Struct, frozen=True):
    """`build.start` and `build.queue`: a catalogue kind, on one of the player's sites."""

    kind: Name
    site: Site


class BuildCancel(msgspec.Struct, frozen=True):
    """`build.cancel`: only the owner's, only while `building`."""

    build_id: Uuid


class BuildReschedule(msgspec.Struct, frozen=True):
    """`build.reschedule`: exactly one of a new `due_at` (RFC 3339) or a `factor` on the time that is left."""

    build_id: Uuid
    due_at: str | None = None
    factor: Annotated[float, msgspec.Meta(ge=0, le=1000)] | None = None


class BuildUnqueue(msgspec.Struct, frozen=True):
    """`build.unqueue`: withdraws an order that still waits for its site; takes the `id` of the `queued` object."""

    build_id: Uuid


class BuildList(msgspec.Struct, frozen=True):
    """`build.list`: newest first; `after` is the `next` of the page before."""

    state: Literal["building", "completed", "cancelled"] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100
    after: Uuid | None = None


class BuildQueued(msgspec.Struct, frozen=True):
    """`build.queued`: first come first; `after` is the `next` of the page before.

    As many as may wait at all are the default, for clients that know of no pages.
    """

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1000
    after: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] = 0


class EventList(msgspec.Struct, frozen=True):
    """`event.list`: soonest first; `after` is the `next` of the page before."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 100
    after: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class FeedList(msgspec.Struct, frozen=True):
    """`feed.list`: the newest pushes of a feed, or those before a sequence (`before`: the `next` of another page)."""

    feed: Literal["player", "all"] = "player"
    limit: Annotated[int, msgspec.Meta(ge=1, le=256)] = 100
    before: Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)] | None = None


class Auth(msgspec.Struct, frozen=True):
    """`auth` and `auth.refresh`; `resume` is a `frames.Position` or null, and only `auth` takes it.

    Not `Raw | None` on purpose: msgspec takes nothing but null for that.
    """

    token: str
    resume: msgspec.Raw = msgspec.Raw(b"null")


class Announce(msgspec.Struct, frozen=True, kw_only=True):
    """`ops.announce`: a world event to one player, or to all (`player` null), now or at a time, with warnings ahead.

    `at` is RFC 3339 (the CLI turns "in 25h" into that); `warn_s` are seconds ahead of it. With warnings, `event` is
    pushed at each warning with the time that is left, and `then` at the time itself.
    """

    event: Name
    player: str | None = None
    at: str | None = None
    warn_s: tuple[Annotated[int, msgspec.Meta(ge=1, le=_TEN_YEARS_S)], ...] = ()
    then: Name | None = None
    payload: dict[str, Any] = {}
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None


class CancelEvent(msgspec.Struct, frozen=True):
    """`ops.announce.cancel`: what was announced under this event id and is not told yet is never told."""

    event_id: Uuid


class Revoke(msgspec.Struct, frozen=True):
    """`ops.revoke`: `player`'s tokens issued up to `at` (RFC 3339; now where it is left out) no longer count."""

    player: str
    at: str | None = None
