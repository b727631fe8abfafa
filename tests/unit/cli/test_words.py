"""What people type: spans of time, moments, announcements; what they are told back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from starwake.cli.announce import cancel_announcement, cautions, make_announcement, moment_of
from starwake.cli.doctor import nats_version_finding, outbox_findings, skew_finding
from starwake.cli.durations import parse_duration
from starwake.cli.errors import CliError
from starwake.cli.status import PartStatus, as_lines
from starwake.contracts.commands import Announce
from starwake.store.outbox import Backlog

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def announcement(**options: object) -> Announce:
    given: dict[str, object] = {
        "player": None,
        "everybody": True,
        "at": None,
        "warn": None,
        "then": None,
        "payload": None,
        "command_id": None,
        "now": NOW,
        **options,
    }
    return make_announcement("dragons.inbound", **given)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("1h30m", 5400), ("2d", 172800), ("250ms", 0.25)]
)
def test_a_span_of_time_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1x", "-5m", "5m!", "1h 2", "nan"])
def test_what_is_no_span_of_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a span of time"):
        parse_duration(text)


def test_a_moment_is_now_in_a_while_or_rfc_3339() -> None:
    assert moment_of("now", NOW) == NOW
    assert moment_of("in 25h", NOW) == NOW + timedelta(hours=25)
    assert moment_of("in 1h 30m", NOW) == NOW + timedelta(hours=1.5)
    assert moment_of("2026-11-23T10:00:00Z", NOW) == NOW + timedelta(days=1)


def test_a_moment_that_cannot_be_read_is_a_usage_error() -> None:
    with pytest.raises(CliError) as caught:
        moment_of("tomorrow", NOW)
    assert caught.value.exit_code == 2


def test_an_announcement_carries_its_time_and_its_warnings() -> None:
    made = announcement(at="in 25h", warn="25h,1h,5m", payload='{"size": "huge"}')
    assert made.at == "2026-11-23T11:00:00.000Z"
    assert made.warn_s == (90000, 3600, 300)
    assert made.payload == {"size": "huge"}


@pytest.mark.parametrize(
    "options",
    [
        {"everybody": False},
        {"player": "ada"},
        {"warn": "1h"},
        {"payload": "[]"},
        {"payload": "{"},
        {"at": "in 1h", "warn": "0s"},
    ],
)
def test_options_that_contradict_each_other_are_usage_errors(options: dict[str, object]) -> None:
    with pytest.raises(CliError) as caught:
        announcement(**options)
    assert caught.value.exit_code == 2


def test_a_nats_server_with_faulty_schedules_is_found_too_old() -> None:
    assert nats_version_finding("x", "nats-server: v2.14.2").state == "wrong"
    assert nats_version_finding("x", "2.14.3").state == "ok"
    assert nats_version_finding("x", "v2.100.0-beta").state == "ok"


def test_a_clock_that_is_off_by_more_than_a_second_is_told() -> None:
    assert skew_finding(NOW, NOW + timedelta(seconds=0.4)).state == "ok"
    assert skew_finding(NOW, NOW - timedelta(seconds=3)).state == "warning"


def test_the_status_table_never_cuts_an_address() -> None:
    url = "postgresql://127.0.0.1:40000/" + "x" * 200
    lines = as_lines([PartStatus("postgres", None, url, healthy=False, since="", restarts=0)])
    assert url in lines[1]
    assert "NOT HEALTHY" in lines[1]


def test_a_warning_whose_time_has_passed_is_no_surprise() -> None:
    assert cautions(announcement(at="in 10s", warn="1h,5s"), NOW) == [
        "the time for the warning 3600 s ahead has passed: it is pushed at once, as one"
    ]
    assert not cautions(announcement(at="in 2h", warn="1h"), NOW)
    assert not cautions(announcement(), NOW)


async def test_what_is_no_event_id_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"'123' is no event id: `starwake announce` prints it") as caught:
        await cancel_announcement("123", tmp_path)
    assert caught.value.exit_code == 2


def test_the_status_says_why_a_part_is_not_healthy() -> None:
    part = PartStatus("nats", 7, "nats://x", healthy=False, since="", restarts=0, why="stream TIMERS: write error")
    assert as_lines([part])[-1] == "nats: stream TIMERS: write error"


def test_pushes_that_wait_for_long_or_can_never_be_told_are_told_of() -> None:
    assert [found.state for found in outbox_findings(Backlog(3, 2.0, 0))] == ["ok"]
    assert [found.state for found in outbox_findings(Backlog(315, 3600.0, 0))] == ["wrong"]
    assert [found.state for found in outbox_findings(Backlog(0, 0.0, 1))] == ["ok", "warning"]
