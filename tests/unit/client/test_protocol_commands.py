"""The client's decisions about commands, tokens and a full inbox, without any I/O."""

import json

from starwake.client.effects import Answered, Effect, FetchToken, Hangup, Reopen
from tests.unit.client.given import SERVER_TIME, hello, live, ping, protocol, push, sent, seqs


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
