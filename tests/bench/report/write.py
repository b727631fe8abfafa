"""`results.json`, and what is made of it: plots and the README's table."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.bench.harness.machine import describe
from tests.bench.harness.rounds import Result
from tests.bench.report import plots, table
from tests.bench.scenarios.registry import SCENARIOS

RESULTS: Final = Path(__file__).parent.parent / "results.json"
PLOTS: Final = Path(__file__).parent.parent / "plots"
README: Final = Path(__file__).parents[3] / "README.md"


def everything(results: Mapping[str, Sequence[Result]], *, seconds: float) -> None:
    """Write the figures down; scenarios that did not run keep what an earlier run gave, with its date.

    Args:
        results: by scenario.
        seconds: how long the run took.
    """
    written: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"scenarios": {}}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    written["machine"] = describe()
    written["units"] = (
        "in the figures' names: us, ms, s, kb (1000 bytes), mb; per_s: a second; cpu_us: CPU microseconds of all "
        "servers for each piece of work, cpu_us_web of the process that holds the sockets; cpu_share: of one core"
    )
    written["last_run"] = {"ended_at": now, "took_s": round(seconds), "scenarios": list(results)}
    for name, contestants in results.items():
        scenario = SCENARIOS[name]
        written["scenarios"][name] = {
            "title": scenario.title,
            "work": scenario.work,
            "measured_at": now,
            "contestants": {result.contestant: result.report() for result in contestants},
        }
    written["scenarios"] = {name: written["scenarios"][name] for name in SCENARIOS if name in written["scenarios"]}
    RESULTS.write_text(json.dumps(written, indent=1) + "\n")
    plots.draw(written["scenarios"], PLOTS)
    table.into(README, written)
