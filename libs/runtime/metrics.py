"""Prometheus conventions of the house: units in the name, buckets that fit what is measured."""

from typing import Final

# Lateness and delays: from half a millisecond, where the goals lie, to a minute, where an outage shows.
LATENESS_SECONDS: Final = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
# Requests and commands: seconds from frame to answer.
REQUEST_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Sizes of batches, in items.
BATCH_ITEMS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
