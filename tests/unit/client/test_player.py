"""The client against a server that keeps to the protocol, with faults on demand."""

import asyncio
from http import HTTPStatus
from typing import Literal

import pytest

from starwake.client import (
    CannotConnect,
    Connected,
    Disconnected,
    Missed,
    NotAuthenticated,
    Notice,
    Push,
    PushesMissed,
    Refused,
    SessionClosed,
    SessionEnded,
    Starwake,
    TokenUnavailable,
    Unanswered,
    Unsendable,
)
from tests.support.eventually import eventually
from tests.unit.client.universe import Frame, Universe, build, timestamp

GOOD, STOLEN = "good", "stolen"

pytestmark = pytest.mark.usefixtures("brisk")


async def take(player: Starwake, count: int) -> list[Push]:
    pushes: list[Push] = []
    async with asyncio.timeout(5):
        async for push in player.events():
            pushes.append(push)
            if len(pushes) == count:
                break
    return pushes


async def until_notice(player: Starwake, kind: type[Notice]) -> Notice:
    async with asyncio.timeout(5):
        async for item in player.events(notices=True):
            if isinstance(item, kind):
                return item
    raise AssertionError


async def test_a_session_has_the_name_that_the_token_gives(universe: Universe) -> None:
    async with Starwake.connect(universe.url, token=f"{GOOD}\n") as player:
        assert player.name == "ada"
        assert player.connected
    assert universe.upgrades[0]["authorization"] == "Bearer good"
    assert universe.upgrades[0]["sec-websocket-protocol"] == "starwake.v1"


async def test_the_token_can_go_into_the_first_frame_instead(universe: Universe) -> None:
    async with Starwake.connect(universe.url, token=GOOD, auth="frame") as player:
        await player.time()
    assert "authorization" not in universe.upgrades[0]
    assert universe.received[0]["args"] == {"token": "good"}


@pytest.mark.parametrize("auth", ["header", "frame"])
async def test_a_token_that_does_not_hold_ends_it(universe: Universe, auth: Literal["header", "frame"]) -> None:
    with pytest.raises(NotAuthenticated):
        async with Starwake.connect(universe.url, token=STOLEN, auth=auth):
            pass
    assert len(universe.upgrades) == 1


async def test_a_server_that_is_not_there_is_named_in_the_error() -> None:
    with pytest.raises(CannotConnect, match=r"127\.0\.0\.1:9/ws within 0\.1 s: .*Connect call failed"):
        async with Starwake.connect("ws://127.0.0.1:9", token=GOOD, open_timeout_s=0.1):
            pass


async def test_an_address_without_starwake_is_not_tried_again(universe: Universe) -> None:
    universe.status = HTTPStatus.NOT_FOUND
    with pytest.raises(CannotConnect, match="HTTP 404"):
        async with Starwake.connect(universe.url, token=GOOD):
            pass
    assert len(universe.upgrades) == 1


async def test_a_server_that_is_full_is_tried_again(universe: Universe) -> None:
    universe.status = HTTPStatus.SERVICE_UNAVAILABLE

    async def token() -> str:
        if len(universe.upgrades) == 2:
            universe.status = None
        return "good"

    async with Starwake.connect(universe.url, token_provider=token):
        assert len(universe.upgrades) == 3


async def test_a_provider_that_fails_at_first_is_told_to_the_caller(universe: Universe) -> None:
    async def token() -> str:
        raise LookupError("no such account")

    with pytest.raises(TokenUnavailable, match="no token: no such account") as caught:
        async with Starwake.connect(universe.url, token_provider=token):
            pass
    assert isinstance(caught.value.__cause__, LookupError)


async def test_all_that_waits_is_asked_for_page_by_page(universe: Universe) -> None:
    def page(number: int) -> Frame:
        order = {"id": str(number), "kind": "mine", "site": "luna-1", "duration_s": 60.0, "queued_at": timestamp()}
        return {"result": {"queued": [order], "next": number if number < 3 else None}}

    universe.handlers["build.queued"] = lambda frame: page(frame.get("args", {}).get("after", 0) + 1)
    async with Starwake.connect(universe.url, token=GOOD) as player:
        assert [order.id async for order in player.queued()] == ["1", "2", "3"]
        assert (await player.build_queued(after=1)).next == 2


