"""Repair of streams and consumers, and deletion of what is no longer needed."""
