"""The README's table: each goal, ours, the best peer, the floor."""

from pathlib import Path
from typing import Any, Final

from tests.bench.scenarios.goals import GOALS, Goal, Results

BEGIN: Final = "<!-- bench:begin -->"
END: Final = "<!-- bench:end -->"
_MARKS: Final = {True: "yes", False: "no", None: ""}
_MANY: Final = 100
_QUIET: Final = 0.1


def into(readme: Path, written: dict[str, Any]) -> None:
    """Rewrite what stands between the markers, and nothing else.

    Raises:
        ValueError: the markers are not there.
    """
    text = readme.read_text()
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    readme.write_text(f"{head}{BEGIN}\n{markdown(written)}{END}{tail}")


def markdown(written: dict[str, Any]) -> str:
    """The table, and where its figures come from."""
    machine, scenarios = written["machine"], written["scenarios"]
    rows = [row for goal in GOALS if (row := _row(goal, scenarios)) is not None]
    date = written["last_run"]["ended_at"][:10]
    others = written["last_run"].get("cores_busy_with_other_work", 0.0)
    shared = f" The machine was shared: {others:.1f} cores' worth of other work." if others > _QUIET else ""
    source = (
        f"Measured {date} on {machine['processor']}, {machine['cores']} cores ({machine['memory_gib']} GiB), Python "
        f"{machine['python']}, all contestants of a row in one run, in turn, servers on one core, clients on the "
        f"other; medians.{shared} `uv run just bench` repeats it; [every figure with its spread]"
        "(tests/bench/results.json), [plots](tests/bench/plots/), [what is compared and how](tests/bench/README.md)."
    )
    lines = (
        "| work | Starwake | goal | met | best peer | floor | times better than the peer |",
        "|---|--:|--:|:-:|--:|--:|--:|",
        *rows,
        "",
        source,
        "",
    )
    return "\n".join(lines)


def _row(goal: Goal, results: Results) -> str | None:
    ours = goal.of(results, "starwake")
    if ours is None:
        return None
    best, floor = goal.best_peer(results), goal.of(results, goal.floor)
    cells = (
        goal.work,
        f"{number(ours)} {goal.unit}".strip(),
        _goal(goal),
        _MARKS[goal.reached(results)],
        f"{number(best[1])} {goal.unit} ({best[0]})" if best else "",
        f"{number(floor)} {goal.unit}" if floor is not None else "",
        f"{number(goal.times_better(ours, best[1]))}" if best and ours and best[1] else "",
    )
    return "| " + " | ".join(cells) + " |"


def _goal(goal: Goal) -> str:
    sign = "<=" if goal.better == "less" else ">="
    parts = [f"{sign} {number(goal.target)} {goal.unit}".strip()] if goal.target is not None else []
    if goal.times_best_peer:
        parts.append(f"{goal.times_best_peer:g}x")
    return ", ".join(parts)


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= _MANY else f"{value:.3g}"
