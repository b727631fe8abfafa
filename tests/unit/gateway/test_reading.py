"""When histories are read one by one, when in one go, and how long somebody has to wait for one."""

import pytest

from starwake.gateway.reading import MAX_TOGETHER, expected_wait_s, is_near, pays, together_from


@pytest.mark.parametrize("lows", [[], [1], [1, 500, 900]])
def test_a_few_players_are_read_one_by_one(lows: list[int]) -> None:
    assert together_from(lows, 1_000_000) is None


def test_many_players_who_left_at_the_same_time_are_read_in_one_go() -> None:
    assert together_from([1] * 2_000, 240_000) == 1


def test_a_few_who_were_away_for_long_do_not_make_everybodys_stretch_longer() -> None:
    lows = [*range(1, 11), *([9_900_000] * 1_000)]
    assert together_from(lows, 10_000_000) == 9_900_000


def test_who_has_missed_next_to_nothing_is_read_in_one_go_with_the_others() -> None:
    lows = sorted(range(1_000, 2_000))
    begin = together_from(lows, 2_000)
    assert begin is not None
    assert begin < 1_100


def test_the_wait_grows_with_what_is_left_and_with_who_waits() -> None:
    idle = expected_wait_s(left=0, waiting=0, span=0, per_s=50_000, alone_s=0.01)
    reading = expected_wait_s(left=100_000, waiting=0, span=0, per_s=50_000, alone_s=0.01)
    behind = expected_wait_s(left=100_000, waiting=1_000, span=100_000, per_s=50_000, alone_s=0.01)
    many = expected_wait_s(left=100_000, waiting=2 * MAX_TOGETHER, span=100_000, per_s=50_000, alone_s=0.01)
    assert (idle, reading, behind, many) == (0, 2, 4, 6)


def test_a_few_who_wait_are_expected_to_be_read_one_by_one() -> None:
    assert expected_wait_s(left=0, waiting=5, span=10_000_000, per_s=50_000, alone_s=0.01) == pytest.approx(0.05)


def test_one_player_is_reason_enough_to_read_the_little_that_was_stored_since_the_last_reading() -> None:
    assert pays([1], 240_001, 240_050)
    assert not pays([1], 100_001, 240_050)
    assert pays([1] * 100, 100_001, 240_050)


def test_who_has_missed_next_to_nothing_need_not_wait_for_a_long_reading() -> None:
    assert is_near(239_000, 240_000)
    assert not is_near(1, 240_000)
