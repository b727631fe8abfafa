"""The search in the table for what is due and for what the outbox still holds."""
