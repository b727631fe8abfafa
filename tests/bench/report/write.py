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
_REPOSITORY: Final = Path(__file__).parents[3]
PLOTS: Final = _REPOSITORY / "docs" / "benchmarks"
README: Final = _REPOSITORY / "README.md"


def scenario(name: str, results: Sequence[Result], run: Mapping[str, object]) -> None:
    """Write one scenario's figures down; the others keep what was measured before.

    Args:
        name: of the scenario.
        results: of its contestants.
        run: how its measuring went: `took_s`, `cores_busy_with_other_work` on average.
    """
    written: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"scenarios": {}}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    machine = describe(written.get("machine", {}).get("versions", {}))
    written["machine"] = machine
    written["units"] = (
        "in the figures' names: us, ms, s, kb (1000 bytes), mb; per_s: a second; cpu_us: CPU microseconds of all "
        "servers for each piece of work, cpu_us_web of the process that holds the sockets; cpu_share: of one core"
    )
    written["scenarios"][name] = {
        "title": SCENARIOS[name].title,
        "work": SCENARIOS[name].work,
        "measured_at": now,
        "processor": machine["processor"],
        **run,
        "contestants": {result.contestant: result.report() for result in results},
    }
    written["scenarios"] = {each: written["scenarios"][each] for each in SCENARIOS if each in written["scenarios"]}
    RESULTS.write_text(json.dumps(written, indent=1) + "\n")
    plots.draw(written["scenarios"], PLOTS)
    table.into(README, written)
