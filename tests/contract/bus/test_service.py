"""The micro service, asked by nats-py's own client and read with its own types."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.micro.service import EndpointStats, ServiceInfo, ServicePing, ServiceStats
from structlog.testing import capture_logs

from starwake.bus.connection import Bus, BusOptions
from starwake.bus.service import Endpoint, Request, Service
from starwake.runtime.rate_limited_logging import BURST
from tests.support.eventually import eventually
from tests.support.nats import NatsAddress
from tests.support.players import unique_player


@pytest.fixture
async def plain_client(nats_server: NatsAddress) -> AsyncIterator[Client]:
    client = await nats.connect(nats_server.url)  # pyright: ignore[reportUnknownMemberType] - partly untyped
    yield client
    await client.close()


@pytest.fixture
def name() -> str:
    return f"test-{unique_player()}"


def upper(request: Request) -> None:
    request.respond(request.payload.upper())


def refuse(request: Request) -> None:
    request.respond(b'{"error":{}}', ("site_busy", "luna-1 is\r\nbusy"))


def overflow(request: Request) -> None:
    request.respond(b"x" * 2_000_000)


def fail(_: Request) -> None:
    raise RuntimeError("on purpose")


async def begin(bus: Bus, name: str) -> Service:
    endpoints = [
        Endpoint("upper", f"{name}.*.upper", upper, metadata={"kind": "test"}),
        Endpoint("refuse", f"{name}.*.refuse", refuse),
        Endpoint("fail", f"{name}.*.fail", fail, queue_group="other"),
    ]
    return await Service.start(bus, name, "1.2.3", "Does things.", endpoints)


async def test_an_answer_that_the_server_would_not_take_is_told_at_once(
    bus: Bus, plain_client: Client, name: str
) -> None:
    service = await Service.start(
        bus, name, "1.2.3", "Says much.", [Endpoint("overflow", f"{name}.overflow", overflow)]
    )
    answer = await plain_client.request(f"{name}.overflow", b"", timeout=5)
    assert answer.headers is not None
    assert answer.headers["Nats-Service-Error-Code"] == "500"
    assert answer.headers["Nats-Service-Error"] == "the answer is too large"
    assert service.in_flight == 0


@pytest.mark.parametrize(
    ("subject", "line"), [("overflow", "bus.answer_too_large"), ("ada.fail", "bus.endpoint_failed")]
)
async def test_what_a_stranger_asks_for_again_and_again_does_not_fill_the_log(
    bus: Bus, plain_client: Client, name: str, subject: str, line: str
) -> None:
    endpoints = [Endpoint("overflow", f"{name}.overflow", overflow), Endpoint("fail", f"{name}.*.fail", fail)]
    await Service.start(bus, name, "1.2.3", "Fails.", endpoints)
    with capture_logs() as said:
        for _ in range(4 * BURST):
            answer = await plain_client.request(f"{name}.{subject}", b"", timeout=5)
            assert answer.headers is not None, "each is answered all the same"
    assert 0 < sum(each["event"] == line for each in said) <= BURST


async def test_answers_to_no_subject_do_not_fill_the_log(bus: Bus, plain_client: Client, name: str) -> None:
    await begin(bus, name)
    with capture_logs() as said:
        for _ in range(4 * BURST):
            await plain_client.publish(f"{name}.ada.upper", b"", reply="nobody\x01s.inbox")
        await plain_client.request(f"{name}.ada.upper", b"", timeout=5)
    assert 0 < sum(each["event"] == "bus.answer_lost" for each in said) <= BURST


async def test_a_request_is_answered_by_its_endpoint(bus: Bus, plain_client: Client, name: str) -> None:
    await begin(bus, name)
    answer = await plain_client.request(f"{name}.ada.upper", b"hello", timeout=5)
    assert answer.data == b"HELLO"
    assert not answer.headers


async def test_an_error_travels_in_the_headers_and_beside_a_body(bus: Bus, plain_client: Client, name: str) -> None:
    await begin(bus, name)
    answer = await plain_client.request(f"{name}.ada.refuse", b"", timeout=5)
    assert answer.data == b'{"error":{}}'
    assert answer.headers == {"Nats-Service-Error": "luna-1 is busy", "Nats-Service-Error-Code": "site_busy"}


async def test_a_handler_that_raises_is_answered_with_an_error(bus: Bus, plain_client: Client, name: str) -> None:
    await begin(bus, name)
    answer = await plain_client.request(f"{name}.ada.fail", b"", timeout=5)
    assert answer.headers == {"Nats-Service-Error": "internal error", "Nats-Service-Error-Code": "500"}
    assert (await plain_client.request(f"{name}.ada.upper", b"on", timeout=5)).data == b"ON"


@pytest.mark.parametrize("level", ["", ".{name}", ".{name}.{id}"])
async def test_it_answers_ping_info_and_stats_at_every_level(
    bus: Bus, plain_client: Client, name: str, level: str
) -> None:
    service = await begin(bus, name)
    await plain_client.request(f"{name}.ada.upper", b"x", timeout=5)
    await plain_client.request(f"{name}.ada.refuse", b"x", timeout=5)
    suffix = level.format(name=name, id=service.id)

    ping = ServicePing.from_dict(await ask(plain_client, f"$SRV.PING{suffix}", name))
    assert (ping.name, ping.id, ping.version, ping.type) == (
        name,
        service.id,
        "1.2.3",
        "io.nats.micro.v1.ping_response",
    )
    info = ServiceInfo.from_dict(await ask(plain_client, f"$SRV.INFO{suffix}", name))
    assert (info.id, info.description, info.type) == (service.id, "Does things.", "io.nats.micro.v1.info_response")
    assert [(each.name, each.subject, each.queue_group) for each in info.endpoints] == [
        ("upper", f"{name}.*.upper", "q"),
        ("refuse", f"{name}.*.refuse", "q"),
        ("fail", f"{name}.*.fail", "other"),
    ]
    assert info.endpoints[0].metadata == {"kind": "test"}
    stats = ServiceStats.from_dict(await ask(plain_client, f"$SRV.STATS{suffix}", name))
    by_name: dict[str, EndpointStats] = {each.name: each for each in stats.endpoints}
    assert (by_name["upper"].num_requests, by_name["upper"].num_errors) == (1, 0)
    assert (by_name["refuse"].num_requests, by_name["refuse"].num_errors) == (1, 1)
    assert by_name["refuse"].last_error == "site_busy:luna-1 is\r\nbusy"
    assert by_name["upper"].processing_time > 0


async def ask(client: Client, subject: str, name: str) -> dict[str, Any]:
    """The answer of the service `name`; on the run's server others may answer too."""
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)  # pyright: ignore[reportUnknownMemberType] - partly untyped
    await client.publish(subject, b"", reply=inbox)
    while True:
        answer: dict[str, Any] = json.loads((await subscription.next_msg(timeout=5)).data)
        if answer["name"] == name:
            await subscription.unsubscribe()
            return answer