async def test_results_are_typed(universe: Universe) -> None:
    started = build(kind="shipyard", site="io-3")
    universe.handlers["build.start"] = lambda _: {"result": {"build": started}}
    universe.handlers["build.cancel"] = lambda _: {"result": {"build": {**started, "state": "cancelled"}}}
    universe.handlers["catalogue.list"] = lambda _: {
        "result": {"kinds": [{"kind": "dock", "title": "Dock", "duration_s": 90, "colour": "a field of the future"}]}
    }
    async with Starwake.connect(universe.url, token=GOOD) as player:
        ordered = await player.build_start("shipyard", "io-3")
        assert (ordered.kind, ordered.site, ordered.state) == ("shipyard", "io-3", "building")
        assert (ordered.due_at - ordered.started_at).total_seconds() == pytest.approx(60, abs=0.1)
        assert (await player.build_cancel(ordered)).state == "cancelled"
        assert [kind.duration_s for kind in await player.catalogue()] == [90]
    assert universe.commands("build.cancel")[0]["args"] == {"build_id": ordered.id}


async def test_all_builds_are_walked_page_by_page(universe: Universe) -> None:
    pages = {None: (["c", "b"], "b"), "b": (["a"], None)}

    def listed(frame: Frame) -> Frame:
        sites, following = pages[frame.get("args", {}).get("after")]
        return {"result": {"builds": [build(site=site) for site in sites], "next": following}}

    universe.handlers["build.list"] = listed
    async with Starwake.connect(universe.url, token=GOOD) as player:
        assert [found.site async for found in player.builds()] == ["c", "b", "a"]


async def test_a_refusal_carries_its_code_and_the_session_goes_on(universe: Universe) -> None:
    universe.handlers["build.start"] = lambda _: {"error": {"code": "site_busy", "message": "luna-1 is busy"}}
    async with Starwake.connect(universe.url, token=GOOD) as player:
        with pytest.raises(Refused, match="luna-1 is busy") as caught:
            await player.build_start("dock", "luna-1")
        assert (caught.value.code, caught.value.command) == ("site_busy", "build.start")
        await player.time()


async def test_a_command_that_the_server_puts_off_is_sent_again_with_its_id(universe: Universe) -> None:
    def answer(_: Frame) -> Frame:
        if len(universe.commands("build.start")) == 1:
            return {"error": {"code": "unavailable", "message": "later"}}
        return {"result": {"build": build()}}

    universe.handlers["build.start"] = answer
    async with Starwake.connect(universe.url, token=GOOD) as player:
        await player.build_start("dock", "luna-1")
    first, second = universe.commands("build.start")
    assert first == second


async def test_commands_outstanding_over_a_break_are_sent_again_with_their_ids(universe: Universe) -> None:
    async with Starwake.connect(universe.url, token=GOOD) as player:
        waiting = asyncio.create_task(player.build_start("dock", "luna-1"))
        await eventually(lambda: len(universe.commands("build.start")) == 1)
        universe.handlers["build.start"] = lambda _: {"result": {"build": build()}}
        await universe.drop()
        assert (await waiting).kind == "dock"
    first, second = universe.commands("build.start")
    assert first == second


async def test_a_command_given_while_the_line_is_down_goes_out_when_it_is_back(universe: Universe) -> None:
    async with Starwake.connect(universe.url, token=GOOD) as player:
        universe.status = HTTPStatus.SERVICE_UNAVAILABLE
        await universe.drop()
        await eventually(lambda: not player.connected)
        waiting = asyncio.create_task(player.time())
        universe.status = None
        await waiting
        assert player.connected


async def test_no_answer_in_time_is_an_error_that_names_the_id(universe: Universe) -> None:
    async with Starwake.connect(universe.url, token=GOOD) as player:
        with pytest.raises(Unanswered) as caught:
            await player.command("build.start", {}, id="mine", timeout_s=0.05)
        assert caught.value.id == "mine"
        assert isinstance(caught.value, TimeoutError)


