"""What the guard measures."""
