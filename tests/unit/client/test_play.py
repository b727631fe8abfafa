"""The terminal client: what it understands, what it knows, and how it is played with and without a terminal."""

import asyncio
import io
import re
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta

import pytest
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from starwake.cli import play as play_module
from starwake.cli.play_orders import Cancel, NotUnderstood, Order, Quit, Show, SpeedUp, Start, Wait, complete, parse
from starwake.cli.play_plain import play_plain
from starwake.cli.play_screen import play_on_screen, render
from starwake.cli.play_session import PlaySession
from starwake.cli.play_state import PlayState
from starwake.cli.play_words import duration, of_push
from starwake.client import Build, BuildState, Kind, Push, Starwake
from tests.support.eventually import eventually
from tests.unit.client.living import LivingUniverse

T0 = datetime(2026, 11, 22, 10, tzinfo=UTC)


def a_build(build_id: str = "b1", state: BuildState = BuildState.BUILDING, revision: int = 1, due_s: int = 60) -> Build:
    return Build(
        id=build_id,
        kind="dock",
        site="luna-1",
        state=state,
        revision=revision,
        started_at=T0,
        due_at=T0 + timedelta(seconds=due_s),
    )


def a_state(*builds: Build) -> PlayState:
    state = PlayState("ada", kinds={"dock": Kind(kind="dock", title="Dock", duration_s=60)})
    for build in builds:
        state.see(build)
    return state


class TestOrders:
    @pytest.mark.parametrize(
        ("line", "order"),
        [
            ("start dock luna-1", Start("dock", "luna-1")),
            ("  cancel   3 ", Cancel(3)),
            ("cancel #3", Cancel(3)),
            ("speedup 2 1.5", SpeedUp(2, 1.5)),
            ("wait", Wait(None)),
            ("wait 2.5", Wait(2.5)),
            ("list", Show("list")),
            ("catalogue", Show("catalogue")),
            ("help", Show("help")),
            ("quit", Quit()),
            ("", None),
            ("# a comment in a script", None),
        ],
    )
    def test_an_order_is_understood(self, line: str, order: Order | None) -> None:
        assert parse(line) == order

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("dance", "unknown: dance"),
            ("start dock", "usage: start KIND SITE"),
            ("cancel luna", "luna is not the number"),
            ("speedup 1 0", "0 is not a number above zero"),
            ("speedup 1 nan", "nan is not"),
            ("wait inf", "inf is not"),
        ],
    )
    def test_what_is_none_is_answered_with_what_would_be(self, line: str, words: str) -> None:
        with pytest.raises(NotUnderstood, match=words):
            parse(line)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("c", ["cancel", "catalogue"]),
            ("start ", ["dock"]),
            ("start dock ", ["luna-1"]),
            ("cancel ", ["1"]),
            ("speedup 1 ", ["10", "2", "4"]),
            ("list ", []),
        ],
    )
    def test_words_are_completed_by_what_is_known(self, text: str, words: list[str]) -> None:
        assert complete(text, a_state(a_build())) == words


