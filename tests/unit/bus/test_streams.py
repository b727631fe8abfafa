from typing import Any

import pytest

from starwake.bus.streams import (
    FREE_STREAM_FIELDS,
    NOTIFICATIONS,
    TIMERS,
    Difference,
    StreamSpec,
    compare_consumer,
    compare_stream,
    desired_streams,
    irreparable,
    repaired_stream,
)

SPECS = {spec.name: spec for spec in desired_streams(1)}


def as_reported(spec: StreamSpec, **changed: object) -> dict[str, Any]:
    """A configuration as the server reports it: with defaults spelled out, and metadata of its own."""
    empty: dict[str, Any] = {
        "sealed": False,
        "deny_delete": False,
        "mirror_direct": False,
        "consumer_limits": {},
        "max_age": 0,
    }
    return empty | spec.config | {"metadata": {"_nats.ver": "2.15.1"}} | changed


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_stream_as_it_has_to_be_does_not_differ(spec: StreamSpec) -> None:
    assert compare_stream(as_reported(spec), spec) == []


@pytest.mark.parametrize(
    ("stream", "field", "value"),
    [
        (TIMERS, "max_age", 10),
        (TIMERS, "max_msgs", 5),
        (TIMERS, "max_bytes", 5),
        (TIMERS, "subjects", ["timer.set.>"]),
        (TIMERS, "allow_msg_schedules", False),
        (TIMERS, "discard", "new"),
        (NOTIFICATIONS, "republish", None),
        (NOTIFICATIONS, "republish", {"src": "notify.>", "dest": "push.>", "headers_only": True}),
        (NOTIFICATIONS, "allow_direct", False),
        (NOTIFICATIONS, "max_msgs_per_subject", -1),
        (NOTIFICATIONS, "duplicate_window", 1),
        (NOTIFICATIONS, "num_replicas", 3),
        (NOTIFICATIONS, "a_field_of_a_later_server", True),
    ],
)
def test_every_field_that_drifts_is_seen(stream: str, field: str, value: object) -> None:
    spec = SPECS[stream]
    differences = compare_stream(as_reported(spec, **{field: value}), spec)
    assert differences == [Difference(stream, None, field, value, spec.config.get(field))]
    repaired = as_reported(spec) | repaired_stream(as_reported(spec, **{field: value}), spec)
    assert compare_stream(repaired, spec) == []


def test_a_field_that_the_server_leaves_out_is_seen() -> None:
    spec = SPECS[NOTIFICATIONS]
    reported = as_reported(spec)
    del reported["republish"]
    assert [difference.field for difference in compare_stream(reported, spec)] == ["republish"]


def test_the_order_of_subjects_is_no_difference() -> None:
    spec = SPECS[TIMERS]
    assert compare_stream(as_reported(spec, subjects=["timer.due.>", "timer.set.>"]), spec) == []


def test_what_belongs_to_the_operator_or_the_feed_is_kept() -> None:
    spec = SPECS[NOTIFICATIONS]
    own = {"placement": {"tags": ["ssd"]}, "description": "feeds", "metadata": {"starwake.epoch": "e"}, "first_seq": 9}
    assert compare_stream(as_reported(spec, **own), spec) == []
    repaired = repaired_stream(as_reported(spec, max_age=1, **own), spec)
    assert {field: repaired[field] for field in FREE_STREAM_FIELDS} == own


def test_who_may_only_look_does_not_know_the_number_of_replicas() -> None:
    spec = SPECS[TIMERS]
    assert compare_stream(as_reported(spec, num_replicas=3), spec, any_replicas=True) == []


def test_a_consumer_that_drifted_is_seen() -> None:
    (spec,) = SPECS[TIMERS].consumers
    assert compare_consumer(spec.config | {"num_replicas": 0, "metadata": {"_nats.level": "5"}}, spec) == []
    differences = compare_consumer(spec.config | {"max_ack_pending": 1, "max_deliver": 3}, spec)
    assert [difference.field for difference in differences] == ["max_ack_pending", "max_deliver"]


@pytest.mark.parametrize(
    ("field", "was"),
    [
        ("storage", "memory"),
        ("retention", "limits"),
        ("sealed", True),
        ("deny_delete", True),
        ("mirror", {"name": "OTHER"}),
        ("max_consumers", 3),
    ],
)
def test_what_the_server_cannot_change_is_called_irreparable(field: str, was: object) -> None:
    spec = SPECS[TIMERS]
    assert field in (irreparable(compare_stream(as_reported(spec, **{field: was}), spec)) or "")


@pytest.mark.parametrize(("field", "was"), [("max_age", 9), ("max_msgs", 9), ("allow_msg_ttl", False)])
def test_what_the_server_can_change_is_repaired(field: str, was: object) -> None:
    spec = SPECS[TIMERS]
    assert irreparable(compare_stream(as_reported(spec, **{field: was}), spec)) is None
