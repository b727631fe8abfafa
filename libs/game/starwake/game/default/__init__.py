"""The game that is shipped: a catalogue, and what its surveys push. Modules whose names begin with `_` are helpers."""
