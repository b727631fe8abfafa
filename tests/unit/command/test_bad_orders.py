"""What a game's own code does wrong costs its own order: the rest of the batch is judged as if it were not there."""

import sys
from asyncio import CancelledError
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec
import pytest

from starwake.contracts.batches import Busy, Loaded, PlayerRows
from starwake.contracts.builds import BuildRecord, BuildState, FollowUp
from starwake.contracts.commands import BuildStart
from starwake.contracts.ids import BuildId, CommandId, PlayerId
from starwake.contracts.reasons import ErrorCode, Refusal
from starwake.game import Order, Outcome, Player, order
from starwake.game.built_in import BUILT_IN
from starwake.game.decide import Decision, ask_of, decide
from starwake.game.requests import OrderParser, Request
from starwake.game.rules import Transition, World
from tests.unit.command.rows import ADA, NOW, building, catalogue, world

SITE = "luna-1"


def changed(me: Player, /, **fields: object) -> Outcome:
    """A start whose build is not as it should be."""
    (started,) = me.start("dock", SITE).transitions
    return Outcome({}, (started._replace(build=msgspec.structs.replace(started.build, **fields)),))


def telling(*follow_ups: object) -> Callable[[Player], Outcome]:
    return lambda player: player.start("dock", SITE, cast("Any", follow_ups))


def raising(error: BaseException) -> Callable[[Player], Outcome]:
    def rule(_player: Player) -> Outcome:
        raise error

    return rule


def meddling(player: Player) -> Outcome:
    player.apply(player.start("dock", SITE))
    player.now = datetime.max.replace(tzinfo=UTC)
    player.id = PlayerId("eve")
    player.trace = "none"
    raise ValueError


def deep() -> dict[str, Any]:
    data: dict[str, Any] = {}
    for _ in range(sys.getrecursionlimit() + 10):
        data = {"a": data}
    return data


BAD: dict[str, Callable[[Player], Any]] = {
    "any exception": raising(ZeroDivisionError()),
    "the end of the process": raising(SystemExit()),
    "a cancellation": raising(CancelledError()),
    "a refusal with an unknown code": raising(Refusal(cast("ErrorCode", "out_of_luck"), "no")),
    "a refusal with no code": raising(Refusal(cast("ErrorCode", None), "no")),
    "a refusal whose message is no text": raising(Refusal(ErrorCode.FORBIDDEN, cast("str", {"why": object()}))),
    "a refusal whose message is no Unicode": raising(Refusal(ErrorCode.FORBIDDEN, "\ud800")),
    "a refusal whose message has no end": raising(Refusal(ErrorCode.FORBIDDEN, "x" * 2_000_000)),
    "a refusal with another's time to wait": raising(
        Refusal(ErrorCode.FORBIDDEN, "no", retry_after_ms=cast("int", object()))
    ),
    "nothing": lambda _player: None,
    "a build instead of an outcome": lambda player: player.start("dock", SITE).transitions[0].build,
    "a result that cannot be encoded": lambda player: Outcome({"x": object()}, player.start("dock", SITE).transitions),
    "a result that no message of the bus holds": lambda player: Outcome(
        {"x": "y" * 1_100_000}, player.start("dock", SITE).transitions
    ),
    "a result that is no object": lambda _player: Outcome(cast("Any", [1])),
    "transitions that are none": lambda player: Outcome({}, (cast("Any", player.start("dock", SITE)),)),
    "transitions that cannot be counted": lambda _player: Outcome({}, cast("Any", 7)),
    "a follow-up that cannot be encoded": telling(FollowUp("a.b", {"x": object()})),
    "a follow-up that is none": telling({"event": "a.b"}),
    "a follow-up without a name": telling(FollowUp(cast("str", None), {})),
    "a follow-up whose data is no object": telling(FollowUp("a.b", cast("Any", [1]))),
    "a follow-up with U+0000": telling(FollowUp("a.b", {"x": "a\0b"})),
    "a follow-up with half a character": telling(FollowUp("a.b", {"x": "\ud800"})),
    "a follow-up of no depth": telling(FollowUp("a.b", deep())),
    "a completion that returns nothing": lambda player: player.start("probe", SITE),
    "an id that is none": lambda player: changed(player, id="x"),
    "a site that is none": lambda player: changed(player, site=7),
    "a site with U+0000": lambda player: changed(player, site="a\0b"),
    "a site with a separator": lambda player: changed(player, site="a\x1fb"),
    "a kind with a separator": lambda player: changed(player, kind="a\x1fb"),
    "another player's build": lambda player: changed(player, player="eve"),
    "a state that is none": lambda player: changed(player, state="ruined"),
    "a build that begins complete": lambda player: changed(player, state=BuildState.COMPLETED),
    "a build that ends before it begins": lambda player: changed(player, due_at=NOW - timedelta(days=1)),
    "a build without an end": lambda player: changed(player, due_at=None),
    "a time without an offset": lambda player: changed(player, due_at=NOW.replace(tzinfo=None)),
    "the end of the calendar": lambda player: changed(player, due_at=datetime.max.replace(tzinfo=UTC)),
    "a revision that no column holds": lambda player: changed(player, revision=2**40),
    "a revision below the first": lambda player: changed(player, revision=0),
    "a change of a build that nobody read": lambda player: changed(player, revision=2),
    "an event that is none": lambda player: Outcome(
        {}, (player.start("dock", SITE).transitions[0]._replace(event="Not A Name"),)
    ),
    "a moment that is none": lambda player: Outcome(
        {}, (player.start("dock", SITE).transitions[0]._replace(at=cast("Any", "now")),)
    ),
    "two builds on one site": lambda player: Outcome(
        {}, (*player.start("dock", SITE).transitions, *player.start("dock", SITE).transitions)
    ),
    "the same change twice": lambda player: Outcome({}, 2 * player.cancel(building().id).transitions),
    "a build on a busy site": lambda _player: Outcome(
        {}, (Transition(building("00000000-0000-7000-8000-00000000000b", site="io"), "build.started", NOW),)
    ),
    "an order withdrawn that never waited": lambda player: Outcome(
        {}, unqueued=player.queue("dock", "io").queued
    ),
    "an order queued behind nothing": lambda player: Outcome({}, queued=player.queue("dock", "io").queued * 2),
    "a question about a kind that it did not name": lambda player: player.start("dock", SITE)
    if player.stands("observatory")
    else Outcome({}),
    "what meddles with the player": meddling,
}  # fmt: skip


