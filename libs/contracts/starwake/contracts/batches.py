"""What a batch of orders needs to know, and what it changes: between the table, which loads it, and the rules.

The rules see no table, and the table no rules; both speak of a batch in these.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import msgspec

from starwake.contracts.builds import BuildRecord
from starwake.contracts.events import Notification
from starwake.contracts.ids import CommandId, PlayerId
from starwake.contracts.queued import QueuedOrder


class Ask(msgspec.Struct, frozen=True):
    """What one order of a batch needs to know.

    Attributes:
        player: whose order.
        command_id: its idempotency key.
        site: the site that it builds on.
        build_id: the build that it changes.
        kinds: kinds of which it matters whether they stand.
        queue: whether it matters what waits for the player's sites; the site's build is locked then.
    """

    player: PlayerId
    command_id: CommandId
    site: str | None = None
    build_id: str | None = None
    kinds: tuple[str, ...] = ()
    queue: bool = False


class Remembered(msgspec.Struct, frozen=True):
    """What the inbox holds of a command: its name, the hash of its arguments, the reply's body."""

    command: str
    fingerprint: bytes
    outcome: bytes


class Busy(NamedTuple):
    """What a site is busy with; `free_at` only where that is finished in the table and not yet in the universe."""

    kind: str
    free_at: datetime | None = None


class PlayerRows(msgspec.Struct):
    """What the table says of one player, as far as it was asked for."""

    builds: int = 0
    """How many are under way, counted up to the bound that the table was given; where `noted`, no fewer than are."""
    noted: bool = False
    busy: dict[str, Busy] = {}
    by_id: dict[str, BuildRecord] = {}
    standing: set[str] = set()
    queues: dict[str, list[QueuedOrder]] = {}
    sites: set[str] | None = None
    """The sites of which `busy` tells; None where it tells of all."""
    ids: set[str] | None = None
    """The builds of which `by_id` tells; None where it tells of all."""


@dataclass(slots=True)
class Loaded:
    """What a batch needs to know: the database's time (whole milliseconds), the inbox's memory, the players' rows.

    `refusals`: how often each order was refused before, where it was.
    """

    now: datetime
    remembered: dict[tuple[PlayerId, CommandId], Remembered]
    players: dict[PlayerId, PlayerRows]
    refusals: dict[tuple[PlayerId, CommandId], int] = field(default_factory=dict[tuple[PlayerId, CommandId], int])


class Told(msgspec.Struct, frozen=True):
    """A row for the outbox: the push, which build's transition it tells of, and when it may be told."""

    notification: Notification
    source_id: str
    revision: int
    tell_at: datetime


class InboxEntry(msgspec.Struct, frozen=True):
    """A row for the inbox; `outcome` is the reply's body."""

    player: PlayerId
    command_id: CommandId
    command: str
    fingerprint: bytes
    outcome: bytes


@dataclass(slots=True)
class Writes:
    """What a batch changes. A build that changes twice in a batch is written once, as it is at the end."""

    started: dict[str, BuildRecord] = field(default_factory=dict[str, BuildRecord])
    changed: dict[str, BuildRecord] = field(default_factory=dict[str, BuildRecord])
    expected: dict[str, int] = field(default_factory=dict[str, int])
    """The revision that each of `changed` still has in the table."""
    inbox: list[InboxEntry] = field(default_factory=list[InboxEntry])
    outbox: list[Told] = field(default_factory=list[Told])
    queued: dict[str, QueuedOrder] = field(default_factory=dict[str, QueuedOrder])
    unqueued: list[str] = field(default_factory=list[str])
    refusals: dict[tuple[PlayerId, CommandId], int] = field(default_factory=dict[tuple[PlayerId, CommandId], int])
    """How often each order that is refused now has been refused with that."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be written."""
        return not self.inbox and not self.refusals
