"""What some tests need of the machine beyond Python, how it is got, and which tests are left out without it.

`python -m tests.support.needs` looks, gets what it may (Debian's packages as root; else from the registries of Python,
Node.js and Go) and says what is still missing. A test names its needs: `pytestmark = pytest.mark.needs("browser")`.

STARWAKE_TEST_NEEDS: `auto` (the default) leaves out the tests whose needs are not met, and says how many and how to
get them; `require` (CI) fails instead.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.support.chromium import fetch_chromium, has_chromium
from tests.support.kustomize import fetch_kustomize, kustomize_command
from tests.support.programs import find_program

_SECONDS: Final = 900


@dataclass(frozen=True)
class Need:
    """One thing that tests need.

    Attributes:
        what: in words, for people.
        is_met: whether it is there.
        packages: Debian's packages that bring it.
        fetch: another way to get it, without root; whether it went well.
        root_only: whether it is of use to root alone.
    """

    what: str
    is_met: Callable[[], bool]
    packages: tuple[str, ...]
    fetch: Callable[[], bool] | None = None
    root_only: bool = False

    @property
    def met(self) -> bool:
        """Whether tests that need it can run."""
        return self.is_met() and (not self.root_only or os.geteuid() == 0)

    @property
    def advice(self) -> str:
        """How to get it."""
        return f"as root: apt-get install {' '.join(self.packages)}"


def _programs(*names: str) -> Callable[[], bool]:
    return lambda: all(map(find_program, names))


NEEDS: Final[Mapping[str, Need]] = {
    "browser": Need("Chromium", has_chromium, ("chromium", "fonts-dejavu-core"), fetch_chromium),
    "proxies": Need(
        "nginx, HAProxy and Caddy", _programs("nginx", "haproxy", "caddy"), ("nginx-light", "haproxy", "caddy")
    ),
    "kustomize": Need(
        "kustomize, kubectl or Go", lambda: kustomize_command() is not None, ("golang-go",), fetch_kustomize
    ),
    "pgbouncer": Need("PgBouncer", _programs("pgbouncer"), ("pgbouncer",)),
    "promtool": Need("promtool", _programs("promtool"), ("prometheus",)),
    "containers": Need(
        "containers (podman and debootstrap, for root alone)",
        _programs("podman", "runc", "debootstrap"),
        ("podman", "runc", "netavark", "aardvark-dns", "iptables", "ca-certificates", "debootstrap"),
        root_only=True,
    ),
}


def missing(names: Iterable[str]) -> list[str]:
    """Those of the needs `names` that are not met, each looked at once a process.

    Raises:
        KeyError: there is no such need.
    """
    return [name for name in names if not _met(name)]


def is_required() -> bool:
    """Whether a need that is not met fails the run."""
    return os.environ.get("STARWAKE_TEST_NEEDS", "auto") == "require"


def in_words(left_out: Mapping[str, int]) -> list[str]:
    """What was left out for want of what, and how to get it, a line each."""
    return [
        f"{count} tests left out: {NEEDS[name].what} is missing ({NEEDS[name].advice})"
        for name, count in sorted(left_out.items())
    ]


def get(names: Iterable[str]) -> None:
    """Get what is missing of `names`, where one may."""
    lacking = missing(names)
    packages = [package for name in lacking for package in NEEDS[name].packages]
    if packages and os.geteuid() == 0 and shutil.which("apt-get"):
        sys.stderr.write(f"installing what the tests need: {' '.join(packages)}\n")
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "--yes", "-qq", "--no-install-recommends", *packages]):
            done = subprocess.run(
                ["apt-get", *command], env=environment, check=False, timeout=_SECONDS, stdout=subprocess.DEVNULL
            )
            if done.returncode != 0:
                sys.stderr.write(f"`apt-get {' '.join(command)}` failed\n")
                break
    _known.clear()
    for name in missing(lacking):
        fetch = NEEDS[name].fetch
        if fetch is not None:
            sys.stderr.write(f"fetching {NEEDS[name].what} for the tests\n")
            fetch()
    _known.clear()


def main() -> int:
    """Get what is missing; 1 where something still is and all is required."""
    get(NEEDS)
    lacking = missing(NEEDS)
    for name in lacking:
        need = NEEDS[name]
        sys.stderr.write(f"missing: {need.what} ({need.advice}); the tests that need it are left out\n")
    return 1 if lacking and is_required() else 0


_known: dict[str, bool] = {}


def _met(name: str) -> bool:
    if name not in _known:
        _known[name] = NEEDS[name].met
    return _known[name]


if __name__ == "__main__":
    sys.exit(main())
