"""`event.list`: what is announced to a player, or to everybody, and still to come."""

from typing import Any
from uuid import uuid4

import pytest

from tests.contract.command.test_operations import CANCEL, announce, in_hours
from tests.contract.command.universe import Refused, Universe


async def listed(universe: Universe, series: str, **args: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - as JSON
    """All pages, as far as they are of this announcement: other tests announce to everybody as well."""
    events: list[dict[str, Any]] = []
    after: dict[str, Any] = {}
    while True:
        page = await universe.order("event.list", **args, **after)
        assert len(page["events"]) <= args.get("limit", 100)
        events += page["events"]
        if page["next"] is None:
            return [event for event in events if event["data"]["event_id"] == series]
        after = {"after": page["next"]}


async def test_what_is_still_to_come_is_listed_soonest_first_with_when_it_was_announced(universe: Universe) -> None:
    announced = await announce(universe, at=in_hours(25), warn_s=[3600], player=universe.player, payload={"n": 7})
    warning, arrival = await listed(universe, announced["event_id"])
    assert [warning["event"], arrival["event"]] == ["dragons.inbound", "dragons.arrived"]
    assert [(each["id"], each["due_at"]) for each in (warning, arrival)] == [
        (each["id"], each["due_at"]) for each in announced["events"]
    ]
    assert arrival["data"] == {"n": 7, "event_id": announced["event_id"]}
    assert warning["data"]["arrives_at"] == arrival["due_at"]
    assert arrival["feed"] == "player"
    assert arrival["announced_at"] < arrival["due_at"]


async def test_what_is_for_everybody_is_listed_to_everybody_and_what_is_for_one_to_nobody_else(
    universe: Universe,
) -> None:
    mine = await announce(universe, at=in_hours(2), player=universe.player)
    everybodys = await announce(universe, at=in_hours(1))
    other = f"other-{uuid4().hex}"
    (event,) = await listed(universe, everybodys["event_id"], player=other)
    assert event["feed"] == "all"
    assert await listed(universe, mine["event_id"], player=other) == []


async def test_pages_join_without_a_gap_or_a_double(universe: Universe) -> None:
    at = in_hours(3)
    announced = await announce(universe, at=at, warn_s=[60, 120, 180, 240], player=universe.player)
    ids = [each["id"] for each in announced["events"]]
    assert [each["id"] for each in await listed(universe, announced["event_id"], limit=1)] == ids
    assert [each["id"] for each in await listed(universe, announced["event_id"], limit=3)] == ids


async def test_a_page_ends_before_a_message_of_the_bus_would_be_too_large(universe: Universe) -> None:
    large = {"text": "x" * 32_000}
    announced = await announce(
        universe, at=in_hours(4), warn_s=[*range(60, 100)], player=universe.player, payload=large
    )
    page = await universe.order("event.list")
    assert page["next"] is not None
    assert len(page["events"]) < 20
    assert len(await listed(universe, announced["event_id"])) == 41
    await universe.send(CANCEL, f'{{"event_id": "{announced["event_id"]}"}}'.encode())


async def test_what_was_cancelled_or_told_is_not_to_come(universe: Universe) -> None:
    announced = await announce(universe, at=in_hours(5), player=universe.player)
    await universe.send(CANCEL, f'{{"event_id": "{announced["event_id"]}"}}'.encode())
    assert await listed(universe, announced["event_id"]) == []


@pytest.mark.parametrize(
    "args",
    [
        {"limit": 0},
        {"limit": 101},
        {"after": ""},
        {"after": "tomorrow"},
        {"after": "0001-01-01T00:00:00+23:59_00000000-0000-0000-0000-000000000000"},
    ],
)
async def test_what_is_no_page_is_refused(universe: Universe, args: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        await universe.order("event.list", **args)
    assert caught.value.code == "bad_request"
