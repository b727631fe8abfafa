"""The client's decisions about connections and feeds, without any I/O: times are arguments, and the dice are loaded."""

import json

import pytest

from starwake.client.effects import Effect, Hangup, Reopen, Stop
from starwake.client.errors import NotAuthenticated, SessionEnded
from starwake.client.protocol import Phase
from starwake.client.values import Connected, Disconnected, Missed, Push
from starwake.contracts.frames import Position
from tests.unit.client.given import SERVER_TIME, delivered, hello, live, ping, protocol, push, sent, seqs


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
