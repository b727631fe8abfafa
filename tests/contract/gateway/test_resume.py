"""Where a position may be handed over, and where not: the first frame, the header, never later."""

from collections.abc import Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.contract.gateway.conftest import Gateway, Player

Names = Callable[[], str]


def standing(player: Player, **changes: object) -> dict[str, Any]:
    """The position that `hello` told, changed as asked."""
    return {"epoch": player.hello["epoch"], "seq": player.hello["seq"], "all": player.hello["all"], **changes}


async def authenticated(gateway: Gateway, player: str, resume: object, **headers: str) -> Player:
    """A socket whose first frame brings token and position; its hello is read."""
    socket = await gateway.open(**headers)
    await socket.send({"id": "1", "command": "auth", "args": {"token": gateway.token(player), "resume": resume}})
    socket.hello = await socket.frame()
    return socket


async def test_the_first_frame_brings_back_both_feeds_and_goes_on_live(gateway: Gateway, unique_player: Names) -> None:
    player = unique_player()
    before = await gateway.connect(player)
    await before.connection.close()
    missed = [await gateway.push(player, n=1), await gateway.push(None), await gateway.push(player, n=2)]
    back = await authenticated(gateway, player, standing(before))
    assert (back.hello["recovered"], back.hello["seq"], back.hello["all"]) == (True, missed[2], missed[1])
    assert [(await back.frame())["seq"] for _ in missed] == missed
    live = await gateway.push(player, n=3)
    push = await back.frame()
    assert (push["seq"], push["prev"]) == (live, missed[2])


async def test_commands_behind_the_first_frame_wait_for_hello_and_for_what_was_missed(
    gateway: Gateway, unique_player: Names
) -> None:
    player = unique_player()
    before = await gateway.connect(player)
    await gateway.push(player)
    back = await gateway.open()
    args = {"token": gateway.token(player), "resume": standing(before)}
    await back.send({"id": "1", "command": "auth", "args": args})
    await back.send({"id": "2", "command": "time"})
    assert [(await back.frame())["type"] for _ in range(3)] == ["hello", "push", "reply"]


@pytest.mark.parametrize("changes", [{"epoch": "another"}, {"seq": 1 << 40}, {"all": 1 << 40}])
async def test_a_position_in_the_first_frame_that_was_never_handed_out_is_not_recovered(
    gateway: Gateway, unique_player: Names, changes: dict[str, Any]
) -> None:
    player = unique_player()
    before = await gateway.connect(player)
    missed = await gateway.push(player)
    back = await authenticated(gateway, player, standing(before, **changes))
    assert (back.hello["recovered"], back.hello["seq"]) == (False, missed)
    assert (await back.ask("time"))["type"] == "reply", "nothing is replayed"


@pytest.mark.parametrize(
    "resume", [{}, {"epoch": "e"}, {"epoch": "e", "seq": -1}, {"epoch": 1, "seq": 1}, "e:1", [1], 7]
)
async def test_what_is_no_position_is_a_bad_request_and_the_token_may_come_again(
    gateway: Gateway, unique_player: Names, resume: object
) -> None:
    player = unique_player()
    socket = await authenticated(gateway, player, resume)
    assert socket.hello["error"]["code"] == "bad_request"
    await socket.send({"id": "2", "command": "auth", "args": {"token": gateway.token(player), "resume": None}})
    hello = await socket.frame()
    assert (hello["type"], hello["recovered"]) == ("hello", None)


async def test_what_is_no_position_in_the_header_is_refused_before_the_upgrade(
    gateway: Gateway, unique_player: Names
) -> None:
    headers = {"Authorization": f"Bearer {gateway.token(unique_player())}", "Starwake-Resume": '{"epoch": "e"}'}
    with pytest.raises(InvalidStatus) as refused:
        async with connect(gateway.url, additional_headers=headers, proxy=None):
            pass
    assert refused.value.response.status_code == 400


async def test_where_the_token_comes_in_the_first_frame_the_position_comes_there_too(
    gateway: Gateway, unique_player: Names
) -> None:
    player = unique_player()
    before = await gateway.connect(player)
    missed = await gateway.push(player)
    back = await authenticated(gateway, player, standing(before), **{"Starwake-Resume": '{"epoch":"e","seq":1}'})
    assert (back.hello["recovered"], back.hello["seq"]) == (True, missed), "the header's counts for the header's token"


async def test_a_live_session_takes_no_position(gateway: Gateway, unique_player: Names) -> None:
    player = unique_player()
    ada = await gateway.connect(player)
    await gateway.push(player)
    assert (await ada.frame())["type"] == "push"
    args = {"token": gateway.token(player, ttl_s=900), "resume": standing(ada)}
    for command in ("auth.refresh", "auth"):
        assert (await ada.ask(command, args))["error"]["code"] == "bad_request"
    refreshed = await ada.ask("auth.refresh", {"token": gateway.token(player, ttl_s=900), "resume": None})
    assert refreshed["result"]["token_expires_at"] > ada.hello["token_expires_at"]
    assert (await ada.ask("auth.refresh", args))["error"]["code"] == "bad_request", "not after a refresh either"
    await ada.send({"id": "last", "command": "time"})
    assert (await ada.frame())["id"] == "last", "nothing was replayed"
