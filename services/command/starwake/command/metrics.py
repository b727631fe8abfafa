"""What the command service measures; served at /metrics."""

from functools import cache

from prometheus_client import Counter, Gauge

from starwake.runtime.metrics import BATCH_ITEMS, REQUEST_SECONDS, Histogram

ORDERS = Counter("starwake_command_orders", "Commands answered, by what became of them", ["command", "outcome"])
ANSWER_SECONDS = Histogram(
    "starwake_command_answer_seconds", "From an order's arrival to its answer, in seconds", buckets=REQUEST_SECONDS
)
COMMIT_SECONDS = Histogram(
    "starwake_command_commit_seconds", "One batch's transaction, locks and COMMIT included", buckets=REQUEST_SECONDS
)
BATCH_SIZE = Histogram("starwake_command_batch_size", "Orders in one transaction", buckets=BATCH_ITEMS)
QUEUE = Gauge("starwake_command_queue", "Orders that wait for their batch")
RETRIES = Counter("starwake_command_retries", "Transactions that were judged again after a conflict")
LEFT_TO_SWEEP = Counter(
    "starwake_command_left_to_sweep", "What was committed and could not be armed or told at once", ["what"]
)


@cache
def answered(command: str, outcome: str) -> Counter:
    """The counter of this command's answers; commands and outcomes are few, and looking one up by labels is slow."""
    return ORDERS.labels(command=command, outcome=outcome)
