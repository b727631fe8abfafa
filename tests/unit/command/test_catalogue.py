"""The catalogue, and what it refuses."""

from datetime import timedelta
from pathlib import Path

import pytest

from starwake.game.catalogue import Catalogue, load_catalogue, parse_duration
from starwake.game.errors import CatalogueError


def loaded(tmp_path: Path, text: str, time_scale: float = 1.0) -> Catalogue:
    path = tmp_path / "catalogue.toml"
    path.write_text(text)
    return load_catalogue(path, time_scale=time_scale)


def test_the_game_has_a_dozen_kinds_from_minutes_to_days() -> None:
    kinds = load_catalogue().kinds.values()
    assert len(kinds) >= 12
    assert min(kind.duration for kind in kinds) <= timedelta(minutes=5)
    assert max(kind.duration for kind in kinds) >= timedelta(days=2)
    assert all(kind.description for kind in kinds)


def test_whoever_begins_can_build_what_the_protocol_shows() -> None:
    kinds = load_catalogue().kinds
    assert kinds["dock"].requires == kinds["shipyard"].requires == ()


def test_the_time_scale_shortens_durations_to_no_less_than_a_millisecond(tmp_path: Path) -> None:
    catalogue = loaded(tmp_path, '[kinds.a]\ntitle = "A"\nduration = "1m"', 600)
    assert catalogue.kinds["a"].duration == timedelta(milliseconds=100)
    assert loaded(tmp_path, '[kinds.a]\ntitle = "A"\nduration = "1s"', 1e6).kinds["a"].duration == timedelta(
        milliseconds=1
    )


def test_a_kind_shows_its_duration_in_seconds() -> None:
    view = load_catalogue(time_scale=60).kinds["beacon"].view()
    assert (view["kind"], view["duration_s"], view["reschedulable"]) == ("beacon", 2.0, True)


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("1.5h", 5400), ("1d 12h", 129_600), ("1h30m", 5400), ("2d", 172_800)]
)
def test_durations_are_written_as_people_do(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", " ", "5", "h", "30m 1h", "-1h", "1e3s", "0s", "4000d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("kinds = 3", "object"),
        ("[kinds.a", "Expected"),
        ('[kinds.a]\nduration = "1h"', r"kinds\.a: .*`title`"),
        ('[kinds.a]\ntitle = 3\nduration = "1h"', r"kinds\.a: Expected `str`, got `int` - at `\$\.title`"),
        ('extends = "other"', "no catalogue 'other' to extend"),
        ('extends = "default"\n[kinds.dok]\nduration = "1h"', r"kinds\.dok: .*did you mean dock\?"),
        ('extends = "default"\n[kinds.ark]\ntitle = "Ark"\nduration = "1h"\nrequires = ["refinary"]', "mean refinery"),
        (
            'extends = "default"\n[kinds.mine]\nrequires = ["reactor"]',
            "circle: mine requires reactor requires refinery",
        ),
        ('extends = "default"\n[limits]\nqueued_per_site = -1', "queued_per_site"),
        ("[limits]", "no kinds"),
        ('[kinds.a]\ntitle = "A"\nduration = "soon"', "soon"),
        ('[kinds.a]\ntitle = "A"\nduration = "1h"\nrequires = ["b"]', "which is no kind"),
        ('[kinds.a]\ntitle = "A"\nduration = "1h"\nrequires = ["a"]', "circle: a"),
        ('[kinds.A-b]\ntitle = "A"\nduration = "1h"', "lower-case"),
        ('[kinds.a]\ntitle = "A"\nduration = "1h"\nrequire = []', "require"),
        ('[limits]\nbuilds_at_once = 0\n[kinds.a]\ntitle = "A"\nduration = "1h"', "builds_at_once"),
    ],
)
def test_a_catalogue_that_does_not_hold_together_is_refused_in_one_line(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(CatalogueError, match=why) as caught:
        loaded(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_missing_catalogue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="No such file"):
        load_catalogue(tmp_path / "none.toml")


def test_an_extending_catalogue_adds_kinds_behind_the_shipped_ones(tmp_path: Path) -> None:
    text = 'extends = "default"\n[kinds.ark]\ntitle = "Ark"\nduration = "9d"\nrequires = ["shipyard"]'
    catalogue, shipped = loaded(tmp_path, text, 60), load_catalogue(time_scale=60)
    assert list(catalogue.kinds) == [*shipped.kinds, "ark"]
    assert catalogue.kinds["ark"].duration == timedelta(days=9) / 60
    assert catalogue.kinds["dock"] == shipped.kinds["dock"]
    assert catalogue.limits == shipped.limits


def test_an_extending_catalogue_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    text = 'extends = "default"\n[limits]\nqueued_per_site = 1\n[kinds.dock]\nduration = "1m"\nrequires = ["mine"]'
    catalogue, shipped = loaded(tmp_path, text), load_catalogue()
    dock = catalogue.kinds["dock"]
    assert (dock.duration, dock.requires) == (timedelta(minutes=1), ("mine",))
    assert (dock.title, dock.reschedule) == (shipped.kinds["dock"].title, shipped.kinds["dock"].reschedule)
    assert list(catalogue.kinds) == list(shipped.kinds)
    assert catalogue.limits.queued_per_site == 1
    assert catalogue.limits.builds_at_once == shipped.limits.builds_at_once
