"""Plots: for each scenario its headline figure of every contestant, and the growth curves."""

from pathlib import Path
from typing import Any, Final, cast

import matplotlib as mpl

from tests.bench.scenarios.goals import GOALS, Goal, Results

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "starwake"  # the same figures give the same file

from matplotlib import pyplot as plt  # noqa: E402 - after the choice of backend

_COLOURS: Final = {"starwake": "#3b6fd4", "floor": "#b9b9b9"}
_PEER: Final = "#d49a3b"
_WIDTH_INCHES: Final = 6.4


_INDEX: Final = """# The benchmark's plots

Drawn from [`results.json`](../../tests/bench/results.json) by each run of the benchmark; not edited by hand. Bars are
medians, their whiskers the smallest and the largest round, a dashed line the goal.
[What is compared and how](../../tests/bench/README.md).

"""


def draw(results: Results, folder: Path) -> None:
    """One SVG a goal that has rivals, one a growth curve, and an index that shows them all."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    for name, goal in _goals(results).items():
        bars(goal, _measured(goal, results), folder / f"{name}.svg")
    for name, points in _curves(results).items():
        growth(name, points, folder / f"{name}.svg")
    (folder / "README.md").write_text(index(results))


def index(results: Results) -> str:
    """The page that shows every plot of these results."""
    names = sorted([*_goals(results), *_curves(results)])
    return _INDEX + "\n".join(f"![{name}]({name}.svg)" for name in names) + "\n"


def _goals(results: Results) -> dict[str, Goal]:
    """Those that are worth a plot, by its name."""
    return {f"{goal.scenario}-{goal.figure}": goal for goal in GOALS if _measured(goal, results)}


def _measured(goal: Goal, results: Results) -> dict[str, Any]:
    """Each contestant's figure; empty where there is nothing to compare."""
    contestants: dict[str, Any] = results.get(goal.scenario, {}).get("contestants", {})
    measured = {
        name: each["figures"][goal.figure] for name, each in contestants.items() if goal.figure in each["figures"]
    }
    if len(measured) <= 1 or "starwake" not in measured:
        return {}
    # Where nobody refused anybody there is nothing to see.
    return measured if any(each["median"] for each in measured.values()) else {}


def _curves(results: Results) -> dict[str, list[tuple[int, float]]]:
    """What one unit costs against how many there are, by the plot's name."""
    if "growth" not in results:
        return {}
    curves: dict[str, list[tuple[int, float]]] = {}
    for name, values in results["growth"]["contestants"]["starwake"]["figures"].items():
        curve, _, size = name.rpartition("_at_")
        if curve:
            curves.setdefault(f"growth-{curve}", []).append((int(size), values["median"]))
    return curves


def bars(goal: Goal, measured: dict[str, Any], path: Path) -> None:
    """Every contestant's median, with its spread."""
    names = list(measured)
    figure, axes = cast("Any", plt.subplots(figsize=(_WIDTH_INCHES, 0.6 + 0.4 * len(names))))  # pyright: ignore[reportUnknownMemberType]
    middles = [measured[name]["median"] for name in names]
    spread = [
        [middle - measured[name]["min_max"][0] for name, middle in zip(names, middles, strict=True)],
        [measured[name]["min_max"][1] - middle for name, middle in zip(names, middles, strict=True)],
    ]
    colours = [_COLOURS.get(name.partition(":")[0], _PEER) for name in names]
    axes.barh(names, middles, xerr=spread, color=colours, ecolor="#555555", capsize=3)
    if goal.target:
        axes.axvline(goal.target, color="#2a8f4f", linestyle="--", linewidth=1)
    if max(middles) > 50 * max(min(middles), 1e-9):
        axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_xlabel(goal.unit)
    axes.set_title(f"{goal.work.replace('`', '')} ({goal.better} is better)", fontsize=9)
    _save(figure, path)


def growth(name: str, points: list[tuple[int, float]], path: Path) -> None:
    """Cost of one unit against how many there are."""
    figure, axes = cast("Any", plt.subplots(figsize=(_WIDTH_INCHES, 2.6)))  # pyright: ignore[reportUnknownMemberType]
    sizes, costs = zip(*sorted(points), strict=True)
    axes.plot(sizes, costs, marker="o", color=_COLOURS["starwake"])
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_title(name.replace("-", ": ").replace("_", " "), fontsize=9)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:  # noqa: ANN401 - matplotlib's, untyped
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    # Matplotlib leaves spaces at lines' ends.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")
