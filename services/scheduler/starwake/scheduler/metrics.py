"""What the scheduler counts and measures."""

from prometheus_client import Counter, Gauge, Histogram

from starwake.runtime.metrics import BATCH_ITEMS, LATENESS_SECONDS

LATENESS = Histogram(
    "starwake_scheduler_lateness_seconds",
    "From the moment a push was due to the moment the notification stream had stored it.",
    buckets=LATENESS_SECONDS,
)
COMPLETIONS = Counter("starwake_scheduler_completions_total", "Rows whose time came and that were completed.", ["kind"])
HELD = Gauge("starwake_scheduler_held", "Rows in memory that wait for their time or are being completed.")
OVERDUE = Gauge("starwake_scheduler_overdue", "Rows in the table that wait beyond their time by more than a second.")
CONSUMER_UNTAKEN = Gauge(
    "starwake_scheduler_consumer_untaken", "Alarms that have fired and that no scheduler has taken from the stream."
)
CONSUMER_UNACKNOWLEDGED = Gauge(
    "starwake_scheduler_consumer_unacknowledged", "Alarms that schedulers have taken and that are not completed yet."
)
PENDING = Gauge("starwake_scheduler_pending", "Rows in the table that wait for their time.")
UNPUBLISHED = Gauge("starwake_scheduler_untold", "Pushes in the outbox whose time to be published has come.")
UNPUBLISHED_SECONDS = Gauge(
    "starwake_scheduler_untold_seconds", "For how long the oldest push in the outbox has waited to be published."
)
SET_ASIDE = Gauge("starwake_scheduler_set_aside", "Pushes in the outbox that the stream can never take, set aside.")
ALARMS_REFUSED_SECONDS = Gauge(
    "starwake_scheduler_alarms_refused_seconds", "For how long no alarm could be set in the stream TIMERS."
)
CHANGES = Counter(
    "starwake_scheduler_reconcile_changes_total", "Differences between table and streams that were mended.", ["kind"]
)
RECONCILE_SECONDS = Gauge("starwake_scheduler_reconcile_seconds", "How long the last whole reconcile took.")
POISON = Counter("starwake_scheduler_poison_total", "Alarm messages that are none and were thrown away.")
ALARMS = Counter("starwake_scheduler_alarms_total", "Alarm messages that arrived, by what became of them.", ["outcome"])
BATCH_SIZE = Histogram("starwake_scheduler_batch_size", "Rows completed in one transaction.", buckets=BATCH_ITEMS)
COMMIT_SECONDS = Histogram(
    "starwake_scheduler_commit_seconds", "Duration of the completing transaction.", buckets=LATENESS_SECONDS
)
STORE_FAILURES = Counter("starwake_scheduler_store_failures_total", "Batches that the database did not take.")
