"""A follow-up is pushed days after its order: whatever could keep it from being pushed is found when it is given."""

from typing import Any, cast

import pytest

from starwake.contracts.builds import FollowUp
from starwake.contracts.follow_ups import MAX_FOLLOW_UPS, MAX_FOLLOW_UPS_BYTES, FollowUpError, checked_follow_ups


def test_ordinary_follow_ups_are_taken_as_they_are() -> None:
    given = [FollowUp("stars.discovered", {"stars": ["Vega", {"name": "Béld-ra ✦"}]}), FollowUp("fleet.ready", {})]
    assert checked_follow_ups(iter(given)) == tuple(given)
    assert checked_follow_ups([]) == ()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (FollowUp("Stars Discovered", {}), "dotted and lower-case"),
        (FollowUp("a" * 65, {}), "dotted and lower-case"),
        (FollowUp("stars.discovered\n", {}), "dotted and lower-case"),
        (FollowUp(cast("str", 7), {}), "dotted and lower-case"),
        (FollowUp("build.completed", {}), "their own builds"),
        (FollowUp("stars.discovered", cast("dict[str, Any]", ["Vega"])), "data is a dict, not a list"),
        (FollowUp("stars.discovered", {"by": object()}), "is no JSON"),
        (FollowUp("stars.discovered", {"name": "\ud800"}), "is no JSON"),
        (FollowUp("stars.discovered", {"name": "a\0"}), "U\\+0000"),
        (FollowUp("stars.discovered", {"name": "x" * MAX_FOLLOW_UPS_BYTES}), "at most 57,344 bytes"),
        (cast("FollowUp", {"event": "stars.discovered"}), "no FollowUp but a dict"),
    ],
)
def test_a_follow_up_that_could_not_be_pushed_is_refused_by_what_is_wrong_with_it(given: FollowUp, why: str) -> None:
    with pytest.raises(FollowUpError, match=why):
        checked_follow_ups([given])


def test_follow_ups_are_bounded_together_too() -> None:
    half = FollowUp("a.b", {"x": "y" * (MAX_FOLLOW_UPS_BYTES // 2)})
    checked_follow_ups([half])
    with pytest.raises(FollowUpError, match="together"):
        checked_follow_ups([half, half])
    many = [FollowUp("a.b", {})] * MAX_FOLLOW_UPS
    checked_follow_ups(many)
    with pytest.raises(FollowUpError, match="at most 32 follow-ups"):
        checked_follow_ups([*many, many[0]])
