"""Batches of orders, judged by what was loaded for them."""

import copy
import json

import msgspec

from starwake.contracts.batches import Ask, Busy, Loaded, PlayerRows, Writes
from starwake.contracts.builds import BuildState
from starwake.contracts.commands import REFUSALS_HEADER, BuildStart
from starwake.contracts.ids import CommandId, PlayerId
from starwake.game import Order, Outcome, Player, order
from starwake.game.built_in import BUILT_IN
from starwake.game.catalogue import Kind
from starwake.game.decide import ask_of, decide
from starwake.game.requests import OrderParser, Request
from starwake.game.rules import World
from tests.unit.command.rows import ADA, NOW, building, catalogue, world

PARSER = OrderParser(BUILT_IN)
A_ONCE = {(ADA, CommandId("a")): 1}


def request(
    command: str, command_id: str, player: str = "ada", parser: OrderParser = PARSER, **args: object
) -> Request:
    frame = {"id": command_id, "command": command, "args": args}
    return parser.parse(f"cmd.{player}.{command}", json.dumps(frame).encode())


def loaded(**players: PlayerRows) -> Loaded:
    return Loaded(NOW, {}, {PlayerId(name): rows for name, rows in players.items()})


def never(_request: Request, error: Exception) -> None:
    raise error


def start(command_id: str, site: str, player: str = "ada") -> Request:
    return request("build.start", command_id, player, kind="dock", site=site)


def test_of_two_orders_for_one_site_the_first_wins() -> None:
    decision = decide([start("a", "luna"), start("b", "luna")], loaded(ada=PlayerRows()), world(), never)
    assert [answer.outcome for answer in decision.answers] == ["accepted", "site_busy"]
    assert len(decision.writes.started) == len(decision.writes.inbox) == len(decision.writes.outbox) == 1


def test_players_do_not_get_in_each_others_way() -> None:
    decision = decide(
        [start("a", "luna"), start("a", "luna", "bob")], loaded(ada=PlayerRows(), bob=PlayerRows()), world(), never
    )
    assert [answer.outcome for answer in decision.answers] == ["accepted", "accepted"]
    assert {told.notification.player for told in decision.writes.outbox} == {"ada", "bob"}


def test_the_same_id_twice_in_a_batch_is_carried_out_once_and_answered_alike() -> None:
    decision = decide([start("a", "luna"), start("a", "luna")], loaded(ada=PlayerRows()), world(), never)
    assert [answer.outcome for answer in decision.answers] == ["accepted", "repeated"]
    assert decision.answers[0].body == decision.answers[1].body
    assert len(decision.writes.started) == 1


def test_the_same_id_with_other_arguments_is_refused_within_a_batch_too() -> None:
    decision = decide([start("a", "luna"), start("a", "mars")], loaded(ada=PlayerRows()), world(), never)
    assert [answer.outcome for answer in decision.answers] == ["accepted", "id_reused"]


def busy_luna() -> Loaded:
    return loaded(ada=PlayerRows(builds=1, busy={"luna": Busy("dock")}))


def test_a_refused_order_leaves_nothing_but_the_count_of_its_refusals() -> None:
    decision = decide([start("a", "luna")], busy_luna(), world(), never)
    assert decision.writes == Writes(refusals=A_ONCE)
    assert not decision.writes.is_empty
    assert not decision.alarms()


def test_an_order_that_was_refused_is_judged_only_where_its_sender_knows_of_all_refusals() -> None:
    known = loaded(ada=PlayerRows())
    known.refusals |= A_ONCE
    late, knowing, ahead = start("a", "luna"), start("a", "luna"), start("a", "luna")
    knowing.refusals, ahead.refusals = 1, 2
    decision = decide([late, ahead, knowing, late], known, world(), never)
    assert [answer.outcome for answer in decision.answers] == ["asked_back", "asked_back", "accepted", "repeated"]
    for answer in decision.answers[:2]:
        assert json.loads(answer.body)["error"]["code"] == "unavailable", "whoever does not understand tries again"
        assert answer.headers == {REFUSALS_HEADER: "1"}
    assert len(decision.writes.started) == 1


def test_an_order_that_is_refused_again_has_to_be_known_as_refused_twice() -> None:
    known = busy_luna()
    known.refusals |= A_ONCE
    again = start("a", "luna")
    again.refusals = 1
    decision = decide([again, again], known, world(), never)
    assert [answer.outcome for answer in decision.answers] == ["site_busy", "asked_back"]
    assert decision.writes.refusals == {key: times + 1 for key, times in A_ONCE.items()}


