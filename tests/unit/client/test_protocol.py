"""The client's decisions, without any I/O: times are arguments, and the dice are loaded."""

import json
from typing import Any, Literal, TypedDict, Unpack

import pytest

from libs.client.backoff import Dice
from libs.client.effects import Answered, Deliver, Effect, FetchToken, Hangup, Reopen, Send, Stop
from libs.client.errors import NotAuthenticated, SessionEnded
from libs.client.protocol import Phase, Protocol
from libs.client.values import Connected, Disconnected, Missed, Push
from libs.contracts.frames import Position

SERVER_TIME = "2026-11-22T10:00:00.000Z"


def hello(**changes: object) -> str:
    frame: dict[str, object] = {
        "type": "hello",
        "player": "ada",
        "session": "s1",
        "server_time": SERVER_TIME,
        "epoch": "e1",
        "seq": 10,
        "all": 3,
        "recovered": None,
        "token_expires_at": "2026-11-22T11:00:00.000Z",
        "ping_interval_s": 25,
        "limits": {"max_frame_bytes": 65536, "commands_per_s": 10, "burst": 20},
    }
    return json.dumps({**frame, **changes})


def push(seq: int, prev: int, **changes: object) -> str:
    frame = {"type": "push", "seq": seq, "prev": prev, "event": "a.b", "at": "2026-11-22T10:00:05.000Z"}
    return json.dumps({**frame, **changes})


def ping(seq: int, all_seq: int) -> str:
    return json.dumps({"type": "ping", "seq": seq, "all": all_seq, "server_time": "2026-11-22T10:00:50.000Z"})


def least(low: float, high: float) -> float:
    del high
    return low


class Options(TypedDict, total=False):
    dice: Dice
    position: Position
    auth: Literal["header", "frame"]
    renews: bool
    capacity: int


def protocol(**options: Unpack[Options]) -> Protocol:
    options.setdefault("dice", least)
    return Protocol(**options)


def live(now: float = 0, greeting: str | None = None, **options: Unpack[Options]) -> Protocol:
    one = protocol(**options)
    one.opened("t", now)
    one.received(greeting or hello(), now)
    return one


def delivered(effects: list[Effect]) -> list[object]:
    return [effect.item for effect in effects if isinstance(effect, Deliver)]


def sent(effects: list[Effect]) -> list[dict[str, Any]]:
    return [json.loads(effect.text) for effect in effects if isinstance(effect, Send)]


def seqs(effects: list[Effect]) -> list[int]:
    return [item.seq for item in delivered(effects) if isinstance(item, Push)]


class TestOpening:
    def test_a_first_connection_asks_for_no_resume(self) -> None:
        assert protocol().headers("t") == {"Authorization": "Bearer t"}

    def test_a_position_is_handed_over_in_full_as_ascii(self) -> None:
        headers = protocol(position=Position("é", 5)).headers("t")
        assert headers["Starwake-Resume"].isascii()
        assert json.loads(headers["Starwake-Resume"]) == {"epoch": "é", "seq": 5, "all": 0}

    def test_in_the_first_frame_token_and_resume_travel_together(self) -> None:
        one = protocol(auth="frame", position=Position("e1", 5, 2, SERVER_TIME))
        assert one.headers("t") == {}
        (frame,) = sent(one.opened("t", 0))
        assert frame["command"] == "auth"
        assert frame["args"] == {"token": "t", "resume": {"epoch": "e1", "seq": 5, "all": 2, "at": SERVER_TIME}}

    def test_a_server_that_never_greets_is_given_up_after_ten_seconds(self) -> None:
        one = protocol()
        one.opened("t", 100)
        assert one.wakeup(100) == 110
        assert one.timer(110) == [Hangup("no sign of life from the server", polite=False)]

    def test_hello_is_told_once(self) -> None:
        one = protocol()
        one.opened("t", 0)
        greeted = one.received(hello(), 0)
        assert delivered(greeted) == [Connected(player="ada", session="s1", recovered=None)]
        assert one.received(hello(seq=99), 0) == []


