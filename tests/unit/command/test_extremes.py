"""Moments at the calendar's ends, factors beyond reason, and durations that have changed since."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from starwake.contracts.batches import PlayerRows
from starwake.contracts.builds import BuildRecord
from starwake.contracts.commands import BuildCancel
from starwake.contracts.reasons import ErrorCode, Refusal
from starwake.contracts.times import LATEST, from_rfc3339
from starwake.game.catalogue import Catalogue, Kind, Reschedule
from starwake.game.rules import World
from tests.unit.command.rows import NOW, building, player, world

HOUR = timedelta(hours=1)


def game(duration: timedelta, *, least: float = 0.5, most: float = 2.0) -> World:
    """A dock that now takes this long."""
    return world(Catalogue([Kind(name="dock", title="Dock", duration=duration, reschedule=Reschedule(least, most))]))


def moved(build: BuildRecord, world: World, *, due_at: str | None = None, factor: float | None = None) -> BuildRecord:
    rows = PlayerRows(by_id={build.id: build})
    return player(rows, world).reschedule(build.id, due_at, factor).transitions[0].build


@pytest.mark.parametrize("now_takes", [timedelta(minutes=1), timedelta(days=9)])
def test_a_build_is_moved_by_the_duration_that_it_was_ordered_with(now_takes: timedelta) -> None:
    once = moved(building(), game(now_takes), factor=1.5)
    assert once.due_at == NOW + 1.5 * (HOUR / 2)
    twice = moved(once, game(now_takes), factor=1.1)
    assert twice.duration == HOUR, "not how long it takes since it was moved"
    with pytest.raises(Refusal, match="beyond 2026-11-22T11:30:00") as caught:
        moved(twice, game(now_takes), factor=1000)
    assert caught.value.code is ErrorCode.FORBIDDEN


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z"]
)
def test_the_ends_of_the_calendar_are_a_bad_request(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_rfc3339(text)
    with pytest.raises(Refusal) as caught:
        moved(building(), game(HOUR), due_at=text)
    assert caught.value.code is ErrorCode.BAD_REQUEST


@pytest.mark.parametrize("factor", [1000.0, 5e-324, 0.0])
def test_no_factor_leaves_the_calendar(factor: float) -> None:
    years = msgspec.structs.replace(building(), due_at=NOW + timedelta(days=3650))
    build = moved(years, game(timedelta(days=3650), least=0, most=1000), factor=factor)
    assert NOW <= build.due_at <= LATEST
    assert build.due_at <= datetime(2262, 1, 1, tzinfo=UTC)


def test_an_id_that_ends_in_a_line_break_is_none() -> None:
    decoder = msgspec.json.Decoder(BuildCancel)
    assert decoder.decode(msgspec.json.encode({"build_id": building().id})).build_id == building().id
    with pytest.raises(msgspec.ValidationError):
        decoder.decode(msgspec.json.encode({"build_id": building().id + "\n"}))
