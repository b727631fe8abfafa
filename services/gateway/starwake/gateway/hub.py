"""All sessions of this gateway: by player, with one feed each; what the bus tells of them; the drain."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from starwake.bus.connection import Bus
from starwake.bus.errors import BusError
from starwake.bus.revocations import parse_revocation, read_revocations, watch_control
from starwake.contracts import frames, subjects
from starwake.contracts.ids import PlayerId, new_id
from starwake.contracts.reasons import CloseCode
from starwake.gateway import metrics
from starwake.gateway.crowd import Crowd, Present
from starwake.gateway.effects import Resume
from starwake.gateway.feed import Push
from starwake.gateway.feed_source import make_source
from starwake.gateway.feeds import Feed, Joiner, Replay
from starwake.gateway.lobby import Lobby
from starwake.gateway.questions import Questions
from starwake.gateway.stream_watch import Found, StreamWatch
from starwake.gateway.tasks import Tasks
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger
from starwake.runtime.tracing import OFF, Tracing

if TYPE_CHECKING:
    from starwake.gateway.session import Session

_log = get_logger("gateway.hub")
_sparing = RateLimitedLogger(_log)

_CLOSES_PER_S: Final = 200.0
"""How fast a drain goes where its window allows: few sessions are ended within a moment."""
_LAST_ANSWERS_S: Final = 3.0
_LAST_CLOSES_S: Final = 1.0
_CONNECTED: Final = "connected"
_PRESENT: Final = "present"
_REVOKE: Final = "revoke"

_encode = msgspec.json.Encoder().encode
_present_decoder = msgspec.json.Decoder(Present)


class Welcome(NamedTuple):
    """How a session goes live: what `hello` says, and the frames that it missed, in order."""

    epoch: str
    seq: int
    all_seq: int
    recovered: bool | None
    replay: list[bytes]


class _Player:
    """What this gateway holds for one player."""

    __slots__ = ("crowd", "feed", "sessions")

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.crowd = Crowd()
        self.sessions: dict[str, Session] = {}


class Hub:
    """The sessions of one gateway and their feeds."""

    def __init__(
        self, bus: Bus, tasks: Tasks, *, connections_per_player: int, patience_s: float, tracing: Tracing = OFF
    ) -> None:
        """A hub without sessions.

        Args:
            bus: the connection.
            tasks: the owner of what runs.
            connections_per_player: over all gateways; one more ends the oldest.
            patience_s: who would have to wait for longer until what was missed is at hand is told to come later.
            tracing: spans of live pushes, if they are on.
        """
        self.id = new_id()
        self._bus = bus
        self._tasks = tasks
        self._connections_per_player = connections_per_player
        self._watch = StreamWatch(bus, tasks)
        self._source = make_source(
            bus,
            tasks,
            on_regress=self._watch.suspect,
            on_stalled=self._watch.stalled,
            patience_s=patience_s,
            tracing=tracing,
        )
        self._revocations = Questions(tasks, self._read_revocations)
        self._everybody = Feed(self._source, None, keep_recent=True)
        self._players: dict[PlayerId, _Player] = {}
        self._sessions: set[Session] = set()
        self._parked: dict[Session, tuple[PlayerId, Resume | None]] = {}
        self._ended: set[Session] = set()
        self.strangers = Lobby["Session"]()
        """Those of the sessions that have shown no token."""
        self._live = 0
        self._emptied = asyncio.Event()

    # --- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, and begin to look for the stream; sessions may come before it is found."""
        await watch_control(self._bus, self._on_control)
        self._watch.start(
            lambda: [held.feed for held in self._players.values()],
            self._everybody,
            Found(ready=self._unpark, lost=self._end_all),
        )

    def not_ready(self) -> str | None:
        """What keeps sessions from going live, None where nothing does."""
        if not self._bus.connected:
            return "NATS is not connected"
        if self._watch.epoch is None:
            return "the notification stream has no epoch yet"
        return None if self._everybody.ready else "the feed for everybody is catching up"

    @property
    def sessions(self) -> int:
        """Connections here, before and after authentication."""
        return len(self._sessions)

    @property
    def unauthenticated(self) -> int:
        """Those of them that are not live yet."""
        return len(self._sessions) - self._live - len(self._ended)

    @property
    def waiting_bytes(self) -> int:
        """What waits for all sockets together."""
        return sum(session.waiting_bytes for session in self._sessions)

    async def drain(self, window_s: float) -> None:
        """End all sessions, spread at random over the window; commands in flight are answered first."""
        sessions = [session for session in self._sessions if session not in self._ended]
        random.shuffle(sessions)
        window_s = min(window_s, len(sessions) / _CLOSES_PER_S)
        _log.info("drain.started", sessions=len(sessions), window_s=round(window_s, 3))
        begun = time.monotonic()
        for number, session in enumerate(sessions):
            ahead_s = begun + window_s * number / len(sessions) - time.monotonic()
            if ahead_s > 0:
                await asyncio.sleep(ahead_s)
            session.end_once_answered(CloseCode.DRAINING, "the server is restarting")
        await self._wait_until_empty(_LAST_ANSWERS_S)
        for session in list(self._sessions):
            session.end(CloseCode.DRAINING, "the server is restarting")
        await self._wait_until_empty(_LAST_CLOSES_S)
        _log.info("drain.ended", sessions_left=len(self._sessions))

    async def _wait_until_empty(self, timeout_s: float) -> None:
        self._emptied = asyncio.Event()
        if self._sessions:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._emptied.wait()

    def come_later(self) -> float | None:
        """Seconds after which whoever has missed something should come, where they could not be served now."""
        return self._source.histories.come_later()

    def later(self) -> float:
        """Seconds after which a session that could not be served may come back."""
        return self._source.histories.later()

    # --- sessions ------------------------------------------------------------------------------------------------

    def arrived(self, session: "Session") -> None:
        """A connection was opened."""
        self._sessions.add(session)

    def identified(self, session: "Session", player: PlayerId) -> None:
        """It is this player's; revocations reach it from now on."""
        held = self._players.get(player)
        if held is None:
            held = self._players[player] = _Player(Feed(self._source, player))
        held.sessions[session.id] = session

    async def is_revoked(self, player: PlayerId, issued_at: float | None) -> bool:
        """Whether a token of `player`, issued then (seconds since the epoch), has been revoked.

        Raises:
            BusError: nobody answers.
        """
        return self._is_covered(player, await self._revocations.get(player), issued_at)

    def ask_revoked(
        self,
        player: PlayerId,
        issued_at: float | None,
        answered: Callable[[bool | BusError], None],
        wanted: Callable[[], bool],
    ) -> None:
        """As `is_revoked`, but not a coroutine: `answered` is called later, with the error where nobody answers.

        Where `wanted` is false by then, nothing is asked, and it is not called.
        """

        def judge(body: bytes | BusError | None) -> None:
            answered(body if isinstance(body, BusError) else self._is_covered(player, body, issued_at))

        self._revocations.put(player, judge, wanted)

    async def _read_revocations(self, players: list[PlayerId]) -> dict[PlayerId, bytes | None]:
        found = await read_revocations(self._bus, players)
        return {player: found.get(player) for player in players}

    @staticmethod
    def _is_covered(player: PlayerId, body: bytes | None, issued_at: float | None) -> bool:
        if body is None:
            return False
        try:
            return _covers(parse_revocation(body), issued_at)
        except ValueError:
            _sparing.error("revocation.malformed", player=player)
            return True

    def join(self, session: "Session", player: PlayerId, resume: Resume | None) -> None:
        """Have the session go live as soon as what it missed is at hand."""
        self._join(session, player, resume, patient=True)

    def _join(self, session: "Session", player: PlayerId, resume: Resume | None, *, patient: bool) -> None:
        held = self._players.get(player)
        if held is None or session.id not in held.sessions:
            return  # it has gone meanwhile
        epoch = self._watch.epoch
        if epoch is None or not self._everybody.ready:
            self._parked[session] = (player, resume)
            return
        same_epoch = resume is not None and resume.epoch == epoch
        if patient and resume is not None and same_epoch and (resume.all or 0) > self._everybody.position:
            # Another gateway has told it more than is known here: this one stood still, or was cut off and does not
            # know it yet. What is in memory says nothing then; look at the stream before saying that much was lost.
            self._parked[session] = (player, resume)
            self._everybody.suspend()
            self._watch.suspect()
            return

        def admit(replay: Replay) -> None:
            self._admit(session, held, resume if same_epoch else None, replay, asked=resume is not None)

        held.feed.join(Joiner(session, resume if same_epoch else None, admit))

    def left(self, session: "Session") -> None:
        """A session ended, live or not; its socket may still be closing. Idempotent."""
        if session in self._ended or session not in self._sessions:
            return
        self._ended.add(session)
        self.strangers.leave(session)
        self._parked.pop(session, None)
        if session.live:
            self._live -= 1
            metrics.CONNECTIONS.dec()
        self._everybody.leave(session)
        held = None if session.player is None else self._players.get(session.player)
        if held is None or session.player is None:
            return
        # By its own id: a late end must not remove a newer session.
        held.sessions.pop(session.id, None)
        held.feed.leave(session)
        if not held.sessions and held.feed.idle:
            held.feed.close()
            self._watch.forget(held.feed)
            del self._players[session.player]

    def gone(self, session: "Session") -> None:
        """Its socket is closed."""
        self._sessions.discard(session)
        self._ended.discard(session)
        if not self._sessions:
            self._emptied.set()

    def recent_to_all(self) -> Sequence[Push]:
        """The last pushes to everybody, oldest first."""
        return self._everybody.recent or ()

    def position(self, player: PlayerId | None) -> int:
        """How far the feed of `player` (None: everybody's) has been handed out."""
        if player is None:
            return self._everybody.position
        held = self._players.get(player)
        return 0 if held is None else held.feed.position

    def _unpark(self) -> None:
        parked, self._parked = self._parked, {}
        for session, (player, resume) in parked.items():
            self._join(session, player, resume, patient=False)

    def _end_all(self) -> None:
        """The stream is not the one whose positions the sessions know."""
        self._source.histories.forget()
        for session in list(self._sessions):
            session.end(CloseCode.FEED_INTERRUPTED, "the feed began anew")

    def _admit(self, session: "Session", held: _Player, resume: Resume | None, own: Replay, *, asked: bool) -> None:
        """Not async on purpose: from this moment on live pushes of both feeds reach the session."""
        everybody = self._everybody.replay_recent(resume)
        whole = resume is not None and own.whole and everybody.whole
        if resume is not None and whole:
            replay = _in_order(resume, own, everybody)
            welcome = Welcome(self._watch.epoch or "", own.position, everybody.position, True, replay)
        else:
            recovered = False if asked else None
            positions = held.feed.position, self._everybody.position
            welcome = Welcome(self._watch.epoch or "", *positions, recovered, [])
        if asked:
            metrics.RESUMES.labels(recovered=str(whole).lower()).inc()
        self._everybody.listeners[session] = None
        self._live += 1
        metrics.CONNECTIONS.inc()
        session.admit(welcome)
        self._watch.joined(held.feed)
        self._announce(held, _CONNECTED)
        self._evict(held)

    # --- what gateways and operators tell one another ------------------------------------------------------------

    def _on_control(self, player: PlayerId, action: str, body: bytes) -> None:
        if action == subjects.EPOCH_ACTION:  # begun while this connection stood, which shows nothing of it
            self._watch.suspect()
            return
        held = self._players.get(player)
        if held is None:
            return
        try:
            if action == _REVOKE:
                self._revoke(held, parse_revocation(body))
            elif action in (_CONNECTED, _PRESENT):
                self._hear(held, _present_decoder.decode(body), asked=action == _CONNECTED)
        except ValueError:  # a DecodeError is one
            _sparing.warning("control.malformed", player=player, action=action)

    @staticmethod
    def _revoke(held: _Player, revoked_at: datetime) -> None:
        for session in list(held.sessions.values()):
            if _covers(revoked_at, session.issued_at):
                session.end(CloseCode.REVOKED, "the session was revoked")

    def _hear(self, held: _Player, present: Present, *, asked: bool) -> None:
        if present.gateway == self.id:
            return
        held.crowd.hear(present, time.monotonic())
        if asked:
            self._announce(held, _PRESENT)
        self._evict(held)

    def _announce(self, held: _Player, action: str) -> None:
        live = tuple(session.id for session in held.sessions.values() if session.live)
        if held.feed.player is None or not live:
            return
        with contextlib.suppress(BusError):  # the limit then holds on each gateway by itself, until the bus is back
            self._bus.publish(subjects.control(held.feed.player, action), _encode(Present(self.id, live)))

    def _evict(self, held: _Player) -> None:
        live = [session.id for session in held.sessions.values() if session.live]
        for session_id in held.crowd.to_evict(live, self._connections_per_player, time.monotonic()):
            metrics.EVICTIONS.inc()
            held.sessions[session_id].end(CloseCode.CONNECTION_LIMIT, "the player has connected too many times")


def _covers(revoked_at: datetime, issued_at: float | None) -> bool:
    """Whether a token issued then is revoked; a revocation is told to the millisecond, and takes in all of its own."""
    return issued_at is None or int(issued_at * 1000) <= round(revoked_at.timestamp() * 1000)


def _in_order(resume: Resume, own: Replay, everybody: Replay) -> list[bytes]:
    """The frames that were missed in both feeds; one stream numbers both, so its order is the true one."""
    replay: list[tuple[int, bytes]] = []
    prev = resume.seq
    for push in own.pushes:
        replay.append((push.seq, frames.push_frame(push.seq, prev, push.body)))
        prev = push.seq
    prev = resume.all or 0
    for push in everybody.pushes:
        replay.append((push.seq, frames.push_all_frame(push.seq, prev, push.body)))
        prev = push.seq
    return [frame for _, frame in sorted(replay)]
