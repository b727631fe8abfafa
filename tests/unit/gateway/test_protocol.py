"""One connection's state machine: input in, effects out; time is an argument."""

import json
from typing import Any

import pytest

from starwake.contracts.ids import PlayerId
from starwake.contracts.reasons import CloseCode, ErrorCode
from starwake.gateway import protocol
from starwake.gateway.effects import (
    Close,
    Effects,
    Forward,
    Join,
    Ping,
    Refresh,
    Resume,
    Send,
    TellTime,
    Verify,
)
from starwake.gateway.limits import ConnectionLimits
from starwake.gateway.protocol import Connection, Phase

ADA = PlayerId("ada")
TOKEN = {"token": "t"}
NEW_TOKEN = {"token": "new"}
LIMITS = ConnectionLimits()


def frame(command: str, command_id: object = "c1", **args: object) -> bytes:
    return json.dumps({"id": command_id, "command": command, "args": args}).encode()


def opened(now: float = 0.0, limits: ConnectionLimits = LIMITS) -> Connection:
    return Connection(limits, now, ping_phase=0.5)


def live(now: float = 0.0, limits: ConnectionLimits = LIMITS, *, expires_at: float = 3600.0) -> Connection:
    connection = opened(now - 9.0, limits)  # so that the bucket is full again
    connection.text(frame("auth", **TOKEN), now - 9.0)
    connection.authenticated(ADA, None, expires_at, now)
    connection.joined(now)
    assert connection.phase is Phase.LIVE
    return connection


def errors(effects: Effects) -> list[dict[str, Any]]:
    sent = [json.loads(effect.frame) for effect in effects if isinstance(effect, Send)]
    assert all(each["type"] == "error" for each in sent), sent
    return sent


def code_of(effects: Effects) -> str:
    (error,) = errors(effects)
    return error["error"]["code"]


def closes(effects: Effects) -> CloseCode:
    (close,) = effects
    assert isinstance(close, Close)
    return close.code


# --- authentication ----------------------------------------------------------------------------------------------


def test_the_first_frame_brings_the_token_and_the_feed_is_joined() -> None:
    connection = opened()
    assert connection.text(frame("auth", **TOKEN), 1.0) == [Verify("t", None)]
    assert connection.authenticated(ADA, None, 100.0, 1.0) == [Join(ADA, None)]
    assert connection.joined(1.1) == []


def test_the_first_frame_may_bring_a_position_to_resume_from() -> None:
    position = {"epoch": "e", "seq": 790, "all": 120, "at": "2026-11-22T10:00:00.000Z"}
    (verify,) = opened().text(frame("auth", **TOKEN, resume=position), 0.0)
    assert isinstance(verify, Verify)
    assert verify.resume == Resume("e", 790, 120, "2026-11-22T10:00:00.000Z")


@pytest.mark.parametrize("resume", [{"seq": 1}, {"epoch": "e", "seq": -1}, {"epoch": "e", "seq": "1"}, 5, [], "x"])
def test_a_malformed_position_is_a_bad_request_and_the_client_may_try_again(resume: object) -> None:
    connection = opened()
    assert code_of(connection.text(frame("auth", **TOKEN, resume=resume), 0.0)) == ErrorCode.BAD_REQUEST
    assert connection.text(frame("auth", **TOKEN), 0.0) == [Verify("t", None)]


def test_a_command_before_authentication_is_forbidden() -> None:
    connection = opened()
    assert code_of(connection.text(frame("build.start"), 0.0)) == ErrorCode.FORBIDDEN
    assert code_of(connection.text(frame("time"), 0.0)) == ErrorCode.FORBIDDEN
    assert code_of(connection.text(frame("auth.refresh", **TOKEN), 0.0)) == ErrorCode.FORBIDDEN


def test_without_authentication_in_time_the_connection_is_closed() -> None:
    connection = opened()
    assert connection.tick(9.9) == []
    assert closes(connection.tick(10.0)) is CloseCode.NOT_AUTHENTICATED


def test_a_token_that_does_not_hold_closes_the_connection() -> None:
    connection = opened()
    connection.text(frame("auth", **TOKEN), 0.0)
    assert closes(connection.refused("no")) is CloseCode.INVALID_TOKEN


def test_a_verdict_on_a_token_that_comes_after_the_end_changes_nothing() -> None:
    connection = opened()
    connection.text(frame("auth", **TOKEN), 0.0)
    connection.lost()
    assert connection.authenticated(ADA, None, 100.0, 1.0) == []
    assert connection.joined(1.0) == []


def test_a_second_auth_is_a_bad_request() -> None:
    assert code_of(live().text(frame("auth", **TOKEN), 0.0)) == ErrorCode.BAD_REQUEST


def test_what_arrives_before_hello_is_answered_after_it() -> None:
    connection = opened()
    connection.text(frame("auth", **TOKEN), 0.0)
    assert connection.text(frame("build.list", "c2"), 0.0) == []
    connection.authenticated(ADA, None, 100.0, 0.0)
    assert connection.text(frame("time", "c3"), 0.0) == []
    effects = connection.joined(0.5)
    assert [type(effect) for effect in effects] == [Forward, TellTime]


