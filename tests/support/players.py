"""Players that no other test has: tests share one NATS server."""

from uuid import uuid4


def unique_player() -> str:
    """A player id that is new in every call."""
    return f"player-{uuid4().hex[:12]}"
