from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from starwake.bus.connection import Bus, BusOptions
from starwake.bus.errors import BusUnavailable, NoResponders, StreamRefused
from starwake.bus.jetstream import ask, consumer_info, stream_info
from starwake.bus.provision import check_streams, provision, refilled_by_another
from starwake.bus.publish import JetStreamPublisher
from starwake.bus.revocations import publish_revocation, read_revocations
from starwake.bus.streams import NOTIFICATIONS, REVOCATIONS, SCHEDULER, TIMERS, desired_streams
from starwake.cli.embedded.nats import nats_server_binary
from starwake.cli.embedded.ports import free_ports
from starwake.cli.embedded.process import Launch, start
from starwake.contracts.ids import PlayerId

ALL = (TIMERS, NOTIFICATIONS, REVOCATIONS)


async def test_nobody_reads_who_was_revoked_before_all_of_it_is_there(own_bus: Bus) -> None:
    """A gateway that finds nothing would take every revoked token."""
    ada = PlayerId("ada")
    assert await provision(own_bus, 1, refill=refilled_by_another)
    with pytest.raises(BusUnavailable):
        await read_revocations(own_bus, [ada])
    assert await provision(own_bus, 1, refill=refilled_by_another) == []

    async def refill() -> bool:
        await publish_revocation(own_bus, ada, datetime.now(UTC))
        with pytest.raises(BusUnavailable):
            await read_revocations(own_bus, [ada])
        return True

    await provision(own_bus, 1, refill=refill)
    assert (await read_revocations(own_bus, [ada])).keys() == {ada}
    assert await check_streams(own_bus, ALL, consumers=True) == []
    assert await provision(own_bus, 1, refill=refilled_by_another) == []


async def config_of(bus: Bus, stream: str) -> dict[str, Any]:
    info = await stream_info(bus, stream)
    assert info is not None
    return info["config"]


async def test_what_is_missing_is_created_and_then_nothing_differs(own_bus: Bus) -> None:
    assert {(d.stream, d.consumer, d.field) for d in await check_streams(own_bus, ALL, consumers=True)} == {
        (stream, None, "*") for stream in ALL
    }
    changes = await provision(own_bus, 1)
    assert [(change.kind, change.stream, change.consumer) for change in changes] == [
        ("created", TIMERS, None),
        ("created", TIMERS, SCHEDULER),
        ("created", NOTIFICATIONS, None),
        ("created", REVOCATIONS, None),
    ]
    assert await provision(own_bus, 1) == []
    assert await check_streams(own_bus, ALL, consumers=True) == []


@pytest.mark.parametrize(
    ("stream", "drift"),
    [
        (TIMERS, {"max_age": 3_600_000_000_000}),
        (TIMERS, {"max_msgs": 10}),
        (TIMERS, {"max_bytes": 10_000}),
        (TIMERS, {"subjects": ["timer.set.>"]}),
        (NOTIFICATIONS, {"republish": None}),
        (NOTIFICATIONS, {"allow_direct": False}),
        (NOTIFICATIONS, {"max_msgs_per_subject": 3}),
        (NOTIFICATIONS, {"max_age": 0}),
        (NOTIFICATIONS, {"duplicate_window": 1_000_000_000}),
        (NOTIFICATIONS, {"retention": "interest"}),
        (NOTIFICATIONS, {"discard": "new"}),
        (REVOCATIONS, {"republish": {"src": "revoked.*", "dest": "elsewhere.{{wildcard(1)}}"}}),
        (REVOCATIONS, {"subjects": ["revoked.*", "more.*"]}),
    ],
)
async def test_a_stream_that_drifted_is_repaired_and_said_so(
    own_streams: Bus, stream: str, drift: dict[str, Any]
) -> None:
    """Also what the server would let go without a word: an update that drops `republish` or `allow_direct`."""
    (field,) = drift
    config = await config_of(own_streams, stream)
    drifted = {key: value for key, value in (config | drift).items() if value is not None}
    await ask(own_streams, f"STREAM.UPDATE.{stream}", drifted)
    assert field in [difference.field for difference in await check_streams(own_streams, ALL, consumers=True)]

    changes = await provision(own_streams, 1)

    assert ("repaired", stream, field) in [(change.kind, change.stream, change.field) for change in changes]
    assert await check_streams(own_streams, ALL, consumers=True) == []


async def test_repairing_keeps_the_stored_pushes_and_the_metadata(own_streams: Bus) -> None:
    config = await config_of(own_streams, NOTIFICATIONS)
    await JetStreamPublisher(own_streams).publish("notify.player.ada", b"{}")
    await ask(
        own_streams,
        f"STREAM.UPDATE.{NOTIFICATIONS}",
        config | {"max_age": 0, "metadata": {"starwake.epoch": "e1"}, "description": "the operator's"},
    )
    await provision(own_streams, 1)
    info = await stream_info(own_streams, NOTIFICATIONS)
    assert info is not None
    assert info["state"]["messages"] == 1
    assert info["config"]["metadata"]["starwake.epoch"] == "e1"
    assert info["config"]["description"] == "the operator's"


