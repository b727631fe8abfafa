"""The benchmark's judgement: who counts as best peer, and which goal is met."""

from typing import Any

import pytest

from tests.bench.report import table
from tests.bench.scenarios.goals import Goal

COST = Goal("an answer", "echo", "cpu_us", "us", "less", 70, stretch=55)
RATE = Goal("orders", "orders", "per_s", "/s", "more", times=10, rival="celery")


def contestant(failures: int = 0, **rounds: list[float]) -> dict[str, Any]:
    """What `results.json` holds of one contestant; three rounds a figure: middle, smallest, largest."""
    figures = {name: {"median": middle, "min_max": [low, high]} for name, (middle, low, high) in rounds.items()}
    return {"figures": figures, "rounds": 3, "failures": ["it fell over"] * failures}


def results(scenario: str, **contestants: dict[str, Any]) -> dict[str, Any]:
    """One scenario's part of `results.json`."""
    return {scenario: {"contestants": contestants}}


def test_whoever_lost_something_in_one_round_is_nobodys_best_peer() -> None:
    fast = contestant(cpu_us=[10, 9, 11], missing=[0, 0, 3])
    slow = contestant(cpu_us=[90, 80, 99], missing=[0, 0, 0])
    best = COST.best_peer(results("echo", starwake=contestant(cpu_us=[50, 49, 51]), fast=fast, slow=slow))
    assert best is not None
    assert best[0] == "slow"


def test_the_floor_is_no_peer() -> None:
    assert COST.best_peer(results("echo", floor=contestant(cpu_us=[5, 5, 5]))) is None


@pytest.mark.parametrize(("middle", "met"), [(69.0, True), (71.0, False)])
def test_a_goal_is_met_by_the_middle_of_the_rounds(middle: float, met: bool) -> None:  # noqa: FBT001 - a parameter
    assert COST.reached(results("echo", starwake=contestant(cpu_us=[middle, 60, 80]))) is met


@pytest.mark.parametrize("flaw", [contestant(cpu_us=[50, 50, 50], lost=[0, 0, 1]), contestant(1, cpu_us=[50, 50, 50])])
def test_no_goal_is_met_where_something_was_lost_or_a_round_failed(flaw: dict[str, Any]) -> None:
    assert COST.reached(results("echo", starwake=flaw)) is False


def test_a_comparison_speaks_of_its_rival_alone() -> None:
    found = results(
        "orders",
        starwake=contestant(per_s=[2000, 1900, 2100]),
        celery=contestant(per_s=[150, 140, 160]),
        other=contestant(per_s=[1000, 900, 1100]),
    )
    assert RATE.reached(found) is True


def test_a_comparison_without_its_rival_is_not_judged() -> None:
    assert RATE.reached(results("orders", starwake=contestant(per_s=[2000, 1900, 2100]))) is None


@pytest.mark.parametrize(("value", "text"), [(0.6687, "0.669"), (58.94, "58.9"), (1116.2, "1,116"), (0.0, "0")])
def test_numbers_have_the_digits_that_count(value: float, text: str) -> None:
    assert table.number(value) == text
