"""Commands: to the command service and back, and what the gateway says where nobody answers."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from starwake.bus.connection import Message
from starwake.contracts import frames
from starwake.contracts.commands import REFUSALS_HEADER
from starwake.contracts.reasons import ErrorCode
from tests.contract.gateway.conftest import Gateway, StartGateway
from tests.support.eventually import eventually


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


async def test_commands_are_answered_in_whatever_order_the_answers_come(
    gateway: Gateway, unique_player: Callable[[], str]
) -> None:
    player = unique_player()
    waiting: list[Message] = []
    await gateway.bus.subscribe(f"cmd.{player}.build.list", waiting.append)
    await gateway.bus.flush()
    ada = await gateway.connect(player)
    for command_id in ("first", "second"):
        await ada.send({"id": command_id, "command": "build.list"})
    await eventually(lambda: len(waiting) == 2)
    for request in reversed(waiting):
        gateway.bus.publish(request.reply, frames.result_body({}))
    assert [(await ada.frame())["id"] for _ in range(2)] == ["second", "first"]


async def test_a_refusal_is_passed_on_as_it_is(gateway: Gateway, unique_player: Callable[[], str]) -> None:
    player = unique_player()
    body = frames.error_body(ErrorCode.RATE_LIMITED, "no ★", 1500)
    await answer_with(gateway, f"cmd.{player}.build.start", body)
    ada = await gateway.connect(player)
    assert await ada.ask("build.start") == {
        "type": "error",
        "id": "c1",
        "command": "build.start",
        "error": {"code": "rate_limited", "message": "no ★", "retry_after_ms": 1500},
    }


@pytest.mark.parametrize("body", [b"", b"nonsense", b'{"result":', b"[]", b'"x"', b"\xff", b'{"other":1}'])
async def test_an_answer_that_is_none_is_internal(
    gateway: Gateway, unique_player: Callable[[], str], body: bytes
) -> None:
    player = unique_player()
    await answer_with(gateway, f"cmd.{player}.build.start", body)
    ada = await gateway.connect(player)
    assert (await ada.ask("build.start"))["error"]["code"] == "internal"
    assert (await ada.ask("time"))["type"] == "reply"


async def test_a_command_nobody_answers_in_time_is_unavailable_and_a_late_answer_harms_nobody(
    start_gateway: StartGateway, unique_player: Callable[[], str]
) -> None:
    gateway = await start_gateway(STARWAKE_COMMAND_TIMEOUT_S="0.3")
    player = unique_player()
    waiting: list[Message] = []
    await gateway.bus.subscribe(f"cmd.{player}.build.list", waiting.append)
    await gateway.bus.flush()
    ada = await gateway.connect(player)
    assert (await ada.ask("build.list"))["error"]["code"] == "unavailable"
    gateway.bus.publish(waiting[0].reply, frames.result_body({}))
    assert (await ada.ask("time", command_id="next"))["id"] == "next"


async def test_without_a_command_service_commands_are_unavailable(
    gateway: Gateway, unique_player: Callable[[], str]
) -> None:
    ada = await gateway.connect(unique_player())
    assert (await ada.ask("build.start"))["error"]["code"] == "unavailable"


async def test_with_a_command_service_that_does_not_know_it_a_command_is_unknown(
    gateway: Gateway, unique_player: Callable[[], str]
) -> None:
    player = unique_player()
    await answer_with(gateway, f"cmd.{player}.commands", frames.result_body({"commands": ["build.start"]}))
    ada = await gateway.connect(player)
    assert (await ada.ask("game.unknown"))["error"]["code"] == "unknown_command"
    assert (await ada.ask("nonsense"))["error"]["code"] == "unknown_command"
    # Known to the service, but nobody answers it at the moment.
    assert (await ada.ask("build.start"))["error"]["code"] == "unavailable"


async def test_time_and_pong_are_answered_by_the_gateway_itself(
    gateway: Gateway, unique_player: Callable[[], str]
) -> None:
    ada = await gateway.connect(unique_player())
    for command in ("time", "pong"):
        told = datetime.fromisoformat((await ada.ask(command))["result"]["server_time"])
        assert abs((datetime.now(UTC) - told).total_seconds()) < 5


async def test_commands_are_counted_by_name_and_outcome(
    start_gateway: StartGateway, unique_player: Callable[[], str]
) -> None:
    gateway = await start_gateway()
    player = unique_player()
    await answer_with(gateway, f"cmd.{player}.build.list", frames.result_body({}))
    ada = await gateway.connect(player)
    await ada.ask("build.list")
    for number in range(5):
        await ada.ask(f"made.up{number}")
    await gateway.push(player)
    await ada.frame()
    counted = await gateway.process.metrics()
    assert counted['starwake_gateway_commands_total{command="build.list",outcome="ok"}'] == 1
    assert counted['starwake_gateway_commands_total{command="other",outcome="unavailable"}'] == 5
    assert counted["starwake_gateway_command_seconds_count"] == 6
    assert counted["starwake_gateway_connections"] == 1
    assert counted["starwake_gateway_pushes_total"] == 1
    assert counted["starwake_gateway_push_delay_seconds_count"] == 1


def asking_back(gateway: Gateway, requests: list[Message], refusals: int) -> Callable[[Message], None]:
    """A command service that has refused the order so often, and takes it from whoever knows."""

    def answer(request: Message) -> None:
        requests.append(request)
        if request.headers.get(REFUSALS_HEADER) == str(refusals):
            gateway.bus.publish(request.reply, frames.result_body({"build": {"id": "b1"}}))
        else:
            body = frames.error_body(ErrorCode.UNAVAILABLE, "refused meanwhile")
            gateway.bus.publish(request.reply, body, headers={REFUSALS_HEADER: str(refusals)})

    return answer


async def test_an_order_that_was_refused_before_is_confirmed_while_its_player_waits(
    gateway: Gateway, unique_player: Callable[[], str]
) -> None:
    player = unique_player()
    requests: list[Message] = []
    await gateway.bus.subscribe(f"cmd.{player}.build.start", asking_back(gateway, requests, 2))
    await gateway.bus.flush()
    ada = await gateway.connect(player)
    assert (await ada.ask("build.start"))["result"] == {"build": {"id": "b1"}}
    assert [request.headers.get(REFUSALS_HEADER) for request in requests] == [None, "2"]
    assert requests[0].payload == requests[1].payload


async def test_an_order_is_not_confirmed_once_its_player_was_answered_or_is_gone(
    gateway: Gateway, unique_player: Callable[[], str]
) -> None:
    player = unique_player()
    waiting: list[Message] = []
    await gateway.bus.subscribe(f"cmd.{player}.build.start", waiting.append)
    await gateway.bus.flush()
    ada = await gateway.connect(player)
    for command_id in ("again", "again", "gone"):
        await ada.send({"id": command_id, "command": "build.start"})
    await eventually(lambda: len(waiting) == 3)
    late: list[Message] = []
    ask_back = asking_back(gateway, late, 1)

    gateway.bus.publish(waiting[1].reply, frames.error_body(ErrorCode.SITE_BUSY, "busy"))
    assert (await ada.frame())["error"]["code"] == "site_busy"
    ask_back(waiting[0])
    assert (await ada.frame())["error"]["code"] == "unavailable", "the one before comes too late"

    await ada.connection.close()
    other = await gateway.connect(player)
    ask_back(waiting[2])
    await other.send({"id": "next", "command": "build.start"})
    await eventually(lambda: len(waiting) == 4)
    assert [json.loads(request.payload)["id"] for request in waiting] == ["again", "again", "gone", "next"]


async def answer_with(gateway: Gateway, subject: str, body: bytes) -> None:
    await gateway.bus.subscribe(subject, lambda request: gateway.bus.publish(request.reply, body))
    await gateway.bus.flush()