async def test_copies_share_the_requests(nats_server: NatsAddress, bus: Bus, name: str) -> None:
    other_bus = await Bus.connect(BusOptions(url=nats_server.url))
    served: dict[str, int] = {"a": 0, "b": 0}

    def handler(copy: str) -> Endpoint:
        def handle(request: Request) -> None:
            served[copy] += 1
            request.respond(b"")

        return Endpoint("count", f"{name}.count", handle)

    await Service.start(bus, name, "1.0.0", "", [handler("a")])
    await Service.start(other_bus, name, "1.0.0", "", [handler("b")])
    await asyncio.gather(*[bus.request(f"{name}.count", b"", timeout_s=5) for _ in range(400)])
    await other_bus.close()
    assert sum(served.values()) == 400
    assert min(served.values()) > 0


async def test_draining_takes_no_more_and_waits_for_what_is_in_hand(bus: Bus, plain_client: Client, name: str) -> None:
    held: list[Request] = []
    service = await Service.start(bus, name, "1.0.0", "", [Endpoint("hold", f"{name}.hold", held.append)])
    asking = asyncio.create_task(plain_client.request(f"{name}.hold", b"", timeout=10))
    await eventually(lambda: held)
    assert not await service.drain(timeout_s=0.1)
    with pytest.raises(NoRespondersError):
        await plain_client.request(f"{name}.hold", b"", timeout=5)
    draining = asyncio.create_task(service.drain(timeout_s=10))
    await asyncio.sleep(0)
    assert not draining.done()
    held[0].respond(b"done")
    held[0].respond(b"a second answer")
    assert await draining
    assert (await asking).data == b"done"
    assert service.in_flight == 0
    assert len(held) == 1