def test_an_order_that_was_carried_out_is_answered_alike_whatever_its_sender_knows_of_refusals() -> None:
    known = loaded(ada=PlayerRows())
    first = start("a", "luna")
    decide([first], known, world(), never)
    first.refusals = 3
    (answer,) = decide([first], known, world(), never).answers
    assert answer.outcome == "repeated"


def test_a_build_that_changes_twice_in_a_batch_is_written_once_and_told_twice() -> None:
    running = building()
    rows = PlayerRows(builds=1, busy={"luna-1": Busy("dock")}, by_id={running.id: running})
    decision = decide(
        [
            request("build.reschedule", "a", build_id=running.id, factor=0.9),
            request("build.cancel", "b", build_id=running.id),
        ],
        loaded(ada=rows),
        world(),
        never,
    )
    (changed,) = decision.writes.changed.values()
    assert (changed.state, changed.revision, decision.writes.expected) == (BuildState.CANCELLED, 3, {running.id: 1})
    told_ids = [told.notification.message_id.partition("~")[0] for told in decision.writes.outbox]
    assert told_ids == [
        f"{running.id}.2",
        f"{running.id}.3",
    ]
    assert not decision.alarms()
    assert [key.revision for key in decision.outdated()] == [1]


def test_a_push_belongs_to_the_trace_of_the_order_that_caused_it_which_follows_from_the_builds_own() -> None:
    running = msgspec.structs.replace(building(), trace="00-first-01")
    rows = PlayerRows(builds=1, busy={"luna-1": Busy("dock")}, by_id={running.id: running})
    cancel = request("build.cancel", "b", build_id=running.id)
    for trace, follows in (("00-second-01", ("00-first-01",)), (None, ())):
        cancel.trace = trace
        decision = decide([cancel], loaded(ada=copy.deepcopy(rows)), world(), never)
        assert [told.notification.trace for told in decision.writes.outbox] == [trace]
        assert [answer.follows for answer in decision.answers] == [follows]


def test_an_accepted_build_gets_its_alarm() -> None:
    decision = decide([start("a", "luna")], loaded(ada=PlayerRows()), world(), never)
    (alarm,) = decision.alarms()
    (build,) = decision.writes.started.values()
    assert (alarm.key.id, alarm.key.revision, alarm.due_at) == (build.id, 1, build.due_at)


def test_a_rule_that_breaks_fails_its_own_order_only() -> None:
    @order("bad.luck")
    def broken(_args: BuildStart, _player: Player) -> Outcome:
        raise ZeroDivisionError

    parser = OrderParser({**BUILT_IN, "bad.luck": broken})
    failures: list[Exception] = []
    decision = decide(
        [request("bad.luck", "a", parser=parser, kind="dock", site="x"), start("b", "luna")],
        loaded(ada=PlayerRows()),
        world(),
        lambda _, error: failures.append(error),
    )
    assert [answer.outcome for answer in decision.answers] == ["internal", "accepted"]
    assert [type(failure) for failure in failures] == [ZeroDivisionError]


def test_the_trace_of_the_order_is_kept_in_its_row() -> None:
    traced = start("a", "luna")
    traced.trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    decision = decide([traced, start("b", "mars")], loaded(ada=PlayerRows()), world(), never)
    assert [build.trace for build in decision.writes.started.values()] == [traced.trace, None]


def test_only_what_an_order_needs_is_asked_for() -> None:
    game = world()
    assert ask_of(start("a", "luna"), game) == Ask(ADA, CommandId("a"), "luna", None, (), False)
    observatory = request("build.queue", "a", kind="observatory", site="luna")
    assert ask_of(observatory, game) == Ask(ADA, CommandId("a"), "luna", None, ("dock",), True)
    cancel = request("build.cancel", "a", build_id=building().id)
    assert ask_of(cancel, game) == Ask(ADA, CommandId("a"), None, building().id, (), True)


def test_an_orders_own_kind_is_asked_for_although_no_argument_names_it() -> None:
    class _Nothing(BuildStart, frozen=True):
        pass

    declared = Order("a.b", _Nothing, lambda _args, player: player.start("observatory", "x"), kind="observatory")
    probe = Request(ADA, CommandId("a"), declared, _Nothing("dock", "luna"), b"")
    game = World(catalogue(), {}, str)
    assert ask_of(probe, game).kinds == ("dock",)
    assert isinstance(game.catalogue.get("observatory"), Kind)