def _nothing(_build: BuildRecord) -> Any:  # noqa: ANN401 - it breaks the contract
    return None


def judged(rule: Callable[[Player], Any]) -> tuple[Decision, list[Exception], World]:
    """The bad order amid those of its own player and another's."""

    @order("bad.luck", queue=True)
    def bad(_args: BuildStart, player: Player) -> Outcome:
        return cast("Outcome", rule(player))

    parser = OrderParser({**BUILT_IN, "bad.luck": bad})

    def request(command: str, command_id: str, player: str, **args: object) -> Request:
        frame = {"id": command_id, "command": command, "args": args}
        return parser.parse(f"cmd.{player}.{command}", msgspec.json.encode(frame))

    running = building(site="io")
    game = world(catalogue(), {"probe": _nothing})
    rows = PlayerRows(builds=1, busy={"io": Busy("dock")}, by_id={running.id: running})
    failures: list[Exception] = []
    decision = decide(
        [
            request("build.start", "a", "ada", kind="dock", site="mars"),
            request("bad.luck", "b", "ada", kind="dock", site=SITE),
            request("build.start", "c", "ada", kind="dock", site=SITE),
            request("build.start", "d", "bob", kind="dock", site=SITE),
            request("build.cancel", "e", "ada", build_id=running.id),
        ],
        Loaded(NOW, {}, {ADA: rows, PlayerId("bob"): PlayerRows()}),
        game,
        lambda _, error: failures.append(error),
    )
    return decision, failures, game


@pytest.mark.parametrize("name", BAD)
def test_a_bad_order_is_answered_internal_and_leaves_no_trace_in_its_batch(name: str) -> None:
    decision, failures, _ = judged(BAD[name])
    outcomes = [answer.outcome for answer in decision.answers]
    assert outcomes == ["accepted", "internal", "accepted", "accepted", "accepted"]
    assert len(failures) == 1
    writes = decision.writes
    assert sorted(entry.command_id for entry in writes.inbox) == ["a", "c", "d", "e"]
    assert writes.refusals == {(ADA, CommandId("b")): 1}
    assert sorted((build.player, build.site) for build in writes.started.values()) == [
        ("ada", SITE),
        ("ada", "mars"),
        ("bob", SITE),
    ]
    assert {build.due_at for build in writes.started.values()} == {NOW + timedelta(hours=1)}
    assert [build.revision for build in writes.changed.values()] == [2]
    assert len(writes.outbox) == 4
    assert not writes.queued
    assert not writes.unqueued
    assert len(decision.alarms()) == 3


@pytest.mark.parametrize("build_id", ["x", "", "\0", building().id + "\n", building().id.upper(), 7])
def test_an_argument_that_is_no_builds_id_is_not_looked_up(build_id: object) -> None:
    class _Aim(msgspec.Struct):
        build_id: Any
        site: Any = 7

    declared = Order("a.b", _Aim, lambda _args, player: player.cancel("x"))
    ask = ask_of(Request(ADA, CommandId("a"), declared, _Aim(build_id), b""), world())
    assert ask.build_id is None
    assert ask.site is None
    assert BuildId(building().id) == ask_of(
        Request(ADA, CommandId("a"), declared, _Aim(building().id), b""), world()
    ).build_id  # fmt: skip