def test_frames_before_hello_are_bounded() -> None:
    connection = opened()
    connection.text(frame("auth", **TOKEN), 0.0)
    for _ in range(protocol.MAX_HELD_FRAMES):
        assert connection.text(frame("time"), 0.0) == []
    assert closes(connection.text(frame("time"), 0.0)) is CloseCode.TOO_MANY_COMMANDS


def test_a_feed_that_cannot_be_joined_in_time_tells_the_client_to_come_back() -> None:
    connection = opened()
    connection.text(frame("auth", **TOKEN), 0.0)
    connection.authenticated(ADA, None, 100.0, 5.0)
    assert connection.tick(14.9) == []
    assert closes(connection.tick(15.0)) is CloseCode.FEED_INTERRUPTED


# --- commands ----------------------------------------------------------------------------------------------------


def test_a_command_is_forwarded_as_it_came() -> None:
    raw = b'{"command":"build.start",  "id":"c1","args":{"kind":"shipyard"}}'
    assert live().text(raw, 0.0) == [Forward("c1", "build.start", raw)]


@pytest.mark.parametrize("name", ["builds", "", "Build.Start", "build.start.", ".x", "a.>", "a.*", "a b.c", "cmd.é"])
def test_a_name_that_no_service_can_have_is_unknown_at_once(name: str) -> None:
    assert code_of(live().text(frame(name), 0.0)) == ErrorCode.UNKNOWN_COMMAND


@pytest.mark.parametrize("raw", [b"", b"nonsense", b"{", b'{"command":', b"\x00", b'{"command":"x"}}', b"[" * 60_000])
def test_what_is_not_json_is_answered_and_the_loop_goes_on(raw: bytes) -> None:
    connection = live()
    (error,) = errors(connection.text(raw, 0.0))
    assert (error["id"], error["error"]["code"]) == (None, "bad_json")
    assert isinstance(connection.text(frame("build.list"), 0.0)[0], Forward)


@pytest.mark.parametrize(
    ("raw", "command_id"),
    [
        (b"[]", None),
        (b"5", None),
        (b"null", None),
        (b'{"id":"c1"}', "c1"),
        (b'{"id":"c1","command":5}', "c1"),
        (b'{"id":5,"command":"build.list"}', None),
        (b'{"command":"build.list"}', None),
        (b'{"id":"","command":"build.list"}', None),
        (b'{"id":"' + b"x" * 65 + b'","command":"build.list"}', None),
    ],
)
def test_json_that_is_no_command_is_a_bad_request_with_its_id_where_it_has_one(
    raw: bytes, command_id: str | None
) -> None:
    (error,) = errors(live().text(raw, 0.0))
    assert (error["id"], error["error"]["code"]) == (command_id, "bad_request")


def test_an_id_of_64_characters_is_accepted() -> None:
    assert isinstance(live().text(frame("build.list", "★" * 64), 0.0)[0], Forward)


def test_twenty_bad_frames_in_a_row_end_the_connection() -> None:
    connection = live(limits=ConnectionLimits(burst=100))
    for _ in range(19):
        assert code_of(connection.text(b"?", 0.0)) == ErrorCode.BAD_JSON
    assert closes(connection.text(b"?", 0.0)) is CloseCode.MALFORMED


def test_a_good_frame_between_bad_ones_begins_the_count_anew() -> None:
    connection = live(limits=ConnectionLimits(burst=1000))
    for _ in range(30):
        connection.text(b"?", 0.0)
        connection.text(frame("time"), 0.0)
    assert connection.phase is Phase.LIVE


def test_a_binary_frame_ends_the_connection() -> None:
    assert closes(live().binary()) is CloseCode.MALFORMED


def test_commands_beyond_the_rate_are_told_when_to_come_back() -> None:
    connection = live()
    for _ in range(LIMITS.burst):
        assert isinstance(connection.text(frame("time"), 0.0)[0], TellTime)
    (error,) = errors(connection.text(frame("time", "late"), 0.0))
    assert (error["id"], error["error"]["code"]) == ("late", "rate_limited")
    assert error["error"]["retry_after_ms"] == 100
    assert isinstance(connection.text(frame("time"), 0.1)[0], TellTime)


def test_only_abuse_of_the_rate_ends_the_connection() -> None:
    connection = live()
    for _ in range(LIMITS.burst + LIMITS.abuse_refusals):
        connection.text(frame("time"), 0.0)
    assert closes(connection.text(frame("time"), 0.0)) is CloseCode.TOO_MANY_COMMANDS


def test_a_client_that_calms_down_is_forgiven() -> None:
    connection = live()
    for now in (0.0, 10.0, 20.0):
        for _ in range(LIMITS.burst + LIMITS.abuse_refusals):
            connection.text(frame("time"), now)
    assert connection.phase is Phase.LIVE


