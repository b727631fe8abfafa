"""CPU of the pure parts, C code included, as a multiple of a floor: the best of many short slices that take turns.

A slice is so short that some are never interrupted however busy the machine is; those are what the best ones are.
"""

import json
import time
from collections.abc import Callable
from typing import Final

from tests.bench.guards.instructions import COMMAND, works

_SLICES: Final = 300
_SLICE_CALLS: Final = 20


def measure() -> dict[str, float]:
    """CPU of one of each piece of work over that of reading the command and writing it with Python's own json."""
    pieces: dict[str, Callable[[], object]] = {"floor": lambda: json.dumps(json.loads(COMMAND)), **works()}
    best = dict.fromkeys(pieces, float("inf"))
    for _ in range(_SLICES):
        for name, work in pieces.items():
            best[name] = min(best[name], _slice(work))
    floor = best.pop("floor")
    # Together: each alone differs from one process to the next by a tenth, as things happen to lie in memory.
    return {"pure_parts_cpu_of_the_floor": sum(best.values()) / floor}


def _slice(work: Callable[[], object]) -> float:
    began = time.thread_time_ns()
    for _ in range(_SLICE_CALLS):
        work()
    return time.thread_time_ns() - began
