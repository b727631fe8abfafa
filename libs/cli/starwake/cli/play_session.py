"""The terminal client's part between the player's SDK and what shows it: carries orders out, keeps the state."""

import asyncio
from collections.abc import Callable
from typing import Final, Literal, Protocol, assert_never

from starwake.cli import play_words as words
from starwake.cli.play_orders import HELP, Cancel, Order, Quit, Show, SpeedUp, Start, Wait
from starwake.cli.play_state import PlayState, Tracked
from starwake.client import BuildState, CommandError, Missed, Push, Refused, Starwake

TIME_EVERY_S = 20.0
"""How often the server's time is asked, for the countdowns and the round trip that is shown."""

FEEDS: Final[tuple[Literal["player", "all"], ...]] = ("player", "all")
HISTORY = 50
"""Pushes of before the sign-in that are shown."""


class Display(Protocol):
    """Where it is shown."""

    def push(self, push: Push, text: str) -> None:
        """A push came."""
        ...

    def say(self, text: str) -> None:
        """Something else is to be said."""
        ...


class PlaySession:
    """A player at a terminal."""

    def __init__(self, player: Starwake, display: Display) -> None:
        self.player = player
        self.state = PlayState(player.name)
        self._display = display
        self._changed = asyncio.Event()
        self._past: set[tuple[str, int]] = set()

    async def begin(self) -> None:
        """Read what there is. Raises `CommandError` or `SessionError`."""
        self.state.kinds = {kind.kind: kind for kind in await self.player.catalogue()}
        await self._read_builds()
        await self._read_past_and_future()
        await self.player.time()

    async def _read_past_and_future(self) -> None:
        """What was pushed before this sign-in, and what is announced and still to come."""
        try:
            pages = [await self.player.feed_list(feed=feed, limit=HISTORY) for feed in FEEDS]
            coming = await self.player.event_list()
        except Refused as refused:
            if refused.code != "unknown_command":  # a server from before there was either
                raise
            return
        for push in sorted((push for page in pages for push in page.pushes), key=lambda push: (push.at, push.seq))[
            -HISTORY:
        ]:
            self._past.add((push.feed, push.seq))
            self.state.push(push)
            self.state.feed.append((push.at, words.of_push(push, self.state)))
        for event in coming.events:
            self.state.announced(event)

    async def _read_builds(self) -> None:
        before = self.state.known()
        self.state.see_all([build async for build in self.player.builds(BuildState.BUILDING)], before)
        self._changed.set()

    async def listen(self) -> None:
        """Show what comes, until this side closes. Raises `SessionError` where the server ended it."""
        async for item in self.player.events(notices=True):
            if isinstance(item, Push):
                self.state.push(item)
                text = words.of_push(item, self.state)
                if (item.feed, item.seq) not in self._past:  # it came while the past was read
                    self.state.feed.append((item.at, text))
                self._display.push(item, text)
            else:
                self.state.notice(item, self.player.now())
                if isinstance(item, Missed):
                    await self._read_builds()
                self.tell(words.of_notice(item))
            self._changed.set()

    async def keep_time(self) -> None:
        """Keep the clock exact. Raises `SessionError` where the session is over."""
        while True:
            await asyncio.sleep(TIME_EVERY_S)
            try:
                await self.player.time()
            except CommandError:
                continue  # the line's state says why, and the next answer comes

    def tell(self, text: str) -> None:
        """Show a line, and keep it in the feed."""
        self.state.feed.append((self.player.now(), text))
        self._display.say(text)

    def _confirm(self, text: str) -> None:
        # Not in the feed: there the push about the same thing stands already, or comes in a moment.
        self._display.say(text)

    async def carry_out(self, order: Order) -> bool:
        """Do what was ordered and tell how it went; whether it went well.

        Raises:
            SessionError: the session is over.
        """
        try:
            await self._do(order)
        except Refused as refused:
            self.tell(f"refused: {refused.message}")
            return False
        except CommandError as error:
            self.tell(f"no answer: {error}")
            return False
        except LookupError as error:
            self.tell(str(error.args[0]))
            return False
        return True

    async def _do(self, order: Order) -> None:
        match order:
            case Start(kind, site):
                started = self.state.see(await self.player.build_start(kind, site))
                self._confirm(f"ordered: {self._describe(started)}")
            case Cancel(number):
                cancelled = self.state.see(await self.player.build_cancel(self._numbered(number).build))
                self._confirm(f"cancelled: #{cancelled.number}")
            case SpeedUp(number, times):
                build = self._numbered(number).build
                changed = self.state.see(await self.player.build_reschedule(build, factor=1 / times))
                self._confirm(f"rescheduled: {self._describe(changed)}")
            case Show(what):
                self._show(what)
            case Wait(seconds):
                await self._wait(seconds)
            case Quit():
                pass
            case _:
                assert_never(order)
        self._changed.set()

    def _numbered(self, number: int) -> Tracked:
        found = self.state.numbered(number)
        if found is None:
            raise LookupError(f"there is no build with the number {number} (see list)")
        return found

    def _describe(self, one: Tracked) -> str:
        build = one.build
        left = words.until(build.due_at, self.player.now())
        return f"#{one.number} {self.state.title(build.kind)} on {build.site}, due in {left}"

    def _listed(self, one: Tracked) -> str:
        return f"{self._describe(one)}, {one.build.progress(self.player.now()):.0%} done"

    def _show(self, what: str) -> None:
        lines = {
            "help": lambda: list(HELP),
            "catalogue": lambda: [words.of_kind(kind) for kind in self.state.kinds.values()],
            "list": lambda: [self._listed(one) for one in self.state.active()] or ["nothing is being built"],
        }[what]()
        for line in lines:
            self.tell(line)

    async def _wait(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.until(lambda: not self.state.active())
        except TimeoutError:
            self.tell(f"still building after {seconds:g} s")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the state is such."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()