class TestFeeds:
    def test_the_position_begins_at_hello_and_is_moved_by_each_push(self) -> None:
        one = live()
        assert one.position == Position("e1", 10, 3, SERVER_TIME)
        one.received(push(12, 10), 1)
        one.received(push(4, 3, feed="all"), 1)
        assert one.position == Position("e1", 12, 4, "2026-11-22T10:00:05.000Z")

    def test_a_push_that_was_seen_is_dropped(self) -> None:
        one = live()
        assert seqs(one.received(push(12, 10), 1)) == [12]
        assert one.received(push(12, 10), 1) == []
        assert one.received(push(9, 0), 1) == []

    def test_a_prev_of_zero_is_no_hole(self) -> None:
        assert seqs(live().received(push(400, 0), 1)) == [400]

    def test_feeds_are_chains_of_their_own(self) -> None:
        one = live()
        assert seqs(one.received(push(11, 3, feed="all"), 1)) == [11]
        assert seqs(one.received(push(12, 10), 1)) == [12]

    def test_a_hole_makes_it_hang_up_and_resume_at_once_from_before_the_hole(self) -> None:
        one = live()
        assert one.received(push(14, 12), 1) == [Hangup("a push is missing", polite=True)]
        assert one.received(push(15, 14), 1) == [], "what comes while hanging up comes again by the resume"
        effects = one.disconnected(1000, "", 1)
        assert effects[-1] == Reopen(0.0)
        assert one.position is not None
        assert one.position.seq == 10

    def test_a_hole_that_a_resume_did_not_fill_is_reported_and_passed(self) -> None:
        one = live()
        one.received(push(14, 12), 1)
        one.disconnected(1000, "", 1)
        one.opened("t", 1)
        one.received(hello(seq=14, recovered=True), 1)
        effects = one.received(push(14, 12), 1)
        assert isinstance(delivered(effects)[0], Missed)
        assert seqs(effects) == [14]
        assert one.phase is Phase.LIVE

    def test_after_a_recovery_the_position_waits_for_the_replay(self) -> None:
        one = live(greeting=hello(seq=14, all=3, recovered=True), position=Position("e1", 10, 3, SERVER_TIME))
        assert one.position is not None
        assert (one.position.seq, one.position.at) == (10, SERVER_TIME)
        first = one.received(push(12, 10, at="2026-11-22T09:59:00.000Z"), 1)
        assert [item.replayed for item in delivered(first) if isinstance(item, Push)] == [True]
        last = one.received(push(14, 12), 1)
        assert [item.replayed for item in delivered(last) if isinstance(item, Push)] == [True]
        fresh = one.received(push(15, 14), 1)
        assert [item.replayed for item in delivered(fresh) if isinstance(item, Push)] == [False]

    def test_the_positions_time_does_not_run_ahead_of_a_replay(self) -> None:
        """Else a resume from the middle of a replay would claim to have seen what was never sent."""
        one = live(
            greeting=hello(seq=14, recovered=True, server_time="2026-11-25T00:00:00.000Z"),
            position=Position("e1", 10, 3, SERVER_TIME),
        )
        one.received(push(12, 10, at="2026-11-24T00:00:00.000Z"), 1)
        assert one.position is not None
        assert one.position.at == SERVER_TIME

    @pytest.mark.parametrize("recovered", [False, None])
    def test_without_recovery_the_loss_is_told_before_the_connection(self, *, recovered: bool | None) -> None:
        one = protocol(position=Position("e0", 7, 1))
        one.opened("t", 0)
        items = delivered(one.received(hello(recovered=recovered), 0))
        assert [type(item) for item in items] == [Missed, Connected]
        assert one.position == Position("e1", 10, 3, SERVER_TIME)

    def test_a_quiet_feeds_position_keeps_up_with_time_by_the_pings(self) -> None:
        one = live()
        one.received(ping(10, 3), 50)
        assert one.position == Position("e1", 10, 3, "2026-11-22T10:00:50.000Z")

    def test_one_ping_ahead_proves_nothing_but_a_second_does(self) -> None:
        one = live()
        assert sent(one.received(ping(12, 3), 25)) == [{"command": "pong"}]
        assert one.phase is Phase.LIVE
        assert one.received(ping(12, 3), 50)[-1] == Hangup("pushes are missing", polite=True)

    def test_pings_that_stay_ahead_after_a_resume_are_not_chased(self) -> None:
        one = live()
        one.received(ping(12, 3), 25)
        one.received(ping(12, 3), 50)
        one.disconnected(1000, "", 50)
        one.opened("t", 50)
        one.received(hello(recovered=True), 50)
        for moment in (75, 100, 125):
            one.received(ping(12, 3), moment)
        assert one.phase is Phase.LIVE

    def test_a_frame_that_cannot_be_read_changes_nothing(self) -> None:
        one = live()
        for text in ("", "[]", "{", '{"type":"future"}', '{"type":"push","seq":"x"}', b"\xff"):
            assert one.received(text, 1) == []
        assert seqs(one.received(push(12, 10), 1)) == [12]


