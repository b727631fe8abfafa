"""What a game's order modules import: all that Starwake asks a game's developer to know.

    from starwake.game import FollowUp, Name, Outcome, Player, Refusal, completion, order

An order is a command and its rule: a pure function of the arguments and the player, which answers with an `Outcome`
or raises a `Refusal`. `@order` makes it one, `@completion` declares what the end of a build pushes.

Public, and kept: the names in `__all__`, with what their docstrings say of
parameters, attributes, results and errors; the catalogue's format; how order modules are found. Within a major version
they are added to and never changed or taken away (before 1.0: within a minor one); what goes is deprecated for a minor
version first, and stands in the changelog. All other modules of `starwake.game` are Starwake's own and change at any
time.
"""

from starwake.contracts.builds import BuildRecord, BuildState, FollowUp
from starwake.contracts.commands import Name, NoArgs, Site
from starwake.contracts.reasons import ErrorCode, Refusal
from starwake.game.catalogue import Kind
from starwake.game.declare import CompletionOf, Order, completion, order
from starwake.game.rules import Outcome, Player

__all__ = [
    "BuildRecord",
    "BuildState",
    "CompletionOf",
    "ErrorCode",
    "FollowUp",
    "Kind",
    "Name",
    "NoArgs",
    "Order",
    "Outcome",
    "Player",
    "Refusal",
    "Site",
    "completion",
    "order",
]
