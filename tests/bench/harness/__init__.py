"""How a comparison is run: processes pinned to cores, rounds interleaved, medians with their spread."""