class TestAFullInbox:
    def test_further_pushes_stay_with_the_server_until_a_quarter_is_left(self) -> None:
        one = live(capacity=4)
        for seq in range(11, 15):
            assert seqs(one.received(push(seq, seq - 1), 1)) == [seq]
        assert one.received(push(15, 14), 1) == []
        assert one.received(push(16, 15), 1) == []
        assert [one.consumed(1) for _ in range(2)] == [[], []]
        assert one.consumed(1) == [Hangup("fetching what was left with the server", polite=True)]
        assert one.position is not None
        assert one.position.seq == 14

    def test_answers_under_way_put_the_resume_off_but_not_for_long(self) -> None:
        fetch = Hangup("fetching what was left with the server", polite=True)
        for answered in (True, False):
            one = live(capacity=1)
            one.received(push(11, 10), 1)
            one.received(push(12, 11), 1)
            one.command("a", "x.y", None, 1)
            assert one.consumed(1) == []
            if answered:
                reply = '{"type":"reply","id":"a","command":"x.y","result":{}}'
                assert one.received(reply, 1.5) == [Answered("a", {}), fetch]
            else:
                assert one.wakeup(1) == 3
                assert one.timer(3) == [fetch]

    def test_fetching_again_and_again_does_not_slow_down_while_it_gets_on(self) -> None:
        one = live(capacity=1, dice=lambda _, high: high)
        waits: list[Effect] = []
        for seq in range(11, 31):
            one.received(push(seq, seq - 1), 1)
            one.received(push(seq + 1, seq), 1)
            one.consumed(1)
            waits.append(one.disconnected(1000, "", 1)[-1])
            one.opened("t", 1)
            one.received(hello(seq=40, recovered=True), 1)
        assert waits == [Reopen(0.0), *[Reopen(2.0)] * 19]

    def test_pings_do_not_move_the_positions_time_while_pushes_are_left_out(self) -> None:
        one = live(capacity=1)
        one.received(push(11, 10), 1)
        one.received(push(12, 11), 1)
        before = one.position
        one.received(ping(11, 3), 25)
        assert one.position == before


