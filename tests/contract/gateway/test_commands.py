from collections.abc import Callable

from libs.bus.connection import Message
from libs.contracts import frames
from tests.contract.gateway.conftest import Gateway


async def test_a_command_goes_to_the_players_subject_as_it_came_and_its_answer_comes_back(
    gateway: Gateway, unique_player: Callable[[], str]
) -> None:
    player = unique_player()
    requests: list[Message] = []

    def answer(request: Message) -> None:
        requests.append(request)
        gateway.bus.publish(request.reply, frames.result_body({"build": {"id": "b1"}}))

    await gateway.bus.subscribe(f"cmd.{player}.build.start", answer)
    await gateway.bus.flush()
    ada = await gateway.connect(player)
    frame = '{"id": "c1", "command": "build.start",  "args": {"kind": "shipyard", "site": "luna-1"}}'
    await ada.send(frame)

    assert await ada.frame() == {
        "type": "reply",
        "id": "c1",
        "command": "build.start",
        "result": {"build": {"id": "b1"}},
    }
    assert [request.payload for request in requests] == [frame.encode()]


async def test_a_push_reaches_every_socket_of_its_player_and_nobody_else(
    gateway: Gateway, unique_player: Callable[[], str]
) -> None:
    player, other = unique_player(), unique_player()
    first, second, stranger = await gateway.connect(player), await gateway.connect(player), await gateway.connect(other)
    seq = await gateway.push(player, answer=42)
    await gateway.push(other, hello="stranger")

    expected = {
        "type": "push",
        "seq": seq,
        "prev": 0,
        "event": "test.happened",
        "at": "2026-11-22T10:00:00.000Z",
        "data": {"answer": 42},
    }
    assert await first.frame() == expected
    assert await second.frame() == expected
    assert (await stranger.frame())["data"] == {"hello": "stranger"}


async def test_a_resume_replays_what_was_missed_and_goes_on_live(
    gateway: Gateway, unique_player: Callable[[], str]
) -> None:
    player = unique_player()
    ada = await gateway.connect(player)
    seen = await gateway.push(player, n=1)
    await ada.frame()
    await ada.connection.close()
    missed = [await gateway.push(player, n=n) for n in (2, 3)]

    position = {"epoch": ada.hello["epoch"], "seq": seen, "all": ada.hello["all"], "at": ada.hello["server_time"]}
    back = await gateway.connect(player, resume=position)
    live = await gateway.push(player, n=4)

    assert back.hello["recovered"] is True
    assert back.hello["seq"] == missed[-1]
    got = [await back.frame() for _ in range(3)]
    assert [(frame["seq"], frame["prev"]) for frame in got] == [
        (missed[0], seen),
        (missed[1], missed[0]),
        (live, missed[1]),
    ]
