"""One function a command, and their map at the foot. PURE: the rules decide, in `rules.py`."""

from collections.abc import Mapping
from typing import Final

from starwake.contracts.commands import BuildCancel, BuildReschedule, BuildStart, BuildUnqueue
from starwake.contracts.reasons import ErrorCode, Refusal
from starwake.game.declare import Order, order
from starwake.game.rules import Outcome, Player


@order("build.start")
def start(args: BuildStart, player: Player) -> Outcome:
    """Begin a build on a free site."""
    _started_by(player, args.kind)
    return player.start(args.kind, args.site)


@order("build.queue", queue=True)
def queue(args: BuildStart, player: Player) -> Outcome:
    """Begin a build when its site is free."""
    _started_by(player, args.kind)
    return player.queue(args.kind, args.site)


@order("build.unqueue", queue=True)
def unqueue(args: BuildUnqueue, player: Player) -> Outcome:
    """Withdraw what waits for its site."""
    return player.unqueue(args.build_id)


@order("build.cancel", queue=True)
def cancel(args: BuildCancel, player: Player) -> Outcome:
    """End a build before its time."""
    return player.cancel(args.build_id)


@order("build.reschedule")
def reschedule(args: BuildReschedule, player: Player) -> Outcome:
    """Speed a build up, or delay it."""
    return player.reschedule(args.build_id, args.due_at, args.factor)


def _started_by(player: Player, name: str) -> None:
    kind = player.kind(name)
    if kind.command != "build.start":
        raise Refusal(ErrorCode.FORBIDDEN, f"a {name} is started with {kind.command}")


BUILT_IN: Final[Mapping[str, Order]] = {each.command: each for each in (start, queue, unqueue, cancel, reschedule)}


READS: Final = ("build.list", "build.queued", "event.list", "catalogue.list", "commands")
"""Commands that change nothing; they do not go through the writing path (`reads.py`)."""

GATEWAYS: Final = "feed.list"
"""Answered by the gateways, which would never forward a game's order of that name."""

RESERVED: Final = frozenset({*BUILT_IN, *READS, GATEWAYS})
"""Commands that no module may declare."""
