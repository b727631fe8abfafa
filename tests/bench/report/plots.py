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


def draw(results: Results, folder: Path) -> None:
    """One SVG a goal that has rivals, one a growth curve."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    for goal in GOALS:
        bars(goal, results, folder)
    if "growth" in results:
        growth(results["growth"]["contestants"]["starwake"]["figures"], folder)


def bars(goal: Goal, results: Results, folder: Path) -> None:
    """Every contestant's median, with its spread."""
    contestants: dict[str, Any] = results.get(goal.scenario, {}).get("contestants", {})
    measured = {
        name: each["figures"][goal.figure] for name, each in contestants.items() if goal.figure in each["figures"]
    }
    if len(measured) <= 1 or "starwake" not in measured:
        return
    if not any(each["median"] for each in measured.values()):
        return  # nobody refused anybody: nothing to see
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
    _save(figure, folder / f"{goal.scenario}-{goal.figure}.svg")


def growth(figures: dict[str, Any], folder: Path) -> None:
    """Cost of one unit against how many there are."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for name, values in figures.items():
        curve, _, size = name.rpartition("_at_")
        if curve:
            curves.setdefault(curve, []).append((int(size), values["median"]))
    for curve, points in curves.items():
        figure, axes = cast("Any", plt.subplots(figsize=(_WIDTH_INCHES, 2.6)))  # pyright: ignore[reportUnknownMemberType]
        sizes, costs = zip(*sorted(points), strict=True)
        axes.plot(sizes, costs, marker="o", color=_COLOURS["starwake"])
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.set_title(f"growth: {curve.replace('_', ' ')}", fontsize=9)
        _save(figure, folder / f"growth-{curve}.svg")


def _save(figure: Any, path: Path) -> None:  # noqa: ANN401 - matplotlib's, untyped
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    # Matplotlib leaves spaces at lines' ends.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")
