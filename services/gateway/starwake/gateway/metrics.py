"""What the gateway counts. Hot counters are bound once; labels come from closed sets or are cut down to them."""

from datetime import UTC, datetime
from typing import Final

from prometheus_client import Counter, Gauge

from starwake.contracts.reasons import CloseCode
from starwake.runtime.metrics import LATENESS_SECONDS, REQUEST_SECONDS, Histogram

CONNECTIONS = Gauge("starwake_gateway_connections", "WebSocket connections that are authenticated.")
UNAUTHENTICATED = Gauge("starwake_gateway_unauthenticated_connections", "WebSocket connections before authentication.")
COMMANDS = Counter("starwake_gateway_commands_total", "Commands, by how they ended.", ["command", "outcome"])
COMMAND_SECONDS = Histogram(
    "starwake_gateway_command_seconds", "From a forwarded command's frame to its answer.", buckets=REQUEST_SECONDS
)
PUSHES = Counter("starwake_gateway_pushes_total", "Pushes written, one per socket.")
PUSH_DELAY = Histogram(
    "starwake_gateway_push_delay_seconds",
    "From the moment that a live push tells of (`at`) to its writing.",
    buckets=LATENESS_SECONDS,
)
DISCONNECTS = Counter("starwake_gateway_disconnects_total", "Connections ended, by close code.", ["code"])
RESUMES = Counter("starwake_gateway_resumes_total", "Sessions that asked to resume.", ["recovered"])
REFUSED_UPGRADES = Counter("starwake_gateway_refused_upgrades_total", "Upgrade requests refused.", ["status"])
EVICTIONS = Counter("starwake_gateway_evictions_total", "Sessions ended because their player had too many.")
HOLES = Counter("starwake_gateway_feed_holes_total", "Holes seen in live feeds, each filled from the stream.")
HISTORIES = Counter(
    "starwake_gateway_histories_total", "Players' histories read, one by one or many in one go.", ["how"]
)
UNREAD_HISTORIES = Counter(
    "starwake_gateway_histories_not_read_total", "Histories not read because nobody waited for them any more."
)
UNREADABLE_PUSHES = Counter(
    "starwake_gateway_unreadable_pushes_total", "Stored bodies that are no push: clients are told to pass over them."
)
STALLED_FEEDS = Gauge("starwake_gateway_stalled_feeds", "Feeds that wait for the stream to answer.")
OUTBOX_BYTES = Gauge("starwake_gateway_outbox_bytes", "Bytes that wait for sockets, over all connections.")

_MAX_COMMAND_LABELS: Final = 64
_UNKNOWING: Final = frozenset({"unknown_command", "rate_limited", "unavailable"})
_CLOSE_CODES: Final = frozenset(int(code) for code in CloseCode) | {1002, 1005, 1006}
_command_names: set[str] = set()
_commands: dict[tuple[str, str], Counter] = {}

_pushes = PUSHES.inc
_push_delay = PUSH_DELAY.observe
_AT: Final = b'"at":"'
_TIME_CHARACTERS: Final = 24


def count_command(command: str, outcome: str) -> None:
    """A command was answered; names that nobody answers to are not kept, and those kept are bounded."""
    counter = _commands.get((command, outcome))
    if counter is None:
        known = command in _command_names
        if not known and outcome not in _UNKNOWING and len(_command_names) < _MAX_COMMAND_LABELS:
            _command_names.add(command)
            known = True
        counter = COMMANDS.labels(command=command if known else "other", outcome=outcome)
        if known:
            _commands[command, outcome] = counter
    counter.inc()


def count_disconnect(code: int) -> None:
    """A connection ended; codes that only a peer can have chosen count as one."""
    DISCONNECTS.labels(code=str(code) if code in _CLOSE_CODES else "other").inc()


def pushed(body: bytes, listeners: int) -> None:
    """A push was written to so many sockets; `body` is the stored one."""
    if not listeners:
        return
    _pushes(listeners)
    start = body.find(_AT) + len(_AT)
    try:
        told = datetime.fromisoformat(body[start : start + _TIME_CHARACTERS].decode())
        _push_delay(max(0.0, (datetime.now(UTC) - told).total_seconds()))
    except (ValueError, TypeError):
        return  # game code's push without a moment, or one without an offset: it is delivered all the same
