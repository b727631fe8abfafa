"""What the bus counts."""

from prometheus_client import Counter

SLOW_CONSUMERS = Counter(
    "starwake_bus_slow_consumers_total",
    "Connections that the NATS server ended because this process did not read fast enough.",
)
ERRORS = Counter(
    "starwake_bus_errors_total",
    "Errors on the NATS connection and in the handlers of its messages.",
    ["kind"],
)
RECONNECTS = Counter("starwake_bus_reconnects_total", "Times that the connection to NATS was lost and came back.")
