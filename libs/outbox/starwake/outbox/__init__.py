"""Telling what the table decided: joins the outbox and the notification stream, by the database's clock."""

from starwake.outbox.clock import DatabaseClock
from starwake.outbox.teller import Teller, TellResult
from starwake.store.outbox import OutboxRow

__all__ = ["DatabaseClock", "OutboxRow", "TellResult", "Teller"]
