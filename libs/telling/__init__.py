"""Telling what the table decided: joins the outbox and the notification stream, by the database's clock."""

from libs.store.outbox import OutboxRow
from libs.telling.clock import DatabaseClock
from libs.telling.teller import Teller, TellResult

__all__ = ["DatabaseClock", "OutboxRow", "TellResult", "Teller"]