async def test_the_same_command_twice_under_one_id_is_sent_once_and_answered_twice(universe: Universe) -> None:
    universe.handlers["build.start"] = lambda _: {"result": {"build": build()}}
    async with Starwake.connect(universe.url, token=GOOD) as player:
        args = {"kind": "dock", "site": "luna-1"}
        both = await asyncio.gather(*(player.command("build.start", args, id="one") for _ in range(2)))
    assert both[0] == both[1]
    assert len(universe.commands("build.start")) == 1


@pytest.mark.parametrize("command_id", ["", "x" * 65])
async def test_an_id_that_is_none_is_not_sent(universe: Universe, command_id: str) -> None:
    async with Starwake.connect(universe.url, token=GOOD) as player:
        with pytest.raises(Unsendable):
            await player.command("time", id=command_id)
    assert not universe.commands("time")


async def test_a_frame_that_is_too_large_is_not_sent(universe: Universe) -> None:
    async with Starwake.connect(universe.url, token=GOOD) as player:
        with pytest.raises(Unsendable, match="65536"):
            await player.command("build.start", {"site": "x" * 65_536})
        assert player.connected


async def test_pushes_come_in_order_with_their_data(universe: Universe) -> None:
    async with Starwake.connect(universe.url, token=GOOD) as player:
        await universe.push("build.started", {"build": build(site="io-3")})
        await universe.push("dragons.inbound", {"remaining_s": 3}, feed="all")
        first, second = await take(player, 2)
    assert (first.event, first.feed, first.replayed) == ("build.started", "player", False)
    assert first.build is not None
    assert first.build.site == "io-3"
    assert (second.event, second.feed, second.build) == ("dragons.inbound", "all", None)


async def test_what_was_pushed_during_a_break_comes_after_it_once(universe: Universe) -> None:
    async with Starwake.connect(universe.url, token=GOOD) as player:
        await universe.push("a.one")
        assert [push.event for push in await take(player, 1)] == ["a.one"]
        await universe.drop()
        await universe.push("a.two")
        await universe.push("a.three", feed="all")
        back = await take(player, 2)
        assert [(push.event, push.replayed) for push in back] == [("a.two", True), ("a.three", True)]
        await universe.push("a.four")
        assert [push.event for push in await take(player, 1)] == ["a.four"]


async def test_a_hole_is_filled_by_a_resume(universe: Universe) -> None:
    async with Starwake.connect(universe.url, token=GOOD) as player:
        await universe.push("a.one")
        await universe.push("a.two", lost=True)
        await universe.push("a.three")
        assert [push.event for push in await take(player, 3)] == ["a.one", "a.two", "a.three"]


async def test_a_lost_last_push_is_noticed_by_the_pings(universe: Universe) -> None:
    async with Starwake.connect(universe.url, token=GOOD) as player:
        await universe.push("a.one", lost=True)
        await universe.ping()
        await universe.ping()
        assert [push.event for push in await take(player, 1)] == ["a.one"]


async def test_pushes_that_cannot_be_replayed_are_reported_not_passed_over(universe: Universe) -> None:
    async with Starwake.connect(universe.url, token=GOOD) as player:
        await universe.drop()
        universe.epoch = "e2"
        await universe.push("a.lost")
        with pytest.raises(PushesMissed):
            await take(player, 1)
        await universe.push("a.next")
        assert [push.event for push in await take(player, 1)] == ["a.next"]


async def test_notices_tell_of_the_line(universe: Universe) -> None:
    async with Starwake.connect(universe.url, token=GOOD) as player:
        first = await until_notice(player, Connected)
        assert isinstance(first, Connected)
        assert first.recovered is None
        await universe.close(4001, "draining", {"reconnect": True, "reconnect_after_ms": 7})
        down = await until_notice(player, Disconnected)
        assert down == Disconnected(code=4001, reason="draining", retry_in_s=0.007)
        again = await until_notice(player, Connected)
        assert isinstance(again, Connected)
        assert again.recovered is True
        await universe.drop()
        universe.epoch = "e2"
        await until_notice(player, Missed)


@pytest.mark.parametrize("code", [4001, 4005, 4008, 4010, 4012, 1001, 1012])
async def test_codes_that_ask_to_come_back_are_followed(universe: Universe, code: int) -> None:
    async with Starwake.connect(universe.url, token=GOOD) as player:
        await universe.close(code)
        await eventually(lambda: len(universe.sockets) == 1)
        await player.time()


