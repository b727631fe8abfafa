"""What the service does with garbage and with hostile players: each gets an answer, and nothing else happens."""

import json
from typing import Any

import pytest

from starwake.bus.errors import NoResponders
from starwake.contracts import subjects
from starwake.contracts.ids import PlayerId
from tests.contract.command.universe import Refused, Universe
from tests.support.eventually import eventually

START = "build.start"
GOOD = {"kind": "dock", "site": "luna-1"}


def frame(**fields: object) -> bytes:
    return json.dumps({"id": "c1", "command": START, "args": GOOD, **fields}).encode()


GARBAGE = {
    "nothing": (b"", "bad_json"),
    "no json": (b"build me a dock", "bad_json"),
    "half a frame": (frame()[:-5], "bad_json"),
    "no utf-8": (b'{"command": "build.start", "id": "\xff", "args": {}}', "bad_json"),
    "a lone surrogate": (frame(args={"kind": "dock", "site": "\ud800"}), "bad_json"),
    "deeply nested": (b'{"command": "build.start", "id": "a", "args": ' + b"[" * 60_000, "bad_json"),
    "a list": (b"[1, 2]", "bad_request"),
    "another command": (frame(command="build.cancel"), "bad_request"),
    "no command": (b'{"id": "c1"}', "bad_request"),
    "no id": (frame(id=None), "bad_request"),
    "a numeric id": (frame(id=7), "bad_request"),
    "an endless id": (frame(id="x" * 65), "bad_request"),
    "an id with U+0000": (frame(id="\0"), "bad_request"),
    "no args": (frame(args={}), "bad_request"),
    "args of a wrong type": (frame(args={"kind": 1, "site": []}), "bad_request"),
    "a site with U+0000": (frame(args={"kind": "dock", "site": "a\0b"}), "bad_request"),
    "a site that is no text": (frame(args={"kind": "dock", "site": "\x1b[2J"}), "bad_request"),
    "an endless site": (frame(args={"kind": "dock", "site": "x" * 65}), "bad_request"),
    "a huge frame": (frame(args={**GOOD, "junk": "x" * 500_000}), "bad_request"),
    "a kind with U+0000": (frame(args={"kind": "a\0b", "site": "luna-1"}), "bad_request"),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_is_answered_with_an_error(universe: Universe, name: str) -> None:
    body, code = GARBAGE[name]
    with pytest.raises(Refused) as caught:
        await universe.send(subjects.command(universe.player, START), body)
    assert caught.value.code == code
    assert caught.value.headers["Nats-Service-Error-Code"] == code
    assert await universe.builds() == []


@pytest.mark.parametrize("name", ["nothing", "no json", "a list", "another command"])
@pytest.mark.parametrize("command", ["build.list", "build.queued", "catalogue.list", "build.cancel"])
async def test_every_command_stands_garbage(universe: Universe, command: str, name: str) -> None:
    body = GARBAGE[name][0].replace(b"build.cancel", b"build.start")
    with pytest.raises(Refused):
        await universe.send(subjects.command(universe.player, command), body)


@pytest.mark.parametrize(
    "args", [{"state": "ruined"}, {"limit": 0}, {"limit": 501}, {"limit": "ten"}, {"after": "x"}, {"after": "' OR 1=1"}]
)
async def test_a_listing_takes_only_what_makes_sense(universe: Universe, args: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        await universe.order("build.list", **args)
    assert caught.value.code == "bad_request"


@pytest.mark.parametrize("token", ["%", "%2e", "%61da", "%FF", "%00", "a b".replace(" ", "%20") + "%", "a" * 256])
async def test_a_subject_of_no_player_is_refused(universe: Universe, token: str) -> None:
    with pytest.raises(Refused) as caught:
        await universe.send(f"cmd.{token}.build.start", frame())
    assert caught.value.code == "bad_request"


@pytest.mark.parametrize("player", ["a.b", "*", ">", "a b", "é✦", "a\nb", "%2E", "x" * 255, "'; DROP TABLE build; --"])
async def test_whatever_characters_a_player_id_holds_it_is_a_player_of_its_own(universe: Universe, player: str) -> None:
    player = (player + universe.player)[-255:]
    build = await universe.start(player=player)
    assert (await universe.order("build.list", player=player))["builds"] == [build]
    (push,) = await eventually(lambda: universe.pushes(player))
    assert json.loads(push.body)["data"]["build"]["id"] == build["id"]
    await universe.order("build.cancel", player=player, build_id=build["id"])


async def test_players_who_look_alike_are_not_mixed_up(universe: Universe) -> None:
    names = [universe.player + suffix for suffix in ("", ".x", "%2Ex", "_x", "*", ".*")]
    builds = {name: await universe.start(player=name) for name in names}
    for name in names:
        assert [each["id"] for each in (await universe.order("build.list", player=name))["builds"]] == [
            builds[name]["id"]
        ]


async def test_unknown_commands_have_nobody_who_answers(universe: Universe) -> None:
    with pytest.raises(NoResponders):
        await universe.send(subjects.command(PlayerId("ada"), "build.destroy"), b"{}")


async def test_an_order_that_wants_no_answer_is_carried_out(universe: Universe) -> None:
    universe.bus.publish(subjects.command(universe.player, START), frame())
    await eventually(universe.builds)
    (build,) = await universe.builds()
    assert build["state"] == "building"


async def test_after_all_of_it_orders_go_on(universe: Universe) -> None:
    for body, _ in GARBAGE.values():
        universe.bus.publish(subjects.command(universe.player, START), body)
    assert (await universe.start())["state"] == "building"