@pytest.mark.parametrize(
    ("stream", "made_as", "reason"),
    [
        (NOTIFICATIONS, {"storage": "memory"}, "storage cannot be changed"),
        (NOTIFICATIONS, {"retention": "workqueue"}, "retention cannot be changed"),
        (TIMERS, {"retention": "limits"}, "retention cannot be changed"),
        (REVOCATIONS, {"deny_delete": True}, "deny_delete cannot be switched off"),
    ],
)
async def test_what_cannot_be_repaired_without_loss_is_refused_and_left_alone(
    own_bus: Bus, stream: str, made_as: dict[str, Any], reason: str
) -> None:
    (spec,) = [spec for spec in desired_streams(1) if spec.name == stream]
    await ask(own_bus, f"STREAM.CREATE.{stream}", spec.config | made_as)
    with pytest.raises(StreamRefused, match=reason) as refusal:
        await provision(own_bus, 1)
    assert spec.if_removed in str(refusal.value)
    assert made_as.items() <= (await config_of(own_bus, stream)).items()


async def test_what_the_server_refuses_is_refused_with_its_words(own_bus: Bus) -> None:
    with pytest.raises(StreamRefused, match="replicas"):
        await provision(own_bus, 3)
    await ask(own_bus, "STREAM.CREATE.FOREIGN", {"name": "FOREIGN", "subjects": ["notify.player.>"]})
    with pytest.raises(StreamRefused, match="overlap"):
        await provision(own_bus, 1)


@pytest.mark.parametrize(
    "drift",
    [{"ack_wait": 1_000_000_000}, {"max_deliver": 3}, {"max_ack_pending": 5}, {"filter_subject": "timer.due.event.>"}],
)
async def test_a_consumer_that_drifted_is_repaired(own_streams: Bus, drift: dict[str, Any]) -> None:
    (timers, *_) = desired_streams(1)
    config = timers.consumers[0].config | drift
    create = f"CONSUMER.CREATE.{TIMERS}.{SCHEDULER}.{config['filter_subject']}"
    await ask(own_streams, create, {"stream_name": TIMERS, "action": "", "config": config})
    changes = await provision(own_streams, 1)
    assert [(change.consumer, change.field) for change in changes] == [(SCHEDULER, *drift)]
    assert await check_streams(own_streams, [TIMERS], consumers=True) == []


async def test_a_consumer_that_cannot_be_updated_is_made_anew_without_loss(own_streams: Bus) -> None:
    """Its number of waiting pulls cannot be changed; deleting it gives back what nobody has acknowledged."""
    await JetStreamPublisher(own_streams).publish("timer.due.build.x.r1", b"kept")
    await ask(own_streams, f"CONSUMER.DELETE.{TIMERS}.{SCHEDULER}")
    (timers, *_) = desired_streams(1)
    config = timers.consumers[0].config | {"max_waiting": 3}
    create = f"CONSUMER.CREATE.{TIMERS}.{SCHEDULER}.{config['filter_subject']}"
    await ask(own_streams, create, {"stream_name": TIMERS, "action": "", "config": config})
    changes = await provision(own_streams, 1)
    assert [(change.kind, change.field) for change in changes] == [("repaired", "max_waiting")]
    info = await consumer_info(own_streams, TIMERS, SCHEDULER)
    assert info is not None
    assert info["num_pending"] == 1


async def test_another_consumer_in_the_way_is_refused_by_name(own_streams: Bus) -> None:
    await ask(own_streams, f"CONSUMER.DELETE.{TIMERS}.{SCHEDULER}")
    foreign = {"durable_name": "thief", "ack_policy": "explicit", "filter_subject": "timer.due.>"}
    await ask(own_streams, f"CONSUMER.DURABLE.CREATE.{TIMERS}.thief", {"stream_name": TIMERS, "config": foreign})
    with pytest.raises(StreamRefused, match="thief"):
        await provision(own_streams, 1)


async def test_three_copies_on_one_server_are_refused_with_what_to_do(own_bus: Bus) -> None:
    with pytest.raises(StreamRefused, match="STARWAKE_STREAM_REPLICAS=1") as refused:
        await provision(own_bus, 3)
    assert "removed" not in str(refused.value)


async def test_a_server_without_jetstream_is_told_from_one_where_nobody_listens(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    server = await start(
        Launch("nats", (str(nats_server_binary()), "-a", "127.0.0.1", "-p", str(port)), tmp_path / "nats.log", {})
    )
    bus = await Bus.connect(BusOptions(url=f"nats://127.0.0.1:{port}", name="test"))
    try:
        with pytest.raises(NoResponders, match="without JetStream"):
            await provision(bus, 1)
    finally:
        await bus.close()
        await server.stop(within=10)
