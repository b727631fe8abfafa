"""A gateway dies and comes back: whoever resumes hears of everything that happened meanwhile, once and in order."""

import asyncio
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.support.players import unique_player
from tests.support.stack import Stack

Frame = dict[str, Any]


async def frame(socket: ClientConnection, *wanted: str) -> Frame:
    """The next frame of one of these types."""
    async with asyncio.timeout(20):
        while True:
            each = json.loads(await socket.recv())
            if each["type"] in wanted:
                return each


async def order(socket: ClientConnection, kind: str, site: str) -> Frame:
    """Order a build; the build of the reply. Pushes that come first are put aside for nobody: sites are fresh."""
    await socket.send(
        json.dumps({"id": f"order-{site}", "command": "build.start", "args": {"kind": kind, "site": site}})
    )
    reply = await frame(socket, "reply", "error")
    assert reply["type"] == "reply", reply
    return reply["result"]["build"]


async def test_what_completed_while_the_gateway_was_dead_is_replayed_before_what_comes_next(stack: Stack) -> None:
    player = unique_player()
    headers = {"Authorization": f"Bearer {stack.token(player)}"}
    async with connect(stack.ws_url, additional_headers=headers, proxy=None) as socket:
        hello = await frame(socket, "hello")
        build = await order(socket, "beacon", "luna-1")  # a fifth of a second
        await stack.killed_and_back("gateway")

    # From the very beginning: what was heard on the dying socket comes again, as it must.
    position = {"epoch": hello["epoch"], "seq": hello["seq"], "all": hello["all"], "at": hello["server_time"]}
    async with connect(stack.ws_url, proxy=None) as socket:
        args = {"token": stack.token(player), "resume": position}
        await socket.send(json.dumps({"id": "1", "command": "auth", "args": args}))
        back = await frame(socket, "hello", "error")
        assert back["recovered"] is True
        started, completed = await frame(socket, "push"), await frame(socket, "push")
        assert [started["event"], completed["event"]] == ["build.started", "build.completed"]
        assert (started["prev"], completed["prev"]) == (hello["seq"], started["seq"])
        assert completed["data"]["build"]["id"] == build["id"]
        assert back["seq"] == completed["seq"]

        await order(socket, "beacon", "luna-2")
        live = await frame(socket, "push")
        while live["event"] != "build.completed":
            following = await frame(socket, "push")
            assert following["prev"] == live["seq"]
            live = following


async def test_two_tabs_of_one_player_stay_in_step_over_a_death_of_the_gateway(stack: Stack) -> None:
    player = unique_player()
    headers = {"Authorization": f"Bearer {stack.token(player)}"}
    async with connect(stack.ws_url, additional_headers=headers, proxy=None) as socket:
        hello = await frame(socket, "hello")
        for number in range(3):
            await order(socket, "beacon", f"mars-{number}")
    await stack.killed_and_back("gateway")
    headers["Starwake-Resume"] = json.dumps({name: hello[name] for name in ("epoch", "seq", "all")})
    async with (
        connect(stack.ws_url, additional_headers=headers, proxy=None) as one,
        connect(stack.ws_url, additional_headers=headers, proxy=None) as two,
    ):
        told: list[list[tuple[int, int]]] = []
        for tab in (one, two):
            assert (await frame(tab, "hello"))["recovered"] is True
            pushes = [await frame(tab, "push") for _ in range(6)]
            told.append([(push["prev"], push["seq"]) for push in pushes])
        assert told[0] == told[1]
        assert [prev for prev, _ in told[0]] == [hello["seq"], *(seq for _, seq in told[0][:-1])]
