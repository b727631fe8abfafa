"""Rounds: every contestant once, then every contestant again, so that a machine that drifts drifts for all."""

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

Figures = dict[str, float]
Measure = Callable[[], Awaitable[Figures]]
Progress = Callable[[str], None]


@dataclass
class Result:
    """One contestant's figures of one scenario.

    Attributes:
        rounds: what each round gave, figure by figure, units in the names.
        failures: why a round gave nothing, if one did.
    """

    contestant: str
    rounds: list[Figures] = field(default_factory=list[Figures])
    failures: list[str] = field(default_factory=list[str])

    def median(self, figure: str) -> float | None:
        """The middle of the rounds, None where no round has this figure."""
        values = [each[figure] for each in self.rounds if figure in each]
        return statistics.median(values) if values else None

    def spread(self, figure: str) -> tuple[float, float] | None:
        """The smallest and the largest of the rounds."""
        values = [each[figure] for each in self.rounds if figure in each]
        return (min(values), max(values)) if values else None

    def report(self) -> dict[str, object]:
        """Medians and spreads of every figure, as `results.json` holds them."""
        names = dict.fromkeys(name for each in self.rounds for name in each)
        figures = {name: {"median": self.median(name), "min_max": self.spread(name)} for name in names}
        return {"figures": figures, "rounds": len(self.rounds), "failures": self.failures}


async def interleave(contestants: Mapping[str, Measure], rounds: int, progress: Progress) -> Sequence[Result]:
    """Run each contestant `rounds` times, in turn; a contestant that fails says why and the others go on."""
    results = {name: Result(name) for name in contestants}
    for number in range(1, rounds + 1):
        for name, measure in contestants.items():
            progress(f"round {number} of {rounds}: {name}")
            try:
                results[name].rounds.append(await measure())
            except Exception as failure:  # noqa: BLE001 - a peer's library raises what it likes; it is written down
                results[name].failures.append(f"{type(failure).__name__}: {failure}")
                progress(f"{name} failed: {failure}")
    return list(results.values())