class TestClosing:
    def test_the_servers_wish_for_the_delay_is_followed(self) -> None:
        one = live()
        bye = {"type": "bye", "code": 4001, "reason": "draining", "reconnect": True, "reconnect_after_ms": 1834}
        one.received(json.dumps(bye), 1)
        effects = one.disconnected(None, "", 1)
        assert delivered(effects) == [Disconnected(code=4001, reason="draining", retry_in_s=1.834)]
        assert effects[-1] == Reopen(1.834)

    def test_delays_grow_to_twenty_seconds_and_begin_anew_after_a_steady_session(self) -> None:
        def most(_: float, high: float) -> float:
            return high

        one = live(dice=most)
        effects = [one.disconnected(None, "", 1), *(one.unreachable("refused") for _ in range(5))]
        assert [effect[-1] for effect in effects] == [Reopen(after) for after in (2.0, 4.0, 8.0, 16.0, 20.0, 20.0)]
        one.opened("t", 100)
        one.received(hello(recovered=True), 100)
        assert one.disconnected(None, "", 101)[-1] == Reopen(20.0)
        one.opened("t", 200)
        one.received(hello(recovered=True), 200)
        assert one.disconnected(None, "", 211)[-1] == Reopen(2.0)

    def test_no_delay_is_under_half_a_second(self) -> None:
        assert live().disconnected(None, "", 1)[-1] == Reopen(0.5)

    def test_after_too_many_commands_it_waits_five_seconds_at_least(self) -> None:
        assert live().disconnected(4013, "", 1)[-1] == Reopen(5.0)

    @pytest.mark.parametrize("code", [1000, 1001, 1005, 1006, 1011, 1012, 1013, 3000, 4000, 4001, 4005, 4013, 4499])
    def test_codes_to_come_back_from(self, code: int) -> None:
        assert isinstance(live().disconnected(code, "", 1)[-1], Reopen)

    @pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1009, 1010, 4501, 4502, 4503, 4504, 4999])
    def test_codes_to_stop_at(self, code: int) -> None:
        (effect,) = live().disconnected(code, "why", 1)
        assert isinstance(effect, Stop)
        assert isinstance(effect.error, SessionEnded)
        assert (effect.error.code, effect.error.reason) == (code, "why")

    def test_a_token_that_does_not_hold_is_told_as_such(self) -> None:
        (effect,) = live().disconnected(4500, "", 1)
        assert isinstance(effect, Stop)
        assert isinstance(effect.error, NotAuthenticated)

    def test_a_bye_that_says_not_to_come_back_is_obeyed(self) -> None:
        one = live()
        one.received('{"type":"bye","code":4001,"reason":"closing time","reconnect":false}', 1)
        assert isinstance(one.disconnected(4001, "", 1)[0], Stop)

    def test_resuming_again_and_again_slows_down(self) -> None:
        one = live()
        waits: list[Effect] = []
        for seq in (20, 30, 40):
            one.received(push(seq, seq - 1), 1)
            waits.append(one.disconnected(1000, "", 1)[-1])
            one.opened("t", 1)
            one.received(hello(seq=seq, recovered=False), 1)
        assert waits == [Reopen(0.0), Reopen(0.5), Reopen(0.5)]


