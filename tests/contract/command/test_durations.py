"""What a build takes is settled when it is ordered."""

import pytest

from tests.contract.command.universe import Refused, Universe

LINE_BREAK = "\n"


async def test_a_build_keeps_its_own_duration_however_often_it_is_moved(universe: Universe) -> None:
    build = await universe.start()
    # As if it had been ordered while a dock took an hour: its row knows nothing else of that.
    await universe.rows("UPDATE build SET due_at = started_at + interval '1h' WHERE id = $1", build["id"])
    for factor in (1.1, 1.2):
        await universe.order("build.reschedule", build_id=build["id"], factor=factor)
        (row,) = await universe.builds()
        assert row["duration_ms"] == 3_600_000
    with pytest.raises(Refused, match="cannot be put off beyond"):
        await universe.order("build.reschedule", build_id=build["id"], factor=1000)
    await universe.order("build.cancel", build_id=build["id"])
    (row,) = await universe.builds()
    assert (row["state"], row["duration_ms"]) == ("cancelled", 3_600_000)


@pytest.mark.parametrize("command", ["build.cancel", "build.reschedule", "build.unqueue"])
async def test_an_id_with_a_final_line_break_is_a_bad_request(universe: Universe, command: str) -> None:
    build = await universe.start()
    with pytest.raises(Refused) as caught:
        await universe.order(command, build_id=build["id"] + LINE_BREAK, factor=1)
    assert caught.value.code == "bad_request"


@pytest.mark.parametrize("due_at", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
async def test_the_ends_of_the_calendar_are_a_bad_request(universe: Universe, due_at: str) -> None:
    build = await universe.start()
    with pytest.raises(Refused) as caught:
        await universe.order("build.reschedule", build_id=build["id"], due_at=due_at)
    assert caught.value.code == "bad_request"
