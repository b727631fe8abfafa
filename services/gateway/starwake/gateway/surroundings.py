"""What every session of a gateway works with."""

from typing import TYPE_CHECKING, NamedTuple

from starwake.contracts import frames
from starwake.gateway.auth import Authenticator
from starwake.gateway.feed_list import FeedLists
from starwake.gateway.limits import ConnectionLimits
from starwake.gateway.tasks import Tasks
from starwake.gateway.timers import TimerWheel

if TYPE_CHECKING:
    from starwake.gateway.forwarding import Forwarder
    from starwake.gateway.hub import Hub


class Surroundings(NamedTuple):
    """What a session works with; one object for all sessions of a gateway."""

    limits: ConnectionLimits
    told_limits: frames.Limits
    authenticator: Authenticator
    hub: "Hub"
    forwarder: "Forwarder"
    feed_lists: FeedLists
    wheel: TimerWheel
    tasks: Tasks
