"""Brings the streams and consumers into being, repairs them, or says why that is not possible."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import msgspec

from starwake.bus.connection import Bus
from starwake.bus.errors import JetStreamError, PermissionDenied, StreamRefused
from starwake.bus.jetstream import ask, consumer_info, stream_info
from starwake.bus.streams import (
    NOTIFICATIONS,
    REVOCATIONS,
    ConsumerSpec,
    Difference,
    StreamSpec,
    compare_consumer,
    compare_stream,
    desired_streams,
    irreparable,
    repaired_stream,
)
from starwake.runtime.logs import get_logger

_log = get_logger("bus")


_ADVICE = {
    10074: ". One server keeps one copy: set STARWAKE_STREAM_REPLICAS=1, or run a cluster",
    10005: ". There are fewer servers than copies: set STARWAKE_STREAM_REPLICAS to their number, or start more",
    10047: ". Give the account or the server more storage",
    10023: ". Give the server more memory or storage",
    10065: ". Another stream has these subjects: change it or remove it",
}
"""By `err_code` (nats-server, `server/errors.json`): what to do about the server's own refusals. Nothing is lost."""


class Change(msgspec.Struct, frozen=True):
    """What provisioning has changed; `field` is `*` and `was` None where the whole was created."""

    kind: Literal["created", "repaired"]
    stream: str
    consumer: str | None
    field: str
    was: Any
    now: Any


Refill = Callable[[], Awaitable[bool]]
"""Stores what REVOCATIONS has to hold; whether that is all there, so that it may be read."""


async def nothing_to_refill() -> bool:
    """Where nobody was revoked."""
    return True


async def refilled_by_another() -> bool:
    """Where whoever provisions does not know who was revoked: the stream stays closed until a scheduler fills it."""
    return False


async def provision(
    bus: Bus, replicas: int, *, feed_above: int = 0, refill: Refill = nothing_to_refill
) -> list[Change]:
    """Create the streams and consumers that are missing, repair those that differ; idempotent.

    Args:
        bus: the connection.
        replicas: copies of each stream.
        feed_above: the highest sequence that was ever published, where it is known. Feeds that are created begin
            above it from the first moment, so that `begin_epoch` need not drop what was published before it.
        refill: fills REVOCATIONS where it had to be created. Until it has, the stream cannot be read (direct get is
            off), so that no gateway takes a player for one who was never revoked: it answers `unavailable`.

    Returns:
        What was changed, a field each; empty where everything was as it has to be.

    Raises:
        StreamRefused: something differs that cannot be repaired without loss, or the server refused; says what to do.
        BusUnavailable: JetStream does not answer.
    """
    changes: list[Change] = []
    for spec in desired_streams(replicas):
        first_seq = {"first_seq": feed_above + 1} if feed_above and spec.name == NOTIFICATIONS else {}
        if spec.name == REVOCATIONS:
            changes += await _provision_revocations(bus, spec, refill)
        else:
            changes += await _provision_stream(bus, spec, first_seq)
        for consumer in spec.consumers:
            changes += await _provision_consumer(bus, consumer)
    for change in changes:
        if change.kind == "created":
            _log.info("bus.created", stream=change.stream, consumer=change.consumer)
        else:
            _log.warning("bus.repaired", **msgspec.structs.asdict(change))
    return changes


async def check_streams(bus: Bus, names: Sequence[str], *, consumers: bool = False) -> list[Difference]:
    """How the streams `names` differ from what they have to be; for who may only look.

    Their number of replicas is a setting of who provisions, and not looked at.

    Args:
        bus: the connection.
        names: which streams.
        consumers: whether to look at their consumers too, which takes a right that services without use of them lack.

    Raises:
        BusUnavailable, JetStreamError: JetStream does not answer, or with an error.
    """
    differences: list[Difference] = []
    for spec in desired_streams(1):
        if spec.name not in names:
            continue
        info = await stream_info(bus, spec.name)
        if info is None:
            differences.append(Difference(spec.name, None, "*", None, spec.config))
            continue
        differences += compare_stream(info["config"], spec, any_replicas=True)
        for consumer in spec.consumers if consumers else ():
            consumer_state = await consumer_info(bus, spec.name, consumer.name)
            if consumer_state is None:
                differences.append(Difference(spec.name, consumer.name, "*", None, consumer.config))
            else:
                differences += compare_consumer(consumer_state["config"], consumer)
    return differences


