"""A service that counts its own bytecode instructions: `python -m tests.bench.guards.traced SERVICE`.

The count stands in the file that BENCH_COUNT_FILE names, written anew every few milliseconds by a thread of its own,
which is not counted. Tracing makes the service many times slower, and the count the same on every machine.
"""

import importlib
import os
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, Final

from starwake.cli.services import SERVICES, serve

WRITTEN_EVERY_S: Final = 0.02


class Counter:
    """Counts what the main thread carries out; C code does not count."""

    def __init__(self) -> None:
        self.count = 0

    def trace(self, frame: FrameType, event: str, _argument: object) -> Any:  # noqa: ANN401 - itself
        """What `sys.settrace` takes."""
        if event == "opcode":
            self.count += 1
        else:
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        return self.trace

    def tell(self, file: Path) -> None:
        """Keep the count in a file, for good; nobody ever reads half of it."""
        beside = file.with_suffix(".new")
        while True:
            beside.write_text(str(self.count))
            beside.replace(file)
            time.sleep(WRITTEN_EVERY_S)


def main() -> int:
    """Run the service; its exit code."""
    service = SERVICES[[str(name) for name in SERVICES].index(sys.argv[1])]
    counter = Counter()
    threading.Thread(target=counter.tell, args=(Path(os.environ["BENCH_COUNT_FILE"]),), daemon=True).start()
    importlib.import_module(f"starwake.{service}.app")  # what importing takes is of no interest
    sys.settrace(counter.trace)
    return serve(service)


if __name__ == "__main__":
    sys.exit(main())
