"""Health as a service itself sees it: alive, ready, and if not, why not."""

from collections.abc import Callable
from dataclasses import dataclass

# None when the dependency is there, otherwise a short reason.
Check = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the service can take work, and what stands against it (by name of the check)."""

    ready: bool
    reasons: dict[str, str]


class Health:
    """Readiness of one service: its own word, and checks that are asked each time.

    A service starts out not ready. Checks are synchronous and must not block: they read what a connection knows.
    """

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._own_reason: str | None = "starting"

    def set_ready(self, ready: bool, reason: str = "") -> None:  # noqa: FBT001 - reads as a sentence where called
        """Say whether the service itself is ready; `reason` tells why not."""
        self._own_reason = None if ready else reason or "not ready"

    def add_check(self, name: str, check: Check) -> None:
        """Ask `check` whenever readiness is read: None means that all is well, a text says what is not."""
        self._checks[name] = check

    def readiness(self) -> Readiness:
        """What stands against readiness at this moment."""
        reasons = {} if self._own_reason is None else {"service": self._own_reason}
        for name, check in self._checks.items():
            reason = check()
            if reason is not None:
                reasons[name] = reason
        return Readiness(ready=not reasons, reasons=reasons)
