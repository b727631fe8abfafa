"""The player's SDK: `async with Starwake.connect(url, token=...) as player:`."""

import ssl as tls
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from random import SystemRandom
from typing import Any, Literal, Self, TypeVar, overload
from urllib.parse import urlsplit, urlunsplit

import msgspec

from starwake.client.errors import CommandError
from starwake.client.events import Events, EventsWithNotices
from starwake.client.line import Line, TokenProvider
from starwake.client.protocol import Protocol
from starwake.client.values import Build, BuildPage, EventPage, FeedPage, Kind, Queued, QueuedPage
from starwake.contracts.builds import BuildState
from starwake.contracts.frames import Position
from starwake.contracts.ids import new_id
from starwake.contracts.times import to_rfc3339

Result = TypeVar("Result")

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


def socket_url(url: str) -> str:
    """The WebSocket address for `url`: `http(s)` is taken for `ws(s)`, and an empty path for `/ws`.

    Raises:
        ValueError: another scheme, no host, or a query (tokens in a URL end up in logs).
    """
    parts = urlsplit(url)
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise ValueError(f"{url!r} is no ws, wss, http or https address")
    if parts.query or parts.fragment:
        raise ValueError(f"{url!r}: an address has no query here; the token goes into a header or the first frame")
    path = "/ws" if parts.path in ("", "/") else parts.path
    return urlunsplit((scheme, parts.netloc, path, "", ""))


