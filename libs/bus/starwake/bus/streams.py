"""PURE: the streams and the consumer that Starwake needs, and how what is there differs from that.

Every field is compared: the server accepts an update that drops `republish` or `allow_direct` without a word.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, cast

import msgspec

from starwake.contracts import subjects
from starwake.contracts.retention import KEPT_FOR, KEPT_PUSHES

TIMERS: Final = "TIMERS"
NOTIFICATIONS: Final = "NOTIFICATIONS"
REVOCATIONS: Final = "REVOCATIONS"
SCHEDULER: Final = "scheduler"
EPOCH: Final = "starwake.epoch"
"""The key in NOTIFICATIONS' metadata that holds the feed's epoch."""

_NS: Final = 1_000_000_000
_DAY_NS: Final = 86_400 * _NS

DUPLICATE_WINDOW_S: Final = 600
MAX_ACK_PENDING: Final = 20_000
"""Due messages that all schedulers together may hold; below 10,000 a herd would wait for acknowledgements."""
ACK_WAIT_S: Final = 30


class ConsumerSpec(msgspec.Struct, frozen=True):
    """A durable consumer as it has to be."""

    name: str
    stream: str
    config: dict[str, Any]


class StreamSpec(msgspec.Struct, frozen=True):
    """A stream as it has to be.

    Attributes:
        name: the stream.
        config: every field that JetStream knows, in its own spelling; those left out have to be empty.
        if_removed: what would be lost with the stream, for who has to decide that.
        consumers: the durable consumers on it.
    """

    name: str
    config: dict[str, Any]
    if_removed: str
    consumers: tuple[ConsumerSpec, ...] = ()


class Difference(msgspec.Struct, frozen=True):
    """One field that is not as it has to be; `field` is `*` where the whole stream or consumer is missing."""

    stream: str
    consumer: str | None
    field: str
    was: Any
    now: Any


_STREAM_DEFAULTS: Final[dict[str, Any]] = {
    "storage": "file",
    "retention": "limits",
    "discard": "old",
    "compression": "none",
    "max_consumers": -1,
    "max_msgs": -1,
    "max_bytes": -1,
    "max_msgs_per_subject": -1,
    "max_msg_size": -1,
    "duplicate_window": 120 * _NS,
}
_CONSUMER_DEFAULTS: Final[dict[str, Any]] = {
    "deliver_policy": "all",
    "ack_policy": "explicit",
    "replay_policy": "instant",
    "max_deliver": -1,
    "max_waiting": 512,
}

FREE_STREAM_FIELDS: Final = frozenset({"placement", "description", "metadata", "first_seq"})
"""The operator's (placement, description), the feed's own (metadata), or of no effect later (first_seq)."""
FREE_CONSUMER_FIELDS: Final = frozenset({"description", "metadata", "num_replicas"})


def desired_streams(replicas: int) -> tuple[StreamSpec, ...]:
    """The streams that Starwake needs, with `replicas` copies each (1 on one machine, 3 in a cluster)."""
    return (
        StreamSpec(
            TIMERS,
            _stream(
                TIMERS,
                replicas,
                subjects=[subjects.TIMER_SET, subjects.TIMER_DUE],
                retention="workqueue",
                allow_msg_schedules=True,
                allow_msg_ttl=True,
                allow_rollup_hdrs=True,
            ),
            "nothing: its alarms are set again from the table",
            (
                ConsumerSpec(
                    SCHEDULER,
                    TIMERS,
                    _CONSUMER_DEFAULTS
                    | {
                        "name": SCHEDULER,
                        "durable_name": SCHEDULER,
                        "filter_subject": subjects.TIMER_DUE,
                        "ack_wait": ACK_WAIT_S * _NS,
                        "max_ack_pending": MAX_ACK_PENDING,
                    },
                ),
            ),
        ),
        StreamSpec(
            NOTIFICATIONS,
            _stream(
                NOTIFICATIONS,
                replicas,
                subjects=[subjects.NOTIFY],
                max_msgs_per_subject=KEPT_PUSHES,
                max_age=KEPT_FOR // timedelta(microseconds=1) * 1_000,
                duplicate_window=DUPLICATE_WINDOW_S * _NS,
                allow_direct=True,
                republish={"src": subjects.NOTIFY, "dest": subjects.PUSH},
            ),
            "the players' feeds: who was away cannot resume, and takes a fresh list",
        ),
        StreamSpec(
            REVOCATIONS,
            _stream(
                REVOCATIONS,
                replicas,
                subjects=[subjects.REVOKED],
                max_msgs_per_subject=1,
                max_age=30 * _DAY_NS,
                allow_direct=True,
                republish={"src": subjects.REVOKED, "dest": "control.{{wildcard(1)}}.revoke"},
            ),
            "who was revoked: unexpired tokens of theirs count again",
        ),
    )


def _stream(name: str, replicas: int, **fields: object) -> dict[str, Any]:
    return _STREAM_DEFAULTS | {"name": name, "num_replicas": replicas} | fields


def compare_stream(actual: Mapping[str, Any], spec: StreamSpec, *, any_replicas: bool = False) -> list[Difference]:
    """What differs between a stream's configuration, as the server reports it, and what it has to be.

    Args:
        actual: the `config` of STREAM.INFO.
        spec: what it has to be.
        any_replicas: leave the number of replicas out, for who does not know that setting.
    """
    free = FREE_STREAM_FIELDS | {"num_replicas"} if any_replicas else FREE_STREAM_FIELDS
    return _compare(actual, spec.config, free, spec.name, None)


def compare_consumer(actual: Mapping[str, Any], spec: ConsumerSpec) -> list[Difference]:
    """What differs between a consumer's configuration, as the server reports it, and what it has to be."""
    return _compare(actual, spec.config, FREE_CONSUMER_FIELDS, spec.stream, spec.name)


def _compare(
    actual: Mapping[str, Any], desired: Mapping[str, Any], free: frozenset[str], stream: str, consumer: str | None
) -> list[Difference]:
    return [
        Difference(stream, consumer, field, actual.get(field), desired.get(field))
        for field in sorted(actual.keys() | desired.keys())
        if field not in free and _plain(actual.get(field)) != _plain(desired.get(field))
    ]


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """`value`, with everything that JetStream leaves out of JSON (false, 0, "", [], {}) as None."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {key: _plain(field) for key, field in fields.items() if _plain(field) is not None} or None
    if isinstance(value, list):
        return sorted(map(str, cast("list[Any]", value))) or None  # subjects and the like: sets
    return value or None


def repaired_stream(actual: Mapping[str, Any], spec: StreamSpec) -> dict[str, Any]:
    """The configuration to update a stream to: what it has to be, and what is free to differ as it is."""
    kept = {field: actual[field] for field in FREE_STREAM_FIELDS if field in actual}
    return kept | spec.config


def irreparable(differences: list[Difference]) -> str | None:
    """Why these differences of a stream cannot be repaired without removing it, None where they can."""
    for difference in differences:
        field, was, now = difference.field, difference.was, difference.now
        # Rules of nats-server's `configUpdateCheck` (`server/stream.go`), tried on 2.15.1.
        if field in ("storage", "max_consumers", "mirror", "persist_mode"):
            return f"{field} cannot be changed from {was!r} to {now!r}"
        if field == "retention" and "workqueue" in (was, now):
            return f"retention cannot be changed from {was!r} to {now!r}"
        if field in ("sealed", "deny_delete", "deny_purge", "allow_msg_ttl", "allow_msg_schedules") and was:
            return f"{field} cannot be switched off again"
    return None
