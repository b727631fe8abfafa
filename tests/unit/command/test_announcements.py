"""Announcements, and the pushes that they come to."""

from datetime import timedelta
from itertools import count
from typing import Any

import msgspec
import pytest

from starwake.command.announcements import plan
from starwake.contracts.commands import Announce
from starwake.contracts.reasons import Refusal
from starwake.contracts.times import to_rfc3339
from starwake.contracts.world_events import EventRecord
from tests.unit.command.rows import NOW


def planned(**args: object) -> list[EventRecord]:
    numbers = count(1)
    return plan(msgspec.convert(args, Announce), NOW, "the-series", lambda: f"event-{next(numbers)}")


def inbound(*warn_s: int, hours: float = 25, **args: object) -> list[EventRecord]:
    at = to_rfc3339(NOW + timedelta(hours=hours))
    return planned(**{"event": "dragons.inbound", "at": at, "warn_s": warn_s, **args})


def test_dragons_are_announced_at_each_warning_and_then_arrive() -> None:
    events = inbound(300, 25 * 3600, 3600)
    assert [(each.event, (each.due_at - NOW).total_seconds()) for each in events] == [
        ("dragons.inbound", 0),
        ("dragons.inbound", 24 * 3600),
        ("dragons.inbound", 25 * 3600 - 300),
        ("dragons.arrived", 25 * 3600),
    ]
    assert [each.data.get("remaining_s") for each in events] == [90_000, 3600, 300, None]
    assert {each.data.get("arrives_at") for each in events[:3]} == {"2026-11-23T11:00:00.000Z"}
    assert {each.data["event_id"] for each in events} == {"the-series"}
    assert len({each.id for each in events}) == 4


def test_warnings_whose_time_has_passed_are_one_that_is_given_now() -> None:
    events = inbound(7200, 90_000, 600, hours=1)
    assert [each.data.get("remaining_s") for each in events] == [3600, 600, None]


def test_without_a_time_it_is_told_now() -> None:
    (event,) = planned(event="stars.discovered", payload={"stars": []})
    assert (event.event, event.due_at, event.data) == ("stars.discovered", NOW, {"stars": [], "event_id": "the-series"})


def test_without_warnings_only_the_event_itself_is_told() -> None:
    assert [each.event for each in inbound(then="dragons.landed")] == ["dragons.inbound"]


def test_what_follows_the_warnings_can_be_named() -> None:
    assert [each.event for each in inbound(60, then="dragons.landed")] == ["dragons.inbound", "dragons.landed"]
    assert [each.event for each in inbound(60, event="comet.near")] == ["comet.near", "comet.near"]


def test_a_time_that_has_passed_means_now() -> None:
    events = inbound(60, hours=-3)
    assert [(each.event, each.due_at) for each in events] == [("dragons.arrived", NOW)]


@pytest.mark.parametrize(
    "args",
    [
        {"event": "Dragons"},
        {"event": "dragons..inbound"},
        {"event": "build.completed"},
        {"event": "a.b", "then": "build.cancelled", "at": "2026-12-01T00:00:00Z", "warn_s": (1,)},
        {"event": "a.b", "warn_s": (60,)},
        {"event": "a.b", "at": "in 25h"},
        {"event": "a.b", "at": "2263-01-01T00:00:00Z"},
        {"event": "a.b", "at": "2026-12-01T00:00:00Z", "warn_s": tuple(range(1, 52))},
        {"event": "a.b", "player": ""},
        {"event": "a.b", "player": "x" * 256},
        {"event": "a.b", "player": "a\0"},
        {"event": "a.b", "payload": {"x": "y" * 40_000}},
        {"event": "a.b", "payload": {"x": "\0"}},
    ],
)
def test_announcements_that_make_no_sense_are_refused(args: dict[str, Any]) -> None:
    with pytest.raises(Refusal):
        planned(**args)