class TestState:
    def test_an_older_revision_never_replaces_a_newer_one(self) -> None:
        state = a_state(a_build(state=BuildState.COMPLETED, revision=2), a_build(revision=1))
        assert state.active() == []

    def test_a_build_keeps_its_number(self) -> None:
        state = a_state(a_build("b1"), a_build("b2"), a_build("b1", revision=2))
        assert [(one.number, one.build.id) for one in state.tracked.values()] == [(1, "b1"), (2, "b2")]

    def test_the_next_due_is_first(self) -> None:
        state = a_state(a_build("b1", due_s=90), a_build("b2", due_s=30))
        assert [one.number for one in state.active()] == [2, 1]

    def test_a_fresh_list_ends_what_it_does_not_hold(self) -> None:
        state = a_state(a_build("b1"), a_build("b2"))
        state.see_all([a_build("b2")], state.known())
        assert [one.build.id for one in state.active()] == ["b2"]

    def test_a_fresh_list_is_newer_than_what_was_known_even_at_a_lower_revision(self) -> None:
        """A table that was restored from an older copy has the build going on again."""
        state = a_state(a_build("b1", revision=2, state=BuildState.CANCELLED), a_build("b2", revision=3, due_s=90))
        state.see_all([a_build("b1"), a_build("b2", due_s=30)], state.known())
        assert [(one.number, one.build.revision) for one in state.active()] == [(2, 1), (1, 1)]

    def test_what_came_since_a_list_was_asked_for_is_newer_than_it(self) -> None:
        state = a_state(a_build("b1"))
        before = state.known()
        state.see(a_build("b1", revision=2, state=BuildState.COMPLETED))
        state.see(a_build("b2"))
        state.see_all([a_build("b1")], before)
        assert [one.build.id for one in state.active()] == ["b2"]

    def test_a_warning_ends_when_its_time_has_come(self) -> None:
        state = a_state()
        data = {"event_id": "e", "arrives_at": "2026-11-22T10:05:00.000Z", "remaining_s": 300}
        state.push(Push(event="dragons.inbound", at=T0, data=data, seq=1))
        assert state.current_warning(T0) is not None
        assert state.current_warning(T0 + timedelta(minutes=5)) is None

    @pytest.mark.parametrize("event", ["dragons.inbound", "build.completed", "stars.discovered", "some.thing"])
    def test_data_that_does_not_fit_its_event_is_shown_as_it_is(self, event: str) -> None:
        push = Push(event=event, at=T0, data={"build": 7, "stars": 7}, seq=1)
        state = a_state()
        state.push(push)
        assert of_push(push, state) == f'{event} {{"build":7,"stars":7}}'


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "00:00"), (0, "00:00"), (0.1, "00:01"), (59.2, "01:00"), (3600, "01:00:00"), (180_005, "2 d 02:00:05")],
)
def test_durations_read_well(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.fixture
async def universe() -> AsyncGenerator[LivingUniverse]:
    universe = LivingUniverse()
    async with universe.running():
        yield universe


async def good_token() -> str:
    return "good"


async def played(universe: LivingUniverse, *lines: str) -> tuple[int, list[str]]:
    """Exit code and output of a script; the times in front are cut off."""
    output = io.StringIO()
    async with Starwake.connect(universe.url, token_provider=good_token) as player, asyncio.timeout(10):
        code = await play_plain(player, io.StringIO("".join(f"{line}\n" for line in lines)), output)
    stamped = output.getvalue().splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d{3} ", line) for line in stamped)
    return code, [line[13:] for line in stamped]


async def test_a_script_builds_waits_and_sees_it_complete(universe: LivingUniverse) -> None:
    code, lines = await played(universe, "start dock luna-1", "wait")
    assert code == 0
    assert lines[0] == "- connected as ada"
    assert lines[-1] == "build.completed Dock on luna-1 (#1) is complete"


async def test_a_script_cancels_and_speeds_up_by_number(universe: LivingUniverse) -> None:
    code, lines = await played(universe, "start shipyard io-3", "speedup 1 9.1", "cancel 1", "list")
    assert code == 0
    assert "- rescheduled: #1 Shipyard on io-3, due in 00:10" in lines
    assert lines[-1] == "- nothing is being built"
    (frame,) = universe.commands("build.reschedule")
    assert frame["args"]["factor"] == pytest.approx(1 / 9.1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("start dock luna-1", "- refused: luna-1 is already building"),
        ("cancel 9", "- there is no build with the number 9 (see list)"),
        ("dance", "- unknown: dance (try help)"),
        ("wait 0.05", "- still building after 0.05 s"),
    ],
)
async def test_what_does_not_work_is_said_and_the_script_goes_on(
    universe: LivingUniverse, line: str, words: str
) -> None:
    code, lines = await played(universe, "start shipyard luna-1", line, "help")
    assert words in lines
    assert lines[-1].startswith("- quit")
    assert code == (0 if line.startswith("wait") else 1)


async def test_without_a_terminal_stdin_is_played(
    universe: LivingUniverse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("catalogue\nquit\nlist\n"))
    assert await play_module.play(universe.url, good_token, "ada") == 0
    captured = capsys.readouterr().out
    assert "Ringworld  needs shipyard" in captured
    assert "nothing is being built" not in captured


@pytest.mark.parametrize("token", ["stolen", ""])
async def test_no_session_is_one_line_on_stderr(
    universe: LivingUniverse, capsys: pytest.CaptureFixture[str], token: str
) -> None:
    async def bad_token() -> str:
        return token

    assert await play_module.play(universe.url, bad_token, "ada") == 1
    assert capsys.readouterr().err == "ada cannot play: the server refuses the token (HTTP 401: no)\n"


async def test_a_session_that_the_server_ends_ends_play(
    universe: LivingUniverse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("start ringworld io-3\nwait\n"))
    playing = asyncio.create_task(play_module.play(universe.url, good_token, "ada"))
    await eventually(lambda: universe.builds)
    await universe.close(4503, "revoked")
    assert await playing == 1
    assert capsys.readouterr().err == "ada cannot play: 4503: revoked\n"


