"""What surveys find."""

from collections import Counter

import pytest

from starwake.game.default._stars import discover


def test_the_same_survey_finds_the_same_stars() -> None:
    assert discover("seed", at_most=7, within_ly=100) == discover("seed", at_most=7, within_ly=100)
    assert discover("seed", at_most=7, within_ly=100) != discover("other", at_most=7, within_ly=100)


@pytest.mark.parametrize("seed", range(50))
def test_a_survey_finds_at_least_one_star_and_no_more_than_it_may(seed: int) -> None:
    stars = discover(str(seed), at_most=5, within_ly=100)
    assert 1 <= len(stars) <= 5
    assert len({star["name"] for star in stars}) == len(stars)
    for star in stars:
        assert 4 <= star["distance_ly"] <= 100
        assert 0 <= star["planets"] <= 9


def test_most_stars_are_red_dwarfs_and_names_seldom_repeat() -> None:
    stars = [star for seed in range(500) for star in discover(str(seed), at_most=5, within_ly=100)]
    classes = Counter(star["class"][0] for star in stars)
    assert classes["M"] > len(stars) * 0.6
    assert set(classes) <= set("OBAFGKM")
    assert len({star["name"] for star in stars}) > len(stars) * 0.8
