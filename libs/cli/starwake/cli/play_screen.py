"""The terminal client on a terminal: builds with live bars, the feed, a line to type orders."""

import asyncio
import io
import signal
from collections.abc import Iterable

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import Float, FloatContainer, HSplit, Layout, Window
from prompt_toolkit.layout.controls import FormattedTextControl
from prompt_toolkit.layout.menus import CompletionsMenu
from prompt_toolkit.output import Output
from prompt_toolkit.widgets import TextArea
from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from starwake.cli import play_words as words
from starwake.cli.play_orders import NotUnderstood, Quit, complete, parse
from starwake.cli.play_session import PlaySession
from starwake.client import Connected, Disconnected, Push, Starwake

REFRESH_S = 0.1
BUILD_SHARE = 0.5
"""Share of the height that builds may take; the feed has the rest."""

PROGRESS, DONE, DANGER, QUIET = "#e8b04a", "#4ac6b7", "#e5603a", "dim"


class OrderCompleter(Completer):
    """Completes orders from what the session knows."""

    def __init__(self, session: PlaySession) -> None:
        self._session = session

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Words for the place of the cursor."""
        text = document.text_before_cursor
        if not text.strip() and not complete_event.completion_requested:
            return  # an empty line asks for nothing, and a menu would hide the feed
        start = len(text.split(" ")[-1])
        for word in complete(text, self._session.state):
            yield Completion(word, start_position=-start)


def header(session: PlaySession) -> RenderableType:
    """Who plays, how the line is, the server's time; and a warning if there is one."""
    now = session.player.now()
    grid = Table.grid(expand=True)
    grid.add_column()
    grid.add_column(justify="right")
    grid.add_row(Text(f"starwake  {session.player.name}", "bold"), _line(session))
    warning = session.state.current_warning(now)
    if warning is None:
        return grid
    alarm = Text(f"space dragons arrive in {words.until(warning.arrives_at, now)}", f"bold {DANGER}")
    return Group(grid, alarm)


def _line(session: PlaySession) -> Text:
    now, state = session.player.now(), session.state
    clock = f"{now:%H:%M:%S} UTC"
    match state.line:
        case Disconnected() as down if state.line_since is not None:
            left = down.retry_in_s - (now - state.line_since).total_seconds()
            when = f"next try in {left:.0f} s" if left > 0 else "trying"
            return Text(f"line down: {down.reason}, {when}   {clock}", DANGER)
        case Connected() | Disconnected() | None:
            trip = session.player.round_trip_s
            live = "live" if trip is None else f"live {trip * 1000:.0f} ms"
            return Text.assemble((live, DONE), f"   {clock}")


def builds(session: PlaySession, rows: int) -> RenderableType:
    """What is being built, next due first, as bars with countdowns on the server's clock."""
    now, active = session.player.now(), session.state.active()
    if not active:
        return Text("nothing is being built; type: start KIND SITE", QUIET)
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(justify="right", style=QUIET)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(justify="right", no_wrap=True)
    shown = active[: max(1, rows - 1)] if len(active) > rows else active
    for one in shown:
        build = one.build
        bar = ProgressBar(total=1.0, completed=build.progress(now), complete_style=PROGRESS, finished_style=DONE)
        left = words.until(build.due_at, now)
        table.add_row(f"{one.number}", session.state.title(build.kind), build.site, bar, left)
    hidden = len(active) - len(shown)
    return Group(table, Text(f"and {hidden} more", QUIET)) if hidden else table


def feed(session: PlaySession, rows: int) -> RenderableType:
    """The latest lines of the feed, the newest at the foot."""
    lines = list(session.state.feed)[-rows:] if rows > 0 else []
    return Group(*(Text.assemble((f"{at:%H:%M:%S}  ", QUIET), text, overflow="ellipsis") for at, text in lines))


def render(session: PlaySession, columns: int, rows: int) -> str:
    """The whole picture above the input line, as text with ANSI colours."""
    console = Console(
        file=io.StringIO(), force_terminal=True, width=columns, color_system="truecolor", legacy_windows=False
    )
    top = int((rows - 4) * BUILD_SHARE)
    shown_builds = min(len(session.state.active()) or 1, max(1, top))
    left = rows - shown_builds - 4
    picture = Group(
        header(session), Rule(style=QUIET), builds(session, shown_builds), Rule(style=QUIET), feed(session, left)
    )
    with console.capture() as capture:
        console.print(picture, no_wrap=True, overflow="ellipsis", crop=True)
    return "\n".join(capture.get().splitlines()[:rows])


class ScreenDisplay:
    """What is told is in the state, which is drawn ten times a second: nothing more to do."""

    def push(self, push: Push, text: str) -> None:
        """A push came."""

    def say(self, text: str) -> None:
        """Something else is to be said."""


class Screen:
    """The application on the terminal."""

    def __init__(self, session: PlaySession, terminal_input: Input | None, output: Output | None) -> None:
        self._session = session
        self._orders: asyncio.Queue[str] = asyncio.Queue(100)
        self._entry = TextArea(
            height=1,
            prompt="> ",
            multiline=False,
            completer=OrderCompleter(session),
            complete_while_typing=True,
            history=InMemoryHistory(),
            accept_handler=self._typed,
        )
        picture = Window(FormattedTextControl(self._picture), wrap_lines=False)
        menu = Float(CompletionsMenu(max_height=8), xcursor=True, ycursor=True)
        self.application: Application[None] = Application(
            layout=Layout(FloatContainer(HSplit([picture, self._entry]), floats=[menu]), focused_element=self._entry),
            key_bindings=self._keys(),
            full_screen=True,
            refresh_interval=REFRESH_S,
            input=terminal_input,
            output=output,
        )

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        def leave(event: KeyPressEvent) -> None:
            event.app.exit()

        keys.add("c-c")(leave)
        keys.add("c-d")(leave)
        return keys

    def _picture(self) -> ANSI:
        size = self.application.output.get_size()
        return ANSI(render(self._session, size.columns, size.rows - 1))

    def _typed(self, buffer: Buffer) -> bool:
        try:
            self._orders.put_nowait(buffer.text)
        except asyncio.QueueFull:
            self._session.tell("too many orders at once")
        return False

    async def carry_out(self) -> None:
        """Carry out what is typed, until `quit`. Raises `SessionError` where the session is over."""
        while True:
            line = await self._orders.get()
            try:
                order = parse(line)
            except NotUnderstood as error:
                self._session.tell(str(error))
                continue
            if isinstance(order, Quit):
                return
            if order is not None:
                await self._session.carry_out(order)


async def play_on_screen(player: Starwake, terminal_input: Input | None = None, output: Output | None = None) -> int:
    """Play on the terminal until `quit`, Ctrl-C, Ctrl-D or SIGTERM; 0.

    Raises:
        SessionError: the session is over.
        CommandError: what there is could not be read.
    """
    session = PlaySession(player, ScreenDisplay())
    await session.begin()
    screen = Screen(session, terminal_input, output)
    terminated = asyncio.Event()
    # Killed on the spot, it would leave the terminal on the alternate screen and without echo.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    running: list[asyncio.Task[object]] = [
        asyncio.create_task(coroutine, name="play-screen")
        for coroutine in (
            screen.application.run_async(handle_sigint=False),
            session.listen(),
            session.keep_time(),
            screen.carry_out(),
            terminated.wait(),
        )
    ]
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
    return 0
