"""`feed.list`: what a feed still keeps, for whoever comes late or from another device."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.gateway.conftest import Gateway
from tests.support.eventually import eventually

Names = Callable[[], str]


async def test_a_late_sign_in_reads_what_was_pushed_before_as_the_frames_that_were_sent(
    gateway: Gateway, unique_player: Names
) -> None:
    player = unique_player()
    early = await gateway.connect(player)
    seqs = [await gateway.push(player, n=n) for n in range(5)]
    sent = [await early.frame() for _ in seqs]
    late = await gateway.connect(player)
    result = (await late.ask("feed.list"))["result"]
    assert result["next"] is None
    assert result["pushes"][1:] == sent[1:]
    assert result["pushes"][0] == {**sent[0], "prev": 0}


async def test_pages_go_back_to_the_oldest_each_with_the_oldest_first(gateway: Gateway, unique_player: Names) -> None:
    player = unique_player()
    seqs = [await gateway.push(player, n=n) for n in range(7)]
    ada = await gateway.connect(player)
    pages: list[list[int]] = []
    args: dict[str, Any] = {"limit": 3}
    while True:
        result = (await ada.ask("feed.list", args))["result"]
        pages.append([push["seq"] for push in result["pushes"]])
        if result["next"] is None:
            break
        args["before"] = result["next"]
    assert pages == [seqs[4:], seqs[1:4], seqs[:1]]


async def test_everybodys_feed_is_listed_to_everybody(gateway: Gateway, unique_player: Names) -> None:
    seq = await gateway.push(None, n=1)
    ada = await gateway.connect(unique_player())

    async def newest() -> dict[str, Any] | None:
        pushes = (await ada.ask("feed.list", {"feed": "all"}))["result"]["pushes"]
        return next((push for push in pushes if push["seq"] == seq), None)

    push = await eventually(newest)
    assert push is not None
    assert (push["type"], push["feed"], push["data"]) == ("push", "all", {"n": 1})


async def test_a_feed_without_pushes_is_an_empty_page(gateway: Gateway, unique_player: Names) -> None:
    ada = await gateway.connect(unique_player())
    assert (await ada.ask("feed.list"))["result"] == {"pushes": [], "next": None}


async def test_nobody_reads_another_players_feed(gateway: Gateway, unique_player: Names) -> None:
    await gateway.push(unique_player())
    ada = await gateway.connect(unique_player())
    assert (await ada.ask("feed.list", {"feed": "player", "player": "ada"}))["result"]["pushes"] == []


async def test_a_page_is_bounded_in_bytes_too(gateway: Gateway, unique_player: Names) -> None:
    player = unique_player()
    seqs = [await gateway.push(player, text="x" * 60_000) for _ in range(10)]
    ada = await gateway.connect(player)
    result = (await ada.ask("feed.list"))["result"]
    assert [push["seq"] for push in result["pushes"]] == seqs[-4:]
    assert result["next"] == seqs[-4]


@pytest.mark.parametrize("args", [{"limit": 0}, {"limit": 257}, {"feed": "bob"}, {"before": 0}, {"before": "x"}, [1]])
async def test_what_is_no_page_is_a_bad_request(gateway: Gateway, unique_player: Names, args: object) -> None:
    ada = await gateway.connect(unique_player())
    assert (await ada.ask("feed.list", args))["error"]["code"] == "bad_request"


async def test_a_player_has_two_pages_under_way_and_what_goes_beyond_is_told_to_wait(
    gateway: Gateway, unique_player: Names
) -> None:
    player = unique_player()
    for _ in range(20):
        await gateway.push(player, text="x" * 50_000)
    ada = await gateway.connect(player)
    for number in range(40):
        await ada.send({"id": f"p{number}", "command": "feed.list"})
    answers = [await ada.frame() for _ in range(40)]
    refused = [answer["error"] for answer in answers if answer["type"] == "error"]
    assert refused
    assert {error["code"] for error in refused} == {"rate_limited"}
    assert all(error["retry_after_ms"] > 0 for error in refused)
    assert (await ada.ask("feed.list", {"limit": 1}))["type"] == "reply", "and afterwards it is served again"
