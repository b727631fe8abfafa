"""Frames: the bytes that are joined undecoded are the JSON that the protocol promises."""

import json
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starwake.contracts import frames
from starwake.contracts.alarms import build_alarm, parse_build_alarm
from starwake.contracts.builds import BuildRecord, BuildState, FollowUp
from starwake.contracts.events import completion_events, encode_body, event_name
from starwake.contracts.ids import BuildId, PlayerId, Revision, is_player_id, new_id
from starwake.contracts.reasons import CloseCode, ErrorCode
from starwake.contracts.times import from_rfc3339, to_rfc3339, truncate
from starwake.contracts.world_events import EventRecord, event_alarm, parse_event_alarm

NOON = datetime(2026, 11, 22, 12, 0, 0, 123_000, tzinfo=UTC)


def a_build(**changes: object) -> BuildRecord:
    build = BuildRecord(
        id=BuildId(new_id()),
        player=PlayerId("ada"),
        kind="shipyard",
        site="luna-1",
        state=BuildState.BUILDING,
        revision=Revision(1),
        started_at=NOON,
        due_at=NOON + timedelta(minutes=25),
    )
    return msgspec.structs.replace(build, **changes)


@given(st.text(), st.text())
def test_an_answer_is_joined_to_the_command_it_answers(command_id: str, command: str) -> None:
    body = frames.result_body({"build": None})
    frame = json.loads(frames.answer_frame(command_id, command, body))
    assert frame == {"type": "reply", "id": command_id, "command": command, "result": {"build": None}}


def test_a_refusal_becomes_an_error_frame_with_a_null_id_where_none_could_be_read() -> None:
    frame = json.loads(frames.error_frame(None, None, ErrorCode.BAD_JSON, "not JSON"))
    assert frame["type"] == "error"
    assert frame["id"] is None
    assert frame["error"] == {"code": "bad_json", "message": "not JSON", "retry_after_ms": None}


def test_a_stored_push_becomes_a_frame_without_being_decoded() -> None:
    body = encode_body("build.completed", NOON, {"build": {"id": "b"}})
    frame = json.loads(frames.push_frame(812, 790, body))
    assert list(frame) == ["type", "seq", "prev", "event", "at", "data"]
    assert (frame["type"], frame["seq"], frame["prev"], frame["at"]) == ("push", 812, 790, "2026-11-22T12:00:00.123Z")
    assert json.loads(frames.push_all_frame(5, 0, body))["feed"] == "all"


def test_bad_json_and_a_frame_that_is_no_command_are_told_apart() -> None:
    with pytest.raises(msgspec.ValidationError):
        frames.decode_command(b'{"command": 7}')
    with pytest.raises(msgspec.DecodeError) as broken:
        frames.decode_command(b'{"command": ')
    assert not isinstance(broken.value, msgspec.ValidationError)


def test_a_ping_tells_the_positions_and_the_time() -> None:
    ping = json.loads(frames.ping_frame(3, 2, "2026-11-22T12:00:00.123Z"))
    assert ping == {"type": "ping", "seq": 3, "all": 2, "server_time": "2026-11-22T12:00:00.123Z"}


@pytest.mark.parametrize("code", CloseCode)
def test_the_range_of_a_close_code_says_whether_to_reconnect(code: CloseCode) -> None:
    if code >= 4000:
        assert code.reconnect == (code < 4500)


@given(st.floats(0, 9_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)))
def test_a_moment_survives_the_wire_to_the_millisecond(moment: datetime) -> None:
    assert from_rfc3339(to_rfc3339(moment)) == truncate(moment)


def test_times_in_other_zones_are_told_in_utc() -> None:
    assert to_rfc3339(NOON.astimezone(timezone(timedelta(hours=9)))) == "2026-11-22T12:00:00.123Z"


@pytest.mark.parametrize("text", ["", "soon", "2026-11-22T12:00:00", "2262-11-22T12:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_time_that_no_alarm_could_keep_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|isoformat|Invalid"):
        from_rfc3339(text)


def test_an_alarm_carries_the_row_it_wakes() -> None:
    build = a_build(follow_ups=(FollowUp("stars.discovered", {"stars": [{"name": "Vega"}]}),), trace="00-a-b-01")
    alarm = build_alarm(build)
    assert alarm.due_at == build.due_at
    assert parse_build_alarm(alarm.key, alarm.body) == build


def test_an_alarm_that_says_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_build_alarm(build_alarm(a_build()).key, b'{"player": 1}')


def test_a_build_is_completed_at_its_due_time_one_revision_on() -> None:
    build = a_build()
    done = build.completed()
    assert (done.state, done.completed_at, done.revision) == (BuildState.COMPLETED, build.due_at, 2)


def test_a_completion_tells_the_build_first_and_then_what_the_game_adds() -> None:
    done = a_build(follow_ups=(FollowUp("stars.discovered", {"stars": []}), FollowUp("fleet.ready", {}))).completed()
    told = completion_events(done)
    assert [json.loads(each.body)["event"] for each in told] == ["build.completed", "stars.discovered", "fleet.ready"]
    assert [each.message_id.partition("~")[0] for each in told] == [f"{done.id}.2", f"{done.id}.2.1", f"{done.id}.2.2"]


def test_all_that_a_completion_tells_belongs_to_one_trace_and_no_body_says_so() -> None:
    done = a_build(follow_ups=(FollowUp("fleet.ready", {}),), trace="00-a-b-01").completed()
    told = completion_events(done)
    assert [each.trace for each in told] == ["00-a-b-01"] * 2
    assert not [each for each in told if b"00-a-b-01" in each.body]


def test_an_events_name_is_read_from_its_stored_body() -> None:
    assert [event_name(each.body) for each in completion_events(a_build().completed())] == ["build.completed"]
    assert event_name(b'{"at":"x","event":"y"}') == ""


def test_a_world_events_alarm_carries_its_row() -> None:
    for trace in (None, "00-a-b-01"):
        event = EventRecord(
            id=new_id(),
            player=PlayerId("ada"),
            event="dragons.arrived",
            data={"n": 1},
            due_at=a_build().due_at,
            revision=Revision(1),
            trace=trace,
        )
        alarm = event_alarm(event)
        assert parse_event_alarm(alarm.key, alarm.body) == event
        assert event.announced().trace == trace


@pytest.mark.parametrize(
    ("text", "holds"),
    [("", False), ("x" * 255, True), ("x" * 256, False), ("é" * 128, False), ("\ud800", False), ("a\0b", False)],
)
def test_a_player_id_is_at_most_255_bytes_of_utf8(text: str, holds: bool) -> None:  # noqa: FBT001 - a parameter of the table
    assert is_player_id(text) is holds
