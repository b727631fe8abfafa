"""Publishes the outbox table into the notification stream, each row not before its time by the database's clock."""

from starwake.outbox.relay import Relay, RelayResult
from starwake.store.outbox import OutboxRow

__all__ = ["OutboxRow", "Relay", "RelayResult"]
