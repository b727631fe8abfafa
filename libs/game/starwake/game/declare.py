"""How a game declares its orders and what completions push.

@order("probe.launch", kind="probe")
def launch(args: Launch, player: Player) -> Outcome: ...

@completion("probe")
def arrived(build: BuildRecord) -> list[FollowUp]: ...
"""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, cast, get_type_hints

import msgspec

from starwake.contracts.builds import BuildRecord, FollowUp
from starwake.contracts.subjects import is_name
from starwake.game.rules import Completion, Outcome, Player

_Args = TypeVar("_Args", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Order:
    """A command that changes something, and what has to be read before it can be judged.

    Attributes:
        command: its name, dotted and lower-case.
        args: the msgspec Struct that its arguments have to fit.
        decide: the rule; pure.
        kind: the kind that it builds; None where `args` names it in a field `kind`, or it builds nothing.
        stands: kinds besides the kind's own requirements about which the rule asks `player.stands`.
        queue: whether it matters what waits for the site.
    """

    command: str
    args: type[msgspec.Struct]
    decide: Callable[[Any, Player], Outcome]
    kind: str | None = None
    stands: tuple[str, ...] = ()
    queue: bool = False


@dataclass(frozen=True, slots=True)
class CompletionOf:
    """What the completion of a kind pushes besides `build.completed`."""

    kind: str
    follow_ups: Completion


def order(
    command: str, *, kind: str | None = None, stands: Iterable[str] = (), queue: bool = False
) -> Callable[[Callable[[_Args, Player], Outcome]], Order]:
    """Make a rule the handler of a command; its first parameter's annotation says what the arguments are.

    Arguments called `site` and `build_id` name what the order is about: those rows are read, and locked, beforehand.
    Other sites and builds may be touched as well, each for one more reading of the whole batch.

    Raises:
        TypeError: the rule has no such annotation, or the command no proper name.
    """

    def declared(decide: Callable[[_Args, Player], Outcome]) -> Order:
        hints = get_type_hints(decide)
        first = next(iter(inspect.signature(decide).parameters), "")
        args = hints.get(first)
        if not (isinstance(args, type) and issubclass(args, msgspec.Struct)):
            raise TypeError(f"the first parameter of the rule of {command} has to be annotated with a msgspec Struct")
        if not is_name(command) or "." not in command:
            raise TypeError(f"a command's name is dotted and lower-case: {command!r}")
        return Order(command, args, cast("Callable[[Any, Player], Outcome]", decide), kind, tuple(stands), queue)

    return declared


def completion(kind: str) -> Callable[[Callable[[BuildRecord], Iterable[FollowUp]]], CompletionOf]:
    """Have the completion of `kind` push more than `build.completed`.

    The function is asked when the build starts, so that the push is known from then on; it has to be pure, with the
    build's id as the seed of whatever is random.
    """

    def declared(follow_ups: Callable[[BuildRecord], Iterable[FollowUp]]) -> CompletionOf:
        return CompletionOf(kind, follow_ups)

    return declared
