"""Crash points: places where a test can kill a process, to see that nothing is lost or doubled there.

They exist only where STARWAKE_TESTING is set. STARWAKE_FAULT names one point, `name` or `name:n` for the n-th time
it is reached; the process then kills itself with SIGKILL, as a power cut would.
"""

import os
import signal

AFTER_COMMIT = "after_commit"
"""command: the order is committed, nothing answered, armed or told."""
AFTER_ARM = "after_arm"
"""command: the alarm is set, its acknowledgement not looked at."""
AFTER_UPDATE = "after_update"
"""scheduler: rows are completed, nothing told."""
AFTER_PUBLISH = "after_publish"
"""scheduler, command: told, the outbox not cleared."""
BEFORE_ACK = "before_ack"
"""scheduler: completed, told and cleared; the alarms not acknowledged."""
BATCH_IN_HAND = "batch_in_hand"
"""scheduler: alarms taken from the stream, nothing done yet."""

POINTS = frozenset({AFTER_COMMIT, AFTER_ARM, AFTER_UPDATE, AFTER_PUBLISH, BEFORE_ACK, BATCH_IN_HAND})


class _Fault:
    def __init__(self, setting: str) -> None:
        self.point, _, count = setting.partition(":")
        self.left = int(count or 1)
        if self.point not in POINTS:
            raise ValueError(f"STARWAKE_FAULT names no crash point: {self.point!r}")


_setting = os.environ.get("STARWAKE_FAULT")
_fault = _Fault(_setting) if _setting and os.environ.get("STARWAKE_TESTING") else None


def reach(point: str) -> None:
    """Die here if a test asked for it; otherwise nothing."""
    if _fault is not None and _fault.point == point:
        _fault.left -= 1
        if _fault.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