async def _provision_stream(bus: Bus, spec: StreamSpec, at_creation: dict[str, Any]) -> list[Change]:
    info = await stream_info(bus, spec.name)
    if info is None:
        await _ask_or_refuse(bus, spec, f"STREAM.CREATE.{spec.name}", spec.config | at_creation)
        await _assert_stream(bus, spec)
        return [Change("created", spec.name, None, "*", None, spec.config)]
    differences = compare_stream(info["config"], spec)
    if not differences:
        return []
    reason = irreparable(differences)
    if reason is not None:
        raise StreamRefused(_advice(spec, reason))
    await _ask_or_refuse(bus, spec, f"STREAM.UPDATE.{spec.name}", repaired_stream(info["config"], spec))
    await _assert_stream(bus, spec)
    return [Change("repaired", d.stream, None, d.field, d.was, d.now) for d in differences]


async def _provision_revocations(bus: Bus, spec: StreamSpec, refill: Refill) -> list[Change]:
    info = await stream_info(bus, spec.name)
    if info is not None and info["config"].get("allow_direct"):
        return await _provision_stream(bus, spec, {})
    closed = msgspec.structs.replace(spec, config={**spec.config, "allow_direct": False})
    changes = await _provision_stream(bus, closed, {})
    if not await refill():
        return changes
    opened = await _provision_stream(bus, spec, {})
    return changes or opened


async def _provision_consumer(bus: Bus, spec: ConsumerSpec) -> list[Change]:
    info = await consumer_info(bus, spec.stream, spec.name)
    differences = [] if info is None else compare_consumer(info["config"], spec)
    if info is not None and not differences:
        return []
    request = {"stream_name": spec.stream, "action": "", "config": spec.config}
    create = f"CONSUMER.CREATE.{spec.stream}.{spec.name}.{spec.config['filter_subject']}"
    try:
        await ask(bus, create, request)
    except JetStreamError as error:
        if info is None:
            raise StreamRefused(await _in_the_way(bus, spec, error)) from error
        # A field that cannot be updated. Made anew it begins with everything that nobody has acknowledged: no loss.
        try:
            await ask(bus, f"CONSUMER.DELETE.{spec.stream}.{spec.name}")
        except PermissionDenied:
            raise StreamRefused(
                f"consumer {spec.name} on {spec.stream}: {error}. Remove it, nothing is lost by that; it is made anew."
            ) from error
        await ask(bus, create, request)
    info_now = await consumer_info(bus, spec.stream, spec.name)
    left = [] if info_now is None else compare_consumer(info_now["config"], spec)
    if info_now is None or left:
        raise StreamRefused(f"consumer {spec.name} on {spec.stream}: the server did not take {left}")
    if info is None:
        return [Change("created", spec.stream, spec.name, "*", None, spec.config)]
    return [Change("repaired", d.stream, d.consumer, d.field, d.was, d.now) for d in differences]


async def _in_the_way(bus: Bus, spec: ConsumerSpec, error: JetStreamError) -> str:
    try:
        others = (await ask(bus, f"CONSUMER.NAMES.{spec.stream}")).get("consumers")
    except PermissionDenied:
        others = "not allowed to list them"
    return f"consumer {spec.name} on {spec.stream}: {error}; consumers there: {others}"


async def _ask_or_refuse(bus: Bus, spec: StreamSpec, name: str, config: dict[str, Any]) -> None:
    try:
        await ask(bus, name, config)
    except JetStreamError as error:
        raise StreamRefused(f"stream {spec.name}: {error}{_ADVICE.get(error.err_code, '')}") from error


async def _assert_stream(bus: Bus, spec: StreamSpec) -> None:
    info = await stream_info(bus, spec.name)
    left = compare_stream({} if info is None else info["config"], spec)
    if left:
        fields = ", ".join(f"{d.field}: {d.was!r} instead of {d.now!r}" for d in left)
        raise StreamRefused(f"stream {spec.name}: the server did not take {fields} (is it older than 2.14.3?)")


def _advice(spec: StreamSpec, reason: str) -> str:
    return f"stream {spec.name}: {reason}. It would have to be removed first; lost with it: {spec.if_removed}."