class TestCommands:
    def test_commands_wait_for_the_session_and_keep_their_order(self) -> None:
        one = protocol()
        for name in ("a", "b"):
            assert one.command(name, "build.list", None, 0) == []
        one.opened("t", 1)
        assert [frame["id"] for frame in sent(one.received(hello(), 1))] == ["a", "b"]

    def test_what_is_unanswered_is_sent_again_as_it_was_on_the_next_connection(self) -> None:
        one = live()
        (first,) = sent(one.command("a", "build.start", {"kind": "dock", "site": "x"}, 1))
        one.command("b", "time", None, 1)
        one.received('{"type":"reply","id":"b","command":"time","result":{}}', 1)
        one.disconnected(None, "", 2)
        one.opened("t", 3)
        assert sent(one.received(hello(recovered=True), 3)) == [first]

    def test_a_reply_settles_a_command_once(self) -> None:
        one = live()
        one.command("a", "x.y", None, 1)
        reply = '{"type":"reply","id":"a","command":"x.y","result":{"n":1}}'
        assert one.received(reply, 1) == [Answered("a", {"n": 1})]
        assert one.received(reply, 1) == []

    def test_the_gateways_rate_is_kept(self) -> None:
        one = live(greeting=hello(limits={"max_frame_bytes": 65536, "commands_per_s": 10, "burst": 20}))
        given = [one.command(f"c{number}", "x.y", None, 0) for number in range(40)]
        assert sum(len(sent(effects)) for effects in given) == 19
        now, total = 0.0, 19
        while total < 40:
            wakeup = one.wakeup(now)
            assert wakeup is not None
            assert wakeup > now
            now = wakeup
            total += len(sent(one.timer(now)))
        assert 2.1 < now < 2.5, "21 commands at 9.5 a second"

    def test_a_rate_limit_holds_everything_back_for_as_long_as_it_says(self) -> None:
        one = live()
        one.command("a", "x.y", None, 0)
        refusal = {"code": "rate_limited", "message": "slower", "retry_after_ms": 3000}
        one.received(json.dumps({"type": "error", "id": "a", "command": "x.y", "error": refusal}), 0)
        assert one.command("b", "x.y", None, 1) == []
        assert sent(one.timer(2.9)) == []
        assert [frame["id"] for frame in sent(one.timer(3.2))] == ["a", "b"]

    def test_an_answer_that_got_lost_on_a_live_line_is_asked_for_again(self) -> None:
        one = live()
        one.command("a", "x.y", None, 0)
        assert sent(one.timer(5.9)) == []
        assert [frame["id"] for frame in sent(one.timer(6.0))] == ["a"]
        assert sent(one.timer(12.0)) == []

    def test_a_forgotten_command_is_not_sent_again(self) -> None:
        one = live()
        one.command("a", "x.y", None, 0)
        one.forget("a")
        one.disconnected(None, "", 1)
        one.opened("t", 1)
        assert sent(one.received(hello(recovered=True), 1)) == []

    def test_the_round_trip_of_a_question_asked_twice_is_not_believed(self) -> None:
        one = live()
        one.command("a", "time", None, 0)
        one.timer(6.0)
        one.received(f'{{"type":"reply","id":"a","command":"time","result":{{"server_time":"{SERVER_TIME}"}}}}', 6.1)
        assert one.clock.round_trip_s is None


class TestTokens:
    def test_a_token_is_renewed_a_minute_ahead(self) -> None:
        one = live(renews=True)
        assert one.timer(3539) == [Hangup("no sign of life from the server", polite=False)]
        one = live(renews=True, greeting=hello(ping_interval_s=10_000))
        assert one.timer(3539) == []
        assert one.timer(3540) == [FetchToken()]
        assert one.timer(3541) == [], "one renewal at a time"

    def test_without_a_provider_nothing_is_renewed(self) -> None:
        one = live(greeting=hello(ping_interval_s=10_000))
        assert one.timer(3600) == []

    def test_the_refreshs_answer_sets_the_next_one(self) -> None:
        one = live(renews=True, greeting=hello(ping_interval_s=10_000))
        one.timer(3540)
        (frame,) = sent(one.token("fresh"))
        assert (frame["command"], frame["args"]) == ("auth.refresh", {"token": "fresh"})
        result = {"token_expires_at": "2026-11-22T12:00:00.000Z"}
        one.received(json.dumps({"type": "reply", "id": frame["id"], "result": result}), 3540)
        assert one.wakeup(3540) == 7140

    def test_a_renewal_that_failed_is_tried_again(self) -> None:
        one = live(renews=True, greeting=hello(ping_interval_s=10_000))
        one.timer(3540)
        one.token_failed(3541)
        assert one.timer(3546) == [FetchToken()]

    def test_a_provider_that_gives_the_same_token_is_not_asked_in_a_tight_loop(self) -> None:
        one = live(renews=True, greeting=hello(ping_interval_s=10_000))
        now, asked = 3540.0, 0
        while now < 3600:
            if one.timer(now) == [FetchToken()]:
                asked += 1
                (frame,) = sent(one.token("same"))
                result = {"token_expires_at": "2026-11-22T11:00:00.000Z"}
                one.received(json.dumps({"type": "reply", "id": frame["id"], "result": result}), now)
            wakeup = one.wakeup(now)
            assert wakeup is not None
            now = max(wakeup, now + 0.001)
        assert asked < 20
