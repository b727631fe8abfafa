"""Surveys end in `stars.discovered`: what was found, decided by the build's id."""

from typing import Any

from starwake.game import BuildRecord, FollowUp, completion

from ._stars import discover


@completion("survey")
def survey(build: BuildRecord) -> list[FollowUp]:
    """One to three stars nearby."""
    return [_discovered(build, discover(build.id, at_most=3, within_ly=120))]


@completion("deep_survey")
def deep_survey(build: BuildRecord) -> list[FollowUp]:
    """Up to seven, far out."""
    return [_discovered(build, discover(build.id, at_most=7, within_ly=4000))]


def _discovered(build: BuildRecord, stars: list[dict[str, Any]]) -> FollowUp:
    return FollowUp("stars.discovered", {"site": build.site, "build_id": build.id, "stars": stars})