@pytest.mark.parametrize("code", [4501, 4502, 4503, 4504, 1009])
async def test_codes_that_say_stop_end_commands_and_events(universe: Universe, code: int) -> None:
    async with Starwake.connect(universe.url, token=GOOD) as player:
        waiting = asyncio.create_task(player.command("never.answered"))
        await eventually(lambda: len(universe.commands("never.answered")) == 1)
        await universe.close(code, "enough")
        with pytest.raises(SessionEnded, match="enough") as caught:
            await waiting
        assert caught.value.code == code
        with pytest.raises(SessionEnded):
            await take(player, 1)
        with pytest.raises(SessionEnded):
            await player.time()
    assert len(universe.upgrades) == 1


async def test_pings_are_answered(universe: Universe) -> None:
    async with Starwake.connect(universe.url, token=GOOD):
        await universe.ping()
        await eventually(lambda: universe.commands("pong") == [{"command": "pong"}])


async def test_a_silent_line_is_given_up(universe: Universe) -> None:
    universe.ping_interval_s = 0.05
    async with Starwake.connect(universe.url, token=GOOD) as player:
        down = await until_notice(player, Disconnected)
        assert isinstance(down, Disconnected)
        assert down.reason == "no sign of life from the server"
        await eventually(lambda: len(universe.upgrades) > 1)


async def test_a_token_is_renewed_before_it_expires(universe: Universe) -> None:
    universe.token_life_s = 0.4
    universe.handlers["auth.refresh"] = lambda _: {"result": {"token_expires_at": "2100-01-01T00:00:00.000Z"}}
    given = iter(["good", "better"])

    async def token() -> str:
        return next(given)

    async with Starwake.connect(universe.url, token_provider=token) as player:
        await eventually(lambda: len(universe.commands("auth.refresh")) == 1)
        await player.time()
    assert universe.commands("auth.refresh")[0]["args"] == {"token": "better"}
    assert len(universe.upgrades) == 1


async def test_each_connection_asks_for_a_token(universe: Universe) -> None:
    given = iter(["good", "better"])

    async def token() -> str:
        return next(given)

    async with Starwake.connect(universe.url, token_provider=token) as player:
        universe.tokens = {"better"}
        await universe.close(4005, "token expired")
        await player.time()
    assert universe.upgrades[-1]["authorization"] == "Bearer better"


async def test_a_session_goes_on_where_another_stopped_handling(universe: Universe) -> None:
    async with Starwake.connect(universe.url, token=GOOD) as player:
        for name in ("a.one", "a.two", "a.three"):
            await universe.push(name)
        await take(player, 3)
        position = player.position
    async with Starwake.connect(universe.url, token=GOOD, resume=position) as player:
        # The third was handed out, but nobody asked for the next: it may not have been handled, and comes again.
        assert [push.event for push in await take(player, 1)] == ["a.three"]


async def test_whoever_does_not_listen_can_still_command_and_loses_nothing(universe: Universe) -> None:
    async with Starwake.connect(universe.url, token=GOOD, event_capacity=8) as player:
        for number in range(50):
            await universe.push(f"a.n{number}")
        await player.time()
        assert [push.event for push in await take(player, 50)] == [f"a.n{number}" for number in range(50)]


async def test_closing_ends_events_quietly_and_commands_with_an_error(universe: Universe) -> None:
    async with Starwake.connect(universe.url, token=GOOD) as player:
        waiting = asyncio.create_task(player.command("never.answered"))
        await eventually(lambda: len(universe.commands("never.answered")) == 1)
    with pytest.raises(SessionClosed):
        await waiting
    assert [push async for push in player.events()] == []


async def test_closing_leaves_no_task_behind(universe: Universe) -> None:
    async with Starwake.connect(universe.url, token=GOOD):
        await universe.drop()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("starwake-client")]


async def test_the_clock_runs_on_the_servers_time(universe: Universe) -> None:
    async with Starwake.connect(universe.url, token=GOOD) as player:
        server_time = await player.time()
        assert abs((player.now() - server_time).total_seconds()) < 0.1
        assert player.round_trip_s is not None


@pytest.mark.parametrize("url", ["ftp://x", "ws://", "localhost:8080", "ws://x/ws?token=t"])
async def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        async with Starwake.connect(url, token=GOOD):
            pass