class Starwake:
    """One player's session. It reconnects and resumes by itself; commands and pushes go on over any number of lines.

    Example:
        ```python
        async with Starwake.connect("http://127.0.0.1:8080", token=token) as player:
            build = await player.build_start("shipyard", "luna-1")
            async for push in player.events():
                print(push.at, push.event, push.data)
        ```
    """

    def __init__(self, line: Line, timeout_s: float) -> None:
        self._line = line
        self._timeout_s = timeout_s
        self._events = Events(line)

    @classmethod
    @asynccontextmanager
    async def connect(  # noqa: PLR0913 - each is one documented, keyword-only choice
        cls,
        url: str,
        *,
        token: str | None = None,
        token_provider: TokenProvider | None = None,
        auth: Literal["header", "frame"] = "header",
        resume: Position | None = None,
        open_timeout_s: float = 10.0,
        command_timeout_s: float = 30.0,
        event_capacity: int = 1024,
        ssl: tls.SSLContext | None = None,
    ) -> AsyncGenerator[Self]:
        """Open a session, and close it at the end of the block.

        Args:
            url: where Starwake is: `wss://host/ws`, or the page's address, `https://host`.
            token: the JWT. It cannot be renewed; for sessions longer than its life give a `token_provider`.
            token_provider: an async function that returns a JWT that is valid now; asked at each connection, and
                before the present one expires.
            auth: hand the token over in the `Authorization` header, or in the first frame where a proxy drops that.
            resume: the `position` of an earlier session; what was pushed since then comes first.
            open_timeout_s: how long to try for the first session, in seconds.
            command_timeout_s: how long a command may take, reconnects included, in seconds.
            event_capacity: pushes that may wait for `events()`. Further ones stay with the server, and come as soon as
                three quarters are handled: nothing is lost, and commands go on meanwhile.
            ssl: for `wss` with a certificate authority of one's own.

        Raises:
            SessionError: no session came about.
            TokenUnavailable: the token provider failed at the first connection.
            ValueError: a bad address, or not exactly one of `token` and `token_provider`.
        """
        if (token is None) == (token_provider is None):
            raise ValueError("give either a token or a token_provider")

        async def given_token() -> str:
            return token or ""

        protocol = Protocol(
            dice=SystemRandom().uniform,
            position=resume,
            auth=auth,
            renews=token_provider is not None,
            capacity=event_capacity,
        )
        line = Line(socket_url(url), protocol, token_provider or given_token, ssl)
        try:
            await line.open(open_timeout_s)
            yield cls(line, command_timeout_s)
        finally:
            await line.close()

    # -- the session -----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Who the server says we are: the token's `sub`."""
        return "" if self._line.greeting is None else self._line.greeting.player

    @property
    def connected(self) -> bool:
        """Whether the line is up at this moment. Commands may be given either way: they wait."""
        return self._line.live

    @property
    def position(self) -> Position | None:
        """How far pushes were handled: keep it, and `connect(resume=...)` goes on there, even from another process.

        A push counts as handled when the next one is asked for. Whoever stops in between gets it again: at least once.
        """
        return self._events.position

    def now(self) -> datetime:
        """The time on the server's clock, on which countdowns run. The more often `time()` is asked, the more exact."""
        return self._line.now()

    @property
    def round_trip_s(self) -> float | None:
        """How long the last `time()` took, there and back, in seconds; None before the first."""
        return self._line.protocol.clock.round_trip_s

    # -- pushes ----------------------------------------------------------------------------------------------------

    @overload
    def events(self, *, notices: Literal[False] = False) -> Events: ...

    @overload
    def events(self, *, notices: Literal[True]) -> EventsWithNotices: ...

    def events(self, *, notices: bool = False) -> Events | EventsWithNotices:
        """The pushes as they come, each once and in order, over any number of connections.

        There is one queue: each push goes to one reader, and it does not matter when reading begins. Iteration ends
        when this side closes the session.

        Args:
            notices: whether to yield notices about the line (`Connected`, `Disconnected`, `Missed`) among the pushes.

        Raises:
            PushesMissed: (from the iteration, without `notices`) the server could not replay what was pushed while
                the line was down. Take a fresh `build_list`, and iterate again.
            SessionError: (from the iteration) the session is over for good.
        """
        return EventsWithNotices(self._events) if notices else self._events

    # -- commands --------------------------------------------------------------------------------------------------

    async def command(
        self,
        name: str,
        args: Mapping[str, object] | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the protocol's own word
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """Any command, a game's own too; its result as decoded JSON.

        It takes effect once, however often the line breaks meanwhile: it is sent again under its id. So is one that
        the server puts off (`rate_limited`, `unavailable`). No order is promised among commands given at once.

        Args:
            name: such as `build.start`.
            args: JSON values; left out of the frame where None.
            id: the idempotency key, 1 to 64 characters; a fresh UUID where None. Keep it to repeat a command whose
                outcome is open, after a restart even.
            timeout_s: seconds to wait in all; the session's `command_timeout_s` where None.

        Raises:
            Refused: the server said no, or put it off until the time was over.
            Unanswered: no answer within the time.
            Unsendable: too large, too many waiting, or the id is waiting with another command.
            SessionError: the session is over.
        """
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        return await self._line.command(new_id() if id is None else id, name, args, wait_s)

    async def _ask(
        self,
        result: type[Result],
        name: str,
        args: dict[str, object],
        *,
        key: str | None = None,
        command_id: str | None = None,
    ) -> Result:
        command_id = command_id or new_id()
        body = await self.command(name, args, id=command_id)
        try:
            return msgspec.convert(body if key is None else body.get(key), result)
        except msgspec.ValidationError as error:
            raise CommandError(f"unreadable answer to {name}: {error}", command=name, id=command_id) from error

    async def build_start(self, kind: str, site: str, *, id: str | None = None) -> Build:  # noqa: A002 - as above
        """Order a build of a catalogue kind on one of one's sites; raises as `command`."""
        args: dict[str, object] = {"kind": kind, "site": site}
        return await self._ask(Build, "build.start", args, key="build", command_id=id)

    async def build_cancel(self, build: Build | str, *, id: str | None = None) -> Build:  # noqa: A002 - as above
        """Cancel a build (or its id) that is building; from then on it never completes. Raises as `command`."""
        args: dict[str, object] = {"build_id": _build_id(build)}
        return await self._ask(Build, "build.cancel", args, key="build", command_id=id)

    async def build_reschedule(
        self,
        build: Build | str,
        *,
        due_at: datetime | None = None,
        factor: float | None = None,
        id: str | None = None,  # noqa: A002 - as above
    ) -> Build:
        """Change when a build is due: to a moment (aware), or to `factor` times what is left. Raises as `command`.

        Raises:
            ValueError: not exactly one of `due_at` and `factor`.
        """
        if (due_at is None) == (factor is None):
            raise ValueError("give either due_at or factor")
        change: dict[str, object] = {"factor": factor} if due_at is None else {"due_at": to_rfc3339(due_at)}
        args: dict[str, object] = {"build_id": _build_id(build), **change}
        return await self._ask(Build, "build.reschedule", args, key="build", command_id=id)

    async def build_list(
        self,
        *,
        state: BuildState | Literal["building", "completed", "cancelled"] | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> BuildPage:
        """One page of one's builds, newest first; `builds()` walks them all. Raises as `command`."""
        given: dict[str, object] = {"state": state, "limit": limit, "after": after}
        args = {key: value for key, value in given.items() if value is not None}
        return await self._ask(BuildPage, "build.list", args)

    async def builds(
        self, state: BuildState | Literal["building", "completed", "cancelled"] | None = None
    ) -> AsyncIterator[Build]:
        """All of one's builds, newest first, page by page. Raises as `command`."""
        after: str | None = None
        while True:
            page = await self.build_list(state=state, after=after)
            for build in page.builds:
                yield build
            if page.next is None:
                return
            after = page.next

    async def build_queued(self, *, limit: int | None = None, after: int | None = None) -> QueuedPage:
        """One page of what waits for one's sites, first come first; `queued()` walks them all. Raises as `command`."""
        given: dict[str, object] = {"limit": limit, "after": after}
        return await self._ask(
            QueuedPage, "build.queued", {key: value for key, value in given.items() if value is not None}
        )

    async def queued(self) -> AsyncIterator[Queued]:
        """All that waits for one's sites, first come first, page by page. Raises as `command`."""
        after: int | None = None
        while True:
            page = await self.build_queued(after=after)
            for order in page.queued:
                yield order
            if page.next is None:
                return
            after = page.next

    async def event_list(self, *, limit: int | None = None, after: str | None = None) -> EventPage:
        """One page of what is announced and still to come, soonest first. Raises as `command`."""
        given: dict[str, object] = {"limit": limit, "after": after}
        return await self._ask(
            EventPage, "event.list", {key: value for key, value in given.items() if value is not None}
        )

    async def feed_list(
        self, *, feed: Literal["player", "all"] = "player", limit: int | None = None, before: int | None = None
    ) -> FeedPage:
        """One page of what a feed still keeps: the newest, or those before a `seq`. `events()` goes on beside it.

        A push can come both ways; `feed` and `seq` tell. Raises as `command`.
        """
        given: dict[str, object] = {"feed": feed, "limit": limit, "before": before}
        return await self._ask(FeedPage, "feed.list", {key: value for key, value in given.items() if value is not None})

    async def catalogue(self) -> tuple[Kind, ...]:
        """What can be built. Raises as `command`."""
        return await self._ask(tuple[Kind, ...], "catalogue.list", {}, key="kinds")

    async def time(self) -> datetime:
        """Ask the server's time; `now()` gets more exact by it. Raises as `command`."""
        return await self._ask(datetime, "time", {}, key="server_time")


def _build_id(build: Build | str) -> str:
    return build if isinstance(build, str) else build.id
