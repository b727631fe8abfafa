"""PURE: what is known after a run, for the oracle to judge: the table, the stream, and what each client wrote down."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

Feed = Literal["player", "all"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the build table."""

    id: str
    player: str
    kind: str
    site: str
    state: str
    revision: int
    started_at: datetime
    due_at: datetime
    completed_at: datetime | None = None
    cancelled_at: datetime | None = None
    follow_ups: int = 0

    @property
    def ended_at(self) -> datetime | None:
        """When it ended, None while it goes on."""
        return self.completed_at or self.cancelled_at


@dataclass(frozen=True, kw_only=True)
class EventRow:
    """A row of the table of world events; `player` None is everybody."""

    id: str
    player: str | None
    state: str
    revision: int
    due_at: datetime


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """An entry of the inbox: a command that was carried out, and what it was answered."""

    player: str
    command_id: str
    command: str
    outcome: Mapping[str, Any]

    @property
    def subject(self) -> str | None:
        """The id of the build, or of the order that waits, that the outcome speaks of."""
        made = self.outcome.get("result", {})
        thing = made.get("build") or made.get("queued")
        return None if thing is None else thing["id"]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A push as the stream keeps it; `player` None is the feed that everybody has."""

    player: str | None
    seq: int
    message_id: str
    event: str
    at: str
    data: Mapping[str, Any]
    stored_at: datetime

    @property
    def source(self) -> str:
        """The row that it tells of."""
        return self.message_id.partition(".")[0]

    @property
    def place(self) -> tuple[int, ...]:
        """Where it stands among all that is told of its row: the revision, then the number of the follow-up."""
        return tuple(int(part) for part in self.message_id.partition("~")[0].split(".")[1:])


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A push as a client got it. `prev` is None where the client's library keeps it to itself."""

    feed: Feed
    seq: int
    prev: int | None
    event: str
    at: str
    data: Mapping[str, Any]
    received_at: datetime


@dataclass(kw_only=True)
class Session:
    """One connection of a client, or, with a library that reconnects by itself, what lies between two gaps.

    Attributes:
        client: who listens; one client's sessions follow one another.
        epoch: from `hello`.
        resumed: the positions (player's feed, everybody's) that were handed over; None where it started live.
        recovered: from `hello`; None where nothing was to be resumed.
        stands: the positions in `hello`: where a session that did not recover begins.
    """

    client: str
    player: str
    gateway: str
    opened_at: datetime
    epoch: str
    resumed: tuple[int, int] | None
    resumed_epoch: str | None
    recovered: bool | None
    stands: tuple[int, int]
    heard: list[Heard] = field(default_factory=list[Heard])
    closed_at: datetime | None = None
    closed_why: str = ""

    @property
    def begins(self) -> tuple[int, int]:
        """The positions behind which this session has to hear everything."""
        return self.resumed if self.recovered and self.resumed is not None else self.stands


@dataclass(frozen=True)
class Answer:
    """What a command was answered once; the body is `{"result": ...}` or `{"error": ...}`."""

    body: Mapping[str, Any]
    at: datetime

    @property
    def accepted(self) -> bool:
        """Whether the command was carried out."""
        return "result" in self.body


@dataclass(kw_only=True)
class Order:
    """A command that changes something, with all its answers: it may have been sent more than once."""

    player: str
    id: str
    command: str
    args: Mapping[str, Any]
    sent: list[datetime] = field(default_factory=list[datetime])
    answers: list[Answer] = field(default_factory=list[Answer])

    @property
    def accepted(self) -> Answer | None:
        """The first answer that confirms it."""
        return next((answer for answer in self.answers if answer.accepted), None)


@dataclass(frozen=True)
class Happening:
    """Something that was done to the servers."""

    at: datetime
    what: str


@dataclass(kw_only=True)
class History:
    """Everything that is known once all is calm.

    Attributes:
        epoch: of the stream, at the end.
        queued: ids of orders that still wait for their site.
        untold: message ids that still stand in the outbox.
        alarms: how many messages the stream of alarms still holds.
        lost_until: pushes stored before this moment may be gone, since a store was lost on purpose; None: none may.
        gone_back: epochs in which the table or the stream was taken back to an older copy on purpose.
        deadlocks: how many the database has counted.
        clock_ahead: how far the clients' clock is ahead of the database's.
    """

    epoch: str
    rows: list[Row] = field(default_factory=list[Row])
    events: list[EventRow] = field(default_factory=list[EventRow])
    inbox: list[Remembered] = field(default_factory=list[Remembered])
    stored: list[Stored] = field(default_factory=list[Stored])
    sessions: list[Session] = field(default_factory=list[Session])
    orders: list[Order] = field(default_factory=list[Order])
    queued: list[str] = field(default_factory=list[str])
    untold: list[str] = field(default_factory=list[str])
    alarms: int = 0
    lost_until: datetime | None = None
    gone_back: list[str] = field(default_factory=list[str])
    deadlocks: int = 0
    clock_ahead: timedelta = timedelta()
    happenings: list[Happening] = field(default_factory=list[Happening])

    def feed(self, player: str | None) -> list[Stored]:
        """One feed as the stream keeps it, in its order."""
        return sorted((push for push in self.stored if push.player == player), key=lambda push: push.seq)

    def told_of(self, source: str) -> list[Stored]:
        """What was told of one row, in the stream's order."""
        return sorted((push for push in self.stored if push.source == source), key=lambda push: push.seq)

    def heard(self) -> Iterator[tuple[Session, Heard]]:
        """Each push that anybody heard."""
        for session in self.sessions:
            for push in session.heard:
                yield session, push