def test_a_flood_of_pongs_is_abuse_too() -> None:
    connection = live()
    for _ in range(LIMITS.burst + LIMITS.abuse_refusals):
        connection.text(b'{"command":"pong"}', 0.0)
    assert closes(connection.life_sign(0.0)) is CloseCode.TOO_MANY_COMMANDS


def test_commands_in_flight_are_bounded_and_an_answer_makes_room() -> None:
    connection = live(limits=ConnectionLimits(burst=100, max_in_flight=2))
    (first,) = connection.text(frame("build.list"), 0.0)
    connection.text(frame("build.list"), 0.0)
    assert code_of(connection.text(frame("build.list"), 0.0)) == ErrorCode.RATE_LIMITED
    assert isinstance(first, Forward)
    connection.answered(first)
    assert isinstance(connection.text(frame("build.list"), 0.0)[0], Forward)


def forwarded(connection: Connection, command_id: str = "c1") -> Forward:
    (effect,) = connection.text(frame("build.start", command_id), 0.0)
    assert isinstance(effect, Forward)
    return effect


def test_of_two_frames_with_one_id_only_the_later_one_is_waited_for_and_neither_once_one_is_answered() -> None:
    connection = live()
    first, second, other = forwarded(connection), forwarded(connection), forwarded(connection, "c2")
    assert [connection.waits_for(each) for each in (first, second, other)] == [False, True, True]
    connection.answered(first)
    assert [connection.waits_for(each) for each in (first, second, other)] == [False, False, True]
    connection.answered(second)
    assert connection.in_flight == 1


@pytest.mark.parametrize("ended_by", ["client", "server"])
def test_nothing_is_waited_for_once_the_connection_is_closed(ended_by: str) -> None:
    connection = live()
    command = forwarded(connection)
    if ended_by == "client":
        connection.lost()
    else:
        connection.end(CloseCode.DRAINING, "")
    assert not connection.waits_for(command)
    connection.answered(command)
    assert connection.in_flight == 0


def test_pong_needs_no_id_and_with_one_tells_the_time() -> None:
    assert live().text(b'{"command":"pong"}', 0.0) == []
    assert live().text(frame("pong", "p1"), 0.0) == [TellTime("p1", "pong")]


# --- refresh and expiry ------------------------------------------------------------------------------------------


def test_a_refreshed_token_keeps_the_session_alive() -> None:
    connection = live(expires_at=10.0)
    assert connection.text(frame("auth.refresh", **NEW_TOKEN), 5.0) == [Refresh("c1", "new")]
    (reply,) = connection.refreshed("c1", ADA, 1000.0, "2026-11-22T10:00:00.000Z")
    assert isinstance(reply, Send)
    assert json.loads(reply.frame)["result"] == {"token_expires_at": "2026-11-22T10:00:00.000Z"}
    connection.life_sign(36.0)
    assert all(isinstance(effect, Ping) for effect in connection.tick(36.0))


def test_a_token_that_is_not_refreshed_ends_the_session_after_its_grace() -> None:
    connection = live(expires_at=10.0)
    connection.life_sign(34.0)
    assert all(isinstance(effect, Ping) for effect in connection.tick(34.9))
    assert closes(connection.tick(35.0)) is CloseCode.TOKEN_EXPIRED


def test_the_token_of_another_player_does_not_refresh_a_session() -> None:
    connection = live(expires_at=10.0)
    connection.text(frame("auth.refresh", **TOKEN), 5.0)
    assert code_of(connection.refreshed("c1", PlayerId("eve"), 1000.0, "")) == ErrorCode.FORBIDDEN
    connection.life_sign(34.0)
    assert closes(connection.tick(35.0)) is CloseCode.TOKEN_EXPIRED


# --- life signs --------------------------------------------------------------------------------------------------


def test_pings_go_out_every_interval_after_a_random_first_phase() -> None:
    connection = live()
    assert connection.deadline == 12.5
    assert connection.tick(12.4) == []
    assert connection.tick(12.5) == [Ping()]
    assert connection.deadline == 37.5


def test_a_silent_peer_is_given_up_after_two_intervals() -> None:
    connection = live()
    connection.text(b'{"command":"pong"}', 20.0)
    assert all(isinstance(effect, Ping) for effect in connection.tick(69.9))
    assert closes(connection.tick(70.0)) is CloseCode.NO_LIFE_SIGN


# --- the end -----------------------------------------------------------------------------------------------------


def test_nothing_has_an_effect_after_the_end() -> None:
    connection = live()
    assert closes(connection.end(CloseCode.DRAINING, "deploy")) is CloseCode.DRAINING
    assert connection.end(CloseCode.REVOKED, "twice") == []
    assert connection.text(frame("build.list"), 0.0) == []
    assert connection.binary() == []
    assert connection.tick(10_000.0) == []
    assert connection.deadline == float("inf")
