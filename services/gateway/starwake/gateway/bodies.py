"""What is stored in a feed is looked at once before it is joined into frames: anybody may have published it."""

import time
from datetime import UTC, datetime
from typing import Final

from starwake.contracts.frames import is_push_body, unreadable_body
from starwake.contracts.times import to_rfc3339, truncate
from starwake.gateway import metrics
from starwake.runtime.logs import get_logger

_log = get_logger("gateway.bodies")
_LOGGED_EVERY_S: Final = 10.0
_logged_at = float("-inf")


def checked(seq: int, body: bytes) -> bytes:
    """The body, or what stands in for it where no client could read the frame that it would make."""
    if is_push_body(body):
        return body
    metrics.UNREADABLE_PUSHES.inc()
    global _logged_at  # noqa: PLW0603 - one line for all feeds in a while: strangers cause them
    if time.monotonic() - _logged_at > _LOGGED_EVERY_S:
        _logged_at = time.monotonic()
        _log.warning("push.unreadable", seq=seq, bytes=len(body))
    return unreadable_body(to_rfc3339(truncate(datetime.now(UTC))))