OnScreen = Callable[[], tuple[PipeInput, "asyncio.Task[int]"]]


@pytest.fixture
async def terminal() -> AsyncGenerator[PipeInput]:
    with create_pipe_input() as keys:
        yield keys


@pytest.mark.parametrize("leave", ["quit\r", "\x03", "\x04"])
async def test_on_a_terminal_orders_are_typed_until_one_leaves(
    universe: LivingUniverse, terminal: PipeInput, leave: str
) -> None:
    async with Starwake.connect(universe.url, token_provider=good_token) as player:
        playing = asyncio.create_task(play_on_screen(player, terminal, DummyOutput()))
        terminal.send_text("start shipyard io-3\r")
        await eventually(lambda: [row["site"] for row in universe.builds.values()] == ["io-3"])
        terminal.send_text(leave)
        async with asyncio.timeout(5):
            assert await playing == 0


class Silent:
    def push(self, push: Push, text: str) -> None: ...

    def say(self, text: str) -> None: ...


async def test_the_picture_shows_builds_feed_and_line(universe: LivingUniverse) -> None:
    async with Starwake.connect(universe.url, token_provider=good_token) as player:
        session = PlaySession(player, Silent())
        await session.begin()
        listening = asyncio.create_task(session.listen())
        await session.carry_out(Start("shipyard", "io-3"))
        arrival = {"event_id": "e", "arrives_at": "2099-01-01T00:00:00.000Z", "remaining_s": 5400}
        await universe.push("dragons.inbound", arrival, feed="all")
        await eventually(lambda: len(session.state.feed) == 3)
        picture = re.sub(r"\x1b\[[0-9;]*m", "", render(session, 80, 20))
        assert re.search(r"starwake +ada +live \d+ ms +\d\d:\d\d:\d\d UTC", picture)
        assert "space dragons arrive in" in picture
        assert re.search(r"1 +Shipyard +io-3 +\S+ +01:(30|2\d)", picture)
        assert "Shipyard on io-3 (#1) is being built, due in 01:30" in picture
        assert all(len(line) <= 80 for line in picture.splitlines())
        assert len(picture.splitlines()) <= 20
        await universe.drop()
        await eventually(lambda: not player.connected)
        assert "line down: connection lost" in render(session, 80, 20)
        listening.cancel()
        await asyncio.wait([listening])


async def test_a_late_sign_in_knows_what_was_pushed_and_announced_before(universe: LivingUniverse) -> None:
    await universe.push("comets.passing", {"n": 1}, feed="all")
    await universe.push("probe.arrived", {"star": "Vega"})
    arrival = {"id": "i", "feed": "all", "event": "dragons.arrived", "data": {"event_id": "e"}}
    moments = {"due_at": "2099-01-01T00:00:00.000Z", "announced_at": "2026-11-22T10:00:00.000Z"}
    universe.handlers["event.list"] = lambda _: {"result": {"events": [{**arrival, **moments}], "next": None}}
    async with Starwake.connect(universe.url, token_provider=good_token) as player:
        session = PlaySession(player, Silent())
        await session.begin()
        picture = re.sub(r"\x1b\[[0-9;]*m", "", render(session, 80, 20))
    assert len(session.state.feed) == 2
    assert picture.index("comets.passing") < picture.index("probe.arrived"), "the newest last"
    assert "space dragons arrive in" in picture


async def test_a_server_without_those_commands_can_be_played_all_the_same(universe: LivingUniverse) -> None:
    unknown = {"error": {"code": "unknown_command", "message": "there is no such command"}}
    universe.handlers |= {"event.list": lambda _: unknown, "feed.list": lambda _: unknown}
    async with Starwake.connect(universe.url, token_provider=good_token) as player:
        session = PlaySession(player, Silent())
        await session.begin()
        assert session.state.kinds


@pytest.mark.parametrize(("columns", "rows"), [(20, 5), (200, 60), (1, 1)])
async def test_the_picture_fits_any_terminal(universe: LivingUniverse, columns: int, rows: int) -> None:
    async with Starwake.connect(universe.url, token_provider=good_token) as player:
        session = PlaySession(player, Silent())
        await session.begin()
        for number in range(30):
            session.state.see(a_build(f"b{number}"))
        assert len(render(session, columns, rows).splitlines()) <= rows
